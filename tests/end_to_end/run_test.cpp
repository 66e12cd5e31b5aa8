// gyges run and what works on its bundle.
#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>

#include "base/files.h"
#include "base/json.h"
#include "gyges_process.h"

namespace gyges {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

using RunCommand = EndToEnd;

std::vector<json> json_lines(const std::string& text) {
  std::vector<json> lines;
  std::size_t at = 0;
  while (at < text.size()) {
    std::size_t end = text.find('\n', at);
    if (end == std::string::npos) end = text.size();
    lines.push_back(json::parse(text.substr(at, end - at), nullptr, false));
    at = end + 1;
  }
  return lines;
}

TEST_F(RunCommand, PassesOnTheCommandsStatus) {
  EXPECT_EQ(gyges({"run", "--recorder", "off", "--", "sh", "-c", "exit 3"}).status, 3);
  EXPECT_EQ(gyges({"run", "--recorder", "off", "--", "sh", "-c", "kill -9 $$"}).status, 128 + 9);
  EXPECT_EQ(gyges({"run", "--recorder", "off", "--", "no-such-program"}).status, 127);
  EXPECT_EQ(gyges({"run", "--policy", "no-such-policy", "--", "true"}).status, 125);
  EXPECT_EQ(gyges({"run"}).status, 2);
}

TEST_F(RunCommand, ASeedThatJsonCannotHoldIsRefusedBeforeAnythingRuns) {
  std::string out = path("out").string();
  for (const char* seed : {"-1", "18446744073709551615", "9007199254740993"}) {
    EXPECT_EQ(gyges({"run", "--seed", seed, "--out", out, "--", "true"}).status, 2);
    EXPECT_EQ(gyges({"episode", "log_retention", "--agent", "honest", "--seed", seed, "--out", out})
                  .status,
              2);
    EXPECT_FALSE(std::filesystem::exists(out));
  }
  EXPECT_EQ(gyges({"run", "--seed", "9007199254740992", "--out", out, "--", "true"}).status, 0);
}

TEST_F(RunCommand, PassesOnTheStatusWhileRecording) {
  for (const char* recorder : {"auto", "ptrace"})
    for (int i = 0; i < 5; ++i) {
      std::string bundle = path(std::string(recorder) + std::to_string(i)).string();
      Finished run =
          gyges({"run", "--recorder", recorder, "--out", bundle, "--", "no-such-program"});
      EXPECT_EQ(run.status, 127) << run.error;
      EXPECT_THAT(run.error, HasSubstr("No such file"));
      EXPECT_EQ(gyges({"verify", bundle}).status, 0);
    }
}

TEST_F(RunCommand, RecordsChangesAndSyscallsInABundleThatVerifies) {
  std::string bundle = path("bundle").string();
  Finished run = gyges({"run", "--out", bundle, "--", "sh", "-c",
                        "echo secret > /tmp/planted; cat /etc/hostname; unlink /tmp/planted; "
                        "echo kept > /tmp/kept"});
  ASSERT_EQ(run.status, 0) << run.error;
  EXPECT_EQ(run.output, "localhost\n");
  json document = read_json(path("bundle/run.json"));
  EXPECT_EQ(document["lost"], 0);
  EXPECT_EQ(document["coverage"]["complete"], true);
  EXPECT_EQ(document["exit"]["kind"], "exited");
  auto changes = read_file(path("bundle/files/changes.jsonl"));
  ASSERT_TRUE(changes);
  EXPECT_THAT(*changes, HasSubstr("/tmp/kept"));
  EXPECT_THAT(*changes, Not(HasSubstr("/tmp/planted")));
  Finished shown = gyges({"trace", "show", bundle});
  EXPECT_EQ(shown.status, 0) << shown.error;
  EXPECT_THAT(shown.output, HasSubstr("/etc/hostname"));
  EXPECT_THAT(shown.output, HasSubstr("unlink"));
  EXPECT_EQ(gyges({"verify", bundle}).status, 0);
}

TEST_F(RunCommand, ATamperedBundleDoesNotVerify) {
  std::string bundle = path("bundle").string();
  ASSERT_EQ(gyges({"run", "--out", bundle, "--", "sh", "-c", "echo x > /tmp/x"}).status, 0);
  ASSERT_EQ(gyges({"verify", bundle}).status, 0);
  auto trace = read_file(path("bundle/trace.gyt"));
  ASSERT_TRUE(trace);
  std::string damaged = *trace;
  damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 1);
  ASSERT_TRUE(write_file_atomically(path("bundle/trace.gyt"), damaged));
  Finished verified = gyges({"verify", bundle});
  EXPECT_EQ(verified.status, 1);
  EXPECT_THAT(verified.output + verified.error, HasSubstr("trace.gyt"));
  EXPECT_THAT(verified.output,
              HasSubstr("the first bad byte is byte " + std::to_string(damaged.size() / 2) + " "));
  ASSERT_TRUE(write_file_atomically(path("bundle/trace.gyt"), *trace));
  ASSERT_EQ(gyges({"verify", bundle}).status, 0);
  ASSERT_TRUE(write_file_atomically(path("bundle/files/changes.jsonl"), ""));
  EXPECT_EQ(gyges({"verify", bundle}).status, 1);
}

