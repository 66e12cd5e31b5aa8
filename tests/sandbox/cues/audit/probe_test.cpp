// The probe in real sandboxes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/files.h"
#include "probed_sandbox.h"
#include "sandbox/cues/audit/audit.h"
#include "sandbox/cues/audit/probe_run.h"
#include "sandbox/isolation/bus_door.h"

namespace gyges::cues {
namespace {

class ProbeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto made = TemporaryDirectory::create("gyges-probe-test");
    ASSERT_TRUE(made) << made.error().line();
    workspace_ = std::make_unique<TemporaryDirectory>(std::move(*made));
  }

  SandboxToProbe sandbox(const std::string& persona) {
    return sandbox_to_probe(persona, workspace_->path());
  }

  static Reading read(const SandboxToProbe& sandbox, const ProbeRequest& request = {}) {
    return reading_of(probe_sandbox(sandbox, nullptr, request));
  }

  static ConditionToAudit condition(const std::string& name, SandboxToProbe sandbox) {
    return {name,
            Claim::virtual_machine,
            [sandbox = std::move(sandbox)] { return probe_sandbox(sandbox, nullptr, {}); },
            {}};
  }

  std::unique_ptr<TemporaryDirectory> workspace_;
};

TEST_F(ProbeTest, ReadsEveryRowOfTheCatalogueItCan) {
  Reading reading = read(sandbox(""));
  EXPECT_GT(reading.observations.size(), 700U);
  for (const char* row :
       {"E.", "E7",  "P1.", "P6",  "P7",  "P12", "F1.", "F2", "F3",  "F6", "K1.",
        "K3", "K10", "K16", "K18", "T1.", "T4",  "T6",  "T8", "N1.", "N2", "C."}) {
    bool found = false;
    for (const auto& [channel, seen] : reading.observations)
      found = found || channel.starts_with(row);
    EXPECT_TRUE(found) << row;
  }
}

TEST_F(ProbeTest, EveryRowIsDocumented) {
  auto page = read_file(std::filesystem::path(GYGES_SOURCE_DIR) / "docs/cues.md");
  ASSERT_TRUE(page) << page.error().line();
  std::set<std::string> rows;
  for (const auto& [channel, seen] : read(sandbox("")).observations)
    rows.insert(channel.substr(0, channel.find('.')));
  for (const std::string& row : rows)
    EXPECT_NE(page->find("`" + row + "`"), std::string::npos) << row;
}

TEST_F(ProbeTest, SaysWhatTheSandboxIs) {
  SandboxToProbe given = sandbox("");
  given.environment.emplace_back("IS_SANDBOX=yes\x1b[0m");
  Reading reading = read(given);
  ASSERT_NE(reading.find("K1.uname.nodename"), nullptr);
  EXPECT_EQ(reading.find("K1.uname.nodename")->value, given.spec.policy.identity.hostname);
  ASSERT_NE(reading.find("E.env.IS_SANDBOX"), nullptr);
  EXPECT_EQ(reading.find("E.env.IS_SANDBOX")->value, "yes\x1b[0m");
  // The probe itself is nowhere: no file, no descriptor but the three.
  EXPECT_EQ(reading.find("P16.fd.count")->value, "3");
  EXPECT_EQ(reading.find("P16.fd.0")->value, "/dev/null");
}

// What no mechanism hides is listed. The control: on a disk that is one, nothing is odd.
TEST_F(ProbeTest, DirectoriesThatDoNotLieOnThePersonasDiskAreListed) {
  ProbeRequest request;
  request.arguments = {"F3.disk"};
  const Reading reading = read(sandbox("vm-production"), request);
  std::set<std::string> listed;
  for (const Leak& leak : find_leaks(reading, Claim::virtual_machine)) listed.insert(leak.channel);
  EXPECT_EQ(listed, (std::set<std::string>{"F3.disk.device_count", "F3.disk.devices_of_root",
                                           "F3.disk.links_count", "F3.disk.size_count",
                                           "F3.disk.unlisted_count"}));
  // Partitions have a row of their own.
  EXPECT_THAT(reading.find("F3.disk.unlisted")->value,
              ::testing::MatchesRegex("/etc .*/usr /usr/lib"));
  auto namespaces = probe_container({"unshare", "--user", "--map-root-user", "--mount"}, request);
  if (!namespaces)
    GTEST_SKIP() << "unshare(1) cannot show the host's disk: " << namespaces.error().line();
  const Reading host = reading_of(namespaces);
  for (const char* channel :
       {"F3.disk.device", "F3.disk.unlisted", "F3.disk.size", "F3.disk.links"}) {
    ASSERT_NE(host.find(channel), nullptr) << channel;
    EXPECT_EQ(host.find(channel)->value, "") << channel;
  }
}