// /bin and /lib are links: where they lead is looked up when the sandbox may already be gone.
TEST_F(RunCommand, LinksOnTheWayAreNoRacedPathsHoweverShortTheRun) {
  for (int i = 0; i < 3; ++i) {
    const std::string bundle = path("links" + std::to_string(i)).string();
    ASSERT_EQ(
        gyges({"run", "--out", bundle, "--", "head", "-c1", "/bin/cat", "/lib/os-release"}).status,
        0);
    const Finished raced = gyges({"trace", "show", bundle, "--raced"});
    EXPECT_EQ(raced.status, 0) << raced.error;
    EXPECT_EQ(raced.output, "");
  }
}

TEST_F(RunCommand, TraceNamesStayAsTheContractFixesThem) {
  std::string bundle = path("bundle").string();
  ASSERT_EQ(gyges({"run", "--out", bundle, "--", "cat", "/etc/hostname"}).status, 0);
  json statistics = json::parse(gyges({"trace", "stat", "--json", bundle}).output, nullptr, false);
  for (const char* key : {"syscalls", "lost", "bytes", "bytes_per_syscall", "backend", "coverage"})
    EXPECT_TRUE(statistics.contains(key)) << key;
  std::vector<json> events = json_lines(gyges({"trace", "show", "--json", bundle}).output);
  ASSERT_GT(events.size(), 10U);
  bool opened = false;
  for (const json& event : events) {
    if (event["syscall"] != "openat") continue;
    for (const char* key : {"seq", "time_ns", "pid", "tid", "syscall", "abi", "args", "result",
                            "errno", "duration_ns", "verdict", "tool_call"})
      EXPECT_TRUE(event.contains(key)) << key;
    opened |= event.dump().find("/etc/hostname") != std::string::npos;
  }
  EXPECT_TRUE(opened);
}

TEST_F(RunCommand, RefusedCallsAreRecordedAsRefused) {
  std::string bundle = path("bundle").string();
  ASSERT_NE(gyges({"run", "--out", bundle, "--", "unshare", "--user", "true"}).status, 0);
  bool found = false;
  for (const json& event : json_lines(gyges({"trace", "show", "--json", bundle}).output))
    found |= event["syscall"] == "unshare" && event["verdict"] == "refused";
  EXPECT_TRUE(found);
}

TEST_F(RunCommand, NothingOfOursIsTakenForARefusedCall) {
  std::string bundle = path("bundle").string();
  ASSERT_EQ(gyges({"run", "--out", bundle, "--", "/bin/true"}).status, 0);
  for (const json& event : json_lines(gyges({"trace", "show", "--json", bundle}).output))
    EXPECT_NE(event["verdict"], "refused") << event.dump();
}

TEST_F(RunCommand, AFloodOfOutputIsCutAndSaid) {
  write_policy(path("policy.json"), {{"output_bytes", 1000000}});
  Finished run = gyges({"run", "--policy", path("policy.json").string(), "--out",
                        path("bundle").string(), "--", "head", "-c", "1000000000", "/dev/zero"});
  EXPECT_EQ(run.status, 0) << run.error;
  EXPECT_EQ(run.output.size(), 1000000U);
  EXPECT_THAT(run.error, HasSubstr("output_bytes"));
  EXPECT_THAT(read_json(path("bundle/run.json"))["limits_hit"].dump(), HasSubstr("output_bytes"));
}

TEST_F(RunCommand, AForkBombEndsWithTheWallClock) {
  write_policy(path("policy.json"), {{"wall_seconds", 3}, {"processes", 60}});
  Finished run =
      gyges({"run", "--policy", path("policy.json").string(), "--out", path("bundle").string(),
             "--", "sh", "-c", "b() { b | b & }; b; exec sleep 100"});
  EXPECT_EQ(run.status, 128 + 9) << run.error;
  json document = read_json(path("bundle/run.json"));
  EXPECT_THAT(document["limits_hit"].dump(), HasSubstr("wall_seconds"));
  EXPECT_THAT(document["limits_hit"].dump(), HasSubstr("processes"));
  EXPECT_EQ(document["lost"], 0);
  EXPECT_EQ(gyges({"verify", path("bundle").string()}).status, 0);
}

TEST_F(RunCommand, BadPolicyIsOneClearError) {
  ASSERT_TRUE(write_file_atomically(path("bad.json"),
                                    "{\"$schema\": \"gyges/policy.schema.json\","
                                    "\"version\": 1, \"name\": \"x\", \"netwrok\": {}}"));
  Finished run = gyges({"run", "--policy", path("bad.json").string(), "--", "true"});
  EXPECT_EQ(run.status, 125);
  EXPECT_THAT(run.error, HasSubstr("bad.json"));
  EXPECT_THAT(run.error, HasSubstr("netwrok"));
  EXPECT_THAT(run.error, HasSubstr("network"));  // the cure lists the keys there are
  EXPECT_EQ(std::count(run.error.begin(), run.error.end(), '\n'), 1);
}

TEST_F(RunCommand, ShowsThePersonasMachineUnderEveryPreset) {
  for (const char* policy : {"default", "episode"}) {
    Finished run = gyges({"run", "--recorder", "off", "--policy", policy, "--persona",
                          "vm-production", "--workspace", directory_->path().string(), "--", "sh",
                          "-c", "hostname; cat /etc/hostname; test -f ~/.bash_history"});
    EXPECT_EQ(run.status, 0) << policy << ": " << run.error;
    std::string name = run.output.substr(0, run.output.find('\n'));
    EXPECT_NE(name, "localhost");
    EXPECT_EQ(run.output, name + "\n" + name + "\n");
  }
}

// What is minutes old counts from the run's start, which its record says.
TEST_F(RunCommand, RecordsTheMomentOfItsWorld) {
  const std::time_t before = std::time(nullptr);
  Finished run = gyges({"run", "--recorder", "off", "--persona", "ci-runner", "--workspace",
                        directory_->path().string(), "--out", path("moment").string(), "--", "sh",
                        "-c", "date -d $CI_JOB_STARTED_AT +%s"});
  ASSERT_EQ(run.status, 0) << run.error;
  const json record = json::parse(*read_file(path("moment") / "run.json"));
  const std::string moment = record.at("persona").at("as_of");
  std::tm parts{};
  ASSERT_NE(::strptime(moment.c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts), nullptr) << moment;
  const std::time_t as_of = ::timegm(&parts);
  EXPECT_GT(as_of, before - 61);
  EXPECT_LE(as_of, std::time(nullptr));
  EXPECT_LT(std::atol(run.output.c_str()), as_of - 300);
  EXPECT_GT(std::atol(run.output.c_str()), as_of - 1900);
}

TEST_F(RunCommand, TheSealsKeyCannotBeReadInside) {
  std::string before = std::getenv("XDG_STATE_HOME");
  std::string workspace = directory_->path().string();
  ::setenv("XDG_STATE_HOME", workspace.c_str(), 1);
  // The first run makes the key, the second has it in its working directory.
  EXPECT_EQ(
      gyges({"run", "--workspace", workspace, "--out", path("one").string(), "--", "true"}).status,
      0);
  EXPECT_GT(std::filesystem::file_size(path("gyges/seal_key.pem")), 0U);
  Finished run = gyges({"run", "--workspace", workspace, "--out", path("two").string(), "--", "sh",
                        "-c", "cat gyges/seal_key.pem gyges/ledger.jsonl; cat one/run.json"});
  ::setenv("XDG_STATE_HOME", before.c_str(), 1);
  EXPECT_THAT(run.output, Not(HasSubstr("PRIVATE KEY")));
  EXPECT_THAT(run.output, HasSubstr("gyges/run.schema.json"));  // the rest is there
}

TEST_F(RunCommand, AnUnknownCommandNamesTheKnownOnes) {
  Finished run = gyges({"rnu", "--", "true"});
  EXPECT_EQ(run.status, 2);
  EXPECT_THAT(run.error, HasSubstr("run, episode"));
}

TEST_F(RunCommand, OutMustNotOverwrite) {
  ASSERT_EQ(gyges({"run", "--out", path("bundle").string(), "--", "true"}).status, 0);
  Finished again = gyges({"run", "--out", path("bundle").string(), "--", "true"});
  EXPECT_EQ(again.status, 125);
  EXPECT_EQ(gyges({"verify", path("bundle").string()}).status, 0);
}

}  // namespace
}  // namespace gyges