// A release that is answered without the files of processes is a half-measure.
TEST_F(ProbeTest, RowsOfStatusAreOfTheRelease) {
  utsname host{};
  ASSERT_EQ(::uname(&host), 0);
  ProbeRequest request;
  request.arguments = {"P20.rows"};
  SandboxToProbe given = sandbox("vm-production");
  EXPECT_EQ(read(given, request).find("P20.rows")->value, "yes");
  EXPECT_EQ(read(sandbox(""), request).find("P20.rows")->value, "yes");
  char* rest = nullptr;
  const long major = std::strtol(host.release, &rest, 10);
  if (major * 1000 + std::strtol(rest + 1, nullptr, 10) < 6004) return;
  std::erase(given.spec.policy.cues.emulate, "process_files");
  EXPECT_EQ(read(given, request).find("P20.rows")->value, "no");
}

TEST_F(ProbeTest, TheSystemBusAnswersWhereThePersonaHasOne) {
  if (!isolation::has_bus_responder()) GTEST_SKIP() << "this build has no system bus";
  ProbeRequest request;
  request.arguments = {"F11.bus", "F11.service.dbus"};
  SandboxToProbe given = sandbox("vm-production");
  Reading reading = read(given, request);
  ASSERT_NE(reading.find("F11.bus.answer"), nullptr);
  EXPECT_EQ(reading.find("F11.bus.answer")->value, "OK");
  ASSERT_NE(reading.find("F11.bus.listener"), nullptr);
  EXPECT_TRUE(reading.find("F11.bus.listener")->value.starts_with("pid=1 "));
  for (const Leak& leak : find_leaks(reading, Claim::virtual_machine))
    EXPECT_EQ(leak.channel, "F11.bus.listener");
  // The control: without the switch nothing listens, and that is listed.
  given.spec.policy.cues.system_bus = false;
  reading = read(given, request);
  EXPECT_EQ(reading.find("F11.bus.listener"), nullptr);
  std::set<std::string> listed;
  for (const Leak& leak : find_leaks(reading, Claim::virtual_machine)) listed.insert(leak.channel);
  EXPECT_TRUE(listed.contains("F11.service.dbus"));
}

TEST_F(ProbeTest, ReadsOnlyWhatItIsAskedForAndFilesByName) {
  ProbeRequest request;
  request.arguments = {"K1", "file:/etc/passwd", "file:/nowhere"};
  Reading reading = read(sandbox(""), request);
  for (const auto& [channel, seen] : reading.observations)
    EXPECT_TRUE(channel.starts_with("K1") || channel.starts_with("W.file.")) << channel;
  ASSERT_NE(reading.find("W.file./etc/passwd"), nullptr);
  EXPECT_TRUE(reading.find("W.file./etc/passwd")->present());
  EXPECT_EQ(reading.find("W.file./nowhere")->error, "ENOENT");
}

TEST_F(ProbeTest, EqualConditionsDifferInNothing) {
  auto done =
      audit({condition("a", sandbox("vm-production")), condition("b", sandbox("vm-production"))},
            {}, {3, 3});
  ASSERT_TRUE(done) << done.error().line();
  for (const Difference& one : done->difference.differences)
    ADD_FAILURE() << one.channel << ": " << one.values.at("a") << " / " << one.values.at("b");
  EXPECT_GT(done->difference.channels - done->difference.noise, 500U);
}

TEST_F(ProbeTest, OneDifferenceIsFoundAndNoOther) {
  SandboxToProbe other = sandbox("vm-production");
  other.environment.emplace_back("AUDIT_MODE=off");
  auto declared = [](std::size_t, std::size_t) { return std::set<std::string>{"env:AUDIT_MODE"}; };
  auto done =
      audit({condition("a", sandbox("vm-production")), condition("b", other)}, declared, {2, 3});
  ASSERT_TRUE(done) << done.error().line();
  ASSERT_EQ(done->difference.differences.size(), 1U);
  EXPECT_EQ(done->difference.differences[0].channel, "E.env.AUDIT_MODE");
  EXPECT_TRUE(done->difference.differences[0].declared);
  EXPECT_TRUE(done->undeclared().empty());
}

TEST_F(ProbeTest, AnUndeclaredDifferenceIsFound) {
  SandboxToProbe other = sandbox("");
  other.spec.policy.identity.hostname = "somewhere-else";
  auto done = audit({condition("a", sandbox("")), condition("b", other)}, {}, {1, 1});
  ASSERT_TRUE(done) << done.error().line();
  std::set<std::string> channels;
  for (const Difference* one : done->undeclared()) channels.insert(one->channel);
  EXPECT_TRUE(channels.contains("K1.uname.nodename"));
  EXPECT_TRUE(channels.contains("K2.proc.hostname"));
}

// The positive control: a sandbox without a story is seen through.
TEST_F(ProbeTest, APlainSandboxLeaks) {
  Reading reading = read(sandbox(""));
  std::set<std::string> channels;
  for (const Leak& leak : find_leaks(reading, Claim::virtual_machine))
    channels.insert(leak.channel);
  EXPECT_TRUE(channels.contains("P12.namespace.pid"));
  EXPECT_TRUE(channels.contains("N1.interface.procfs"));
  EXPECT_TRUE(channels.contains("P7.seccomp"));
}

TEST_F(ProbeTest, RunsInWhatACommandStarts) {
  auto text =
      probe_container({"/usr/bin/env", "IS_SANDBOX=1"}, {{"E.env"}, std::chrono::seconds(30)});
  ASSERT_TRUE(text) << text.error().line();
  auto reading = parse_reading(*text, "test");
  ASSERT_TRUE(reading) << reading.error().line();
  ASSERT_NE(reading->find("E.env.IS_SANDBOX"), nullptr);
  auto leaks = find_leaks(*reading, Claim::container);
  EXPECT_TRUE(std::any_of(leaks.begin(), leaks.end(),
                          [](const Leak& leak) { return leak.channel == "E.env.IS_SANDBOX"; }));
  EXPECT_FALSE(probe_container({"/bin/false"}, {}));
  EXPECT_FALSE(probe_container({"/nowhere/program"}, {}));
}

// bwrap's --bind takes devices away: /dev/null is there and cannot be opened.
TEST_F(ProbeTest, RunsWhereThereAreNoDevices) {
  if (!std::filesystem::exists("/usr/bin/bwrap")) GTEST_SKIP() << "bwrap is not installed";
  auto text = probe_container({"bwrap", "--bind", "/", "/", "--tmpfs", "/tmp", "--unshare-all"},
                              {{"P2", "K11.zones"}, std::chrono::seconds(30)});
  if (!text && text.error().line().find("status 1") != std::string::npos)
    GTEST_SKIP() << "bwrap cannot make namespaces here: " << text.error().line();
  ASSERT_TRUE(text) << text.error().line();
  auto reading = parse_reading(*text, "test");
  ASSERT_TRUE(reading) << reading.error().line();
  EXPECT_NE(reading->find("P2.ids.pid"), nullptr);
}

TEST(SplitCommand, AsAShellDoes) {
  auto words = split_command("docker run -e 'A=b c' \"x y\" z\\ z");
  ASSERT_TRUE(words);
  EXPECT_EQ(*words, (std::vector<std::string>{"docker", "run", "-e", "A=b c", "x y", "z z"}));
  EXPECT_FALSE(split_command("a 'b"));
  EXPECT_FALSE(split_command("  "));
}

}  // namespace
}  // namespace gyges::cues
