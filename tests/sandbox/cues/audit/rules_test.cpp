// Differences, leaks and contradictions on readings that are written by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/json.h"
#include "sandbox/cues/audit/audit.h"
#include "sandbox/cues/audit/report.h"

namespace gyges::cues {
namespace {

Reading reading(const std::map<std::string, std::string>& values) {
  Reading made;
  for (const auto& [channel, value] : values)
    made.observations[channel] = {Observation::Kind::fact, "read " + channel, value, {}};
  return made;
}

std::string text_of(const std::map<std::string, std::string>& values) {
  std::string text = "{\"probe\":\"gyges\",\"version\":1}\n";
  for (const auto& [channel, value] : values)
    text +=
        nlohmann::json{
            {"channel", channel}, {"how", "read " + channel}, {"class", "fact"}, {"value", value}}
            .dump() +
        "\n";
  return text + "{\"end\":" + std::to_string(values.size()) + "}\n";
}

TEST(Difference, IsWhatIsSettledInEachConditionAndNotTheSameInAll) {
  auto report = compare_readings({{"a",
                                   {reading({{"x", "1"}, {"same", "1"}, {"goes_on", "1"}}),
                                    reading({{"x", "1"}, {"same", "1"}, {"goes_on", "3"}})}},
                                  {"b",
                                   {reading({{"x", "2"}, {"same", "1"}, {"goes_on", "2"}}),
                                    reading({{"x", "2"}, {"same", "1"}, {"goes_on", "4"}})}}},
                                 {});
  EXPECT_EQ(report.channels, 3U);
  EXPECT_EQ(report.noise, 1U);
  ASSERT_EQ(report.differences.size(), 1U);
  EXPECT_EQ(report.differences[0].channel, "x");
  EXPECT_FALSE(report.differences[0].declared);
  EXPECT_EQ(report.differences[0].values.at("b"), "2");
}

TEST(Difference, AChannelThatIsAbsentInOneConditionDiffers) {
  auto report = compare_readings({{"a", {reading({{"x", "1"}})}}, {"b", {reading({})}}}, {});
  ASSERT_EQ(report.differences.size(), 1U);
  EXPECT_EQ(report.differences[0].values.at("b"), "(absent)");
}

// Of three conditions two may differ in x; that the third differs as well is not declared.
TEST(Difference, IsDeclaredPairByPair) {
  std::vector<ConditionReadings> conditions = {{"a", {reading({{"x", "1"}})}},
                                               {"b", {reading({{"x", "2"}})}},
                                               {"c", {reading({{"x", "3"}})}}};
  auto only_a_and_b = [](std::size_t i, std::size_t k) {
    return i + k == 1 ? std::set<std::string>{"channel:x"} : std::set<std::string>{};
  };
  EXPECT_FALSE(compare_readings(conditions, only_a_and_b).differences.at(0).declared);
  conditions[2] = {"c", {reading({{"x", "1"}})}};
  auto with_b = [](std::size_t i, std::size_t k) {
    return i == 1 || k == 1 ? std::set<std::string>{"channel:x"} : std::set<std::string>{};
  };
  EXPECT_TRUE(compare_readings(conditions, with_b).differences.at(0).declared);
}

TEST(Difference, DeclaredFilesCoverTheChannelsThatReadThem) {
  EXPECT_TRUE(covers("file:/etc/motd", "F7.installed.motd", "read /etc/motd"));
  EXPECT_FALSE(covers("file:/etc/motd", "F7.x", "read /other/etc/motd"));
  EXPECT_FALSE(covers("file:/etc/motd", "F7.x", "read /etc/motd.d"));
  EXPECT_TRUE(covers("env:CI", "E.env.CI", "environment"));
  EXPECT_FALSE(covers("env:CI", "E.env.CI2", "environment"));
  EXPECT_TRUE(covers("host:hostname", "K1.uname.nodename_libc", "uname(3)"));
  EXPECT_FALSE(covers("host:hostname", "K1.uname.release", "uname(3)"));
}

// A channel that goes on with time never looks like a difference, because rounds are in turns.
TEST(Audit, ReadsInTurns) {
  int clock = 0;
  auto read = [&]() -> Result<std::string> {
    return text_of({{"clock", std::to_string(clock++ / 3)}});
  };
  auto done = audit({{"a", Claim::nothing, read, {}}, {"b", Claim::nothing, read, {}}}, {}, {2, 2});
  ASSERT_TRUE(done) << done.error().line();
  EXPECT_TRUE(done->difference.differences.empty());
}

// By chance two readings of each condition agree; further rounds show that it is noise.
TEST(Audit, ConfirmsAnUndeclaredDifference) {
  int round_a = 0;
  int round_b = 0;
  auto a = [&]() -> Result<std::string> {
    return text_of({{"x", round_a++ < 2 ? "1" : "2"}, {"y", "1"}});
  };
  auto b = [&]() -> Result<std::string> {
    return text_of({{"x", round_b++ < 2 ? "2" : "1"}, {"y", "2"}});
  };
  auto done = audit({{"a", Claim::nothing, a, {}}, {"b", Claim::nothing, b, {}}}, {}, {2, 2});
  ASSERT_TRUE(done) << done.error().line();
  EXPECT_EQ(done->rounds, 4U);
  ASSERT_EQ(done->undeclared().size(), 1U);
  EXPECT_EQ(done->undeclared()[0]->channel, "y");
}

TEST(Leak, DependsOnTheClaim) {
  Reading seen = reading(
      {{"F1.marker.dockerenv", "file"}, {"T1.cpuid.hypervisor_bit", "1"}, {"P6.tracer", "77"}});
  auto channels = [&](Claim claim) {
    std::set<std::string> found;
    for (const Leak& leak : find_leaks(seen, claim)) found.insert(leak.channel);
    return found;
  };
  EXPECT_EQ(channels(Claim::container), (std::set<std::string>{"P6.tracer"}));
  EXPECT_EQ(channels(Claim::virtual_machine),
            (std::set<std::string>{"P6.tracer", "F1.marker.dockerenv"}));
  EXPECT_EQ(channels(Claim::physical).size(), 3U);
  EXPECT_EQ(channels(Claim::nothing).size(), 3U);
}

TEST(Leak, AMechanismThatTheHostLacksIsNoCure) {
  auto cure = [](const char* faulting) {
    const Reading seen =
        reading({{"T1.cpuid.hypervisor_bit", "1"}, {"T1.cpuid.faulting", faulting}});
    for (const Leak& leak : find_leaks(seen, Claim::physical))
      if (leak.channel == "T1.cpuid.hypervisor_bit") return leak.hidden_by;
    return std::string();
  };
  EXPECT_EQ(cure("possible"), "CPUID faulting");
  EXPECT_THAT(cure("impossible"), testing::StartsWith("nothing on this host"));
}

TEST(Leak, WhatSystemdMountsInProcIsNoCover) {
  const auto leaks = [](const char* place, const char* system) {
    return find_leaks(
               reading({{place, std::string("root=/ options=rw,relatime system=") + system}}),
               Claim::virtual_machine)
        .size();
  };
  EXPECT_EQ(leaks("F2.mount./proc/sys/fs/binfmt_misc", "autofs systemd-1 rw"), 0U);
  EXPECT_EQ(leaks("F2.mount./proc/sys/fs/binfmt_misc", "binfmt_misc binfmt_misc rw"), 0U);
  EXPECT_EQ(leaks("F2.mount./proc/sys/fs/binfmt_misc", "tmpfs tmpfs rw"), 1U);
  EXPECT_EQ(leaks("F2.mount./proc/cpuinfo", "ext4 /dev/vda1 rw"), 1U);
}

TEST(Leak, TheWorstComesFirst) {
  Reading seen = reading({{"P7.seccomp", "2"}, {"E.env.GYGES_X", "gyges"}});
  auto leaks = find_leaks(seen, Claim::virtual_machine);
  ASSERT_GE(leaks.size(), 2U);
  EXPECT_EQ(leaks.front().severity, Severity::critical);
  EXPECT_EQ(leaks.front().channel, "E.env.GYGES_X");
}

TEST(Leak, EveryRuleIsComplete) {
  for (const LeakRule& rule : leak_rules()) {
    EXPECT_STRNE(rule.channel, "");
    EXPECT_STRNE(rule.meaning, "") << rule.channel;
    EXPECT_STRNE(rule.hidden_by, "") << rule.channel;
  }
}

TEST(Consistency, SeesTheReleaseTwice) {
  auto one = reading({{"K1.uname.release", "6.1.0-18-amd64"},
                      {"K2.proc.osrelease", "6.1.0-18-amd64"},
                      {"K2.proc.version", "Linux version 6.1.0-18-amd64 (x)"},
                      {"K3.auxv.vdso_version", "6.1.164"}});
  // As on Debian, whose releases keep their third number.
  EXPECT_TRUE(find_contradictions(one).empty());
  // Out of reach of every mechanism, and of most programs: it fails an audit that asks for it.
  one.observations["K3.auxv.vdso_version"].value = "6.18.44";
  ASSERT_EQ(find_contradictions(one).size(), 1U);
  EXPECT_EQ(find_contradictions(one)[0].readings.size(), 2U);
  EXPECT_EQ(find_contradictions(one)[0].severity, Severity::medium);
  EXPECT_FALSE(find_contradictions(one)[0].hidden_by.empty());
  one.observations["K2.proc.osrelease"].value = "6.1.0-19-amd64";
  ASSERT_EQ(find_contradictions(one).size(), 2U);
  EXPECT_EQ(find_contradictions(one)[0].severity, Severity::critical);
}

TEST(Consistency, CountsProcessorsInEveryForm) {
  auto one = reading({{"K11.information.processors_online", "4"},
                      {"T2.cpuinfo.processors", "4"},
                      {"T5.stat_processors", "5"},
                      {"T5.cpu.online", "0-2,7"},
                      {"P18.affinity.raw", "4, from 0 to 3"},
                      {"P18.allowed", "f"},
                      {"P18.allowed_list", "0-3"}});
  EXPECT_TRUE(find_contradictions(one).empty());
  one.observations["P18.allowed"].value = "3";
  one.observations["T5.cpu.online"].value = "0-1";
  EXPECT_EQ(find_contradictions(one).size(), 2U);
}

TEST(Consistency, ClocksMustAgree) {
  EXPECT_TRUE(find_contradictions(reading({{"T8.uptime.proc_minus_boottime", "0"}})).empty());
  EXPECT_EQ(find_contradictions(reading({{"T8.uptime.proc_minus_boottime", "86400"}})).size(), 1U);
}

std::set<std::string> facts_of(const std::map<std::string, std::string>& values) {
  std::set<std::string> facts;
  for (const Contradiction& found : find_contradictions(reading(values))) facts.insert(found.fact);
  return facts;
}

// A mitigation of what the processor does not have was shown, and the other way round.
TEST(Consistency, WeaknessesAreThoseOfTheProcessor) {
  const std::string bugs = "spectre_v1 retbleed";
  const std::string srso = "T5.cpu.vulnerabilities_spec_rstack_overflow";
  const std::string retbleed = "T5.cpu.vulnerabilities_retbleed";
  const std::set<std::string> wrong = {"weaknesses of the processor"};
  EXPECT_TRUE(
      facts_of({{"T2.cpuinfo.bugs", bugs}, {srso, "Not affected"}, {retbleed, "Vulnerable"}})
          .empty());
  EXPECT_EQ(facts_of({{"T2.cpuinfo.bugs", bugs}, {srso, "Mitigation: safe RET"}}), wrong);
  EXPECT_EQ(facts_of({{"T2.cpuinfo.bugs", bugs}, {retbleed, "Not affected"}}), wrong);
}

TEST(Consistency, LoadedModulesAreListed) {
  const std::set<std::string> wrong = {"loaded modules"};
  EXPECT_TRUE(facts_of({{"K5.modules", "40"}, {"K5.modules_loaded", "40"}}).empty());
  EXPECT_TRUE(facts_of({{"K5.modules", "0"}, {"K5.modules_loaded", "0"}}).empty());
  EXPECT_EQ(facts_of({{"K5.modules", "39"}, {"K5.modules_loaded", "40"}}), wrong);
  Reading missing = reading({{"K5.modules_loaded", "40"}});
  missing.observations["K5.modules"] = {Observation::Kind::fact, "read", {}, "ENOENT"};
  EXPECT_EQ(find_contradictions(missing).size(), 1U);
}

TEST(Consistency, FirmwareAndProcessorNameOneHypervisor) {
  std::map<std::string, std::string> values{{"K13.dmi.sys_vendor", "QEMU"},
                                            {"T1.cpuid.hypervisor_bit", "1"},
                                            {"T1.cpuid.hypervisor_name", "KVMKVMKVM"}};
  auto facts = [&] {
    std::set<std::string> names;
    for (const Contradiction& found : find_contradictions(reading(values)))
      names.insert(found.fact);
    return names;
  };
  EXPECT_TRUE(facts().empty());
  values["T1.cpuid.hypervisor_name"] = "bhyve bhyve ";
  EXPECT_EQ(facts(), std::set<std::string>{"hypervisor by firmware and processor"});
  values["K13.dmi.sys_vendor"] = "Microsoft Corporation";
  EXPECT_EQ(facts().size(), 1U);
  values["T1.cpuid.hypervisor_name"] = "Microsoft Hv";
  EXPECT_TRUE(facts().empty());
  values["K13.dmi.sys_vendor"] = "Supermicro";  // says nothing of a hypervisor
  EXPECT_TRUE(facts().empty());
}

TEST(Consistency, CachesAndInterfacesAreThoseThatTheKernelTellsElsewhere) {
  EXPECT_TRUE(facts_of({{"T1.cpuid.last_cache_kb", "16384"},
                        {"T5.cpu.cpu0_cache_index3_size", "16384K"},
                        {"N1.links", "lo eth0"},
                        {"N1.interface.procfs", "eth0 lo"},
                        {"P14.login_screen", "yes"},
                        {"K10.own_group", "yes"}})
                  .empty());
  EXPECT_EQ(facts_of({{"T1.cpuid.last_cache_kb", "266240"},
                      {"T5.cpu.cpu0_cache_index3_size", "16384K"},
                      {"N1.links", "lo eth0"},
                      {"N1.interface.procfs", "lo"},
                      {"P14.login_screen", "no"},
                      {"K10.own_group", "no"}})
                .size(),
            4U);
}

TEST(Consistency, LimitsAndDisksAreTheSameByEveryReading) {
  const std::vector<std::pair<std::string, std::string>> facts = {
      {"K10.group_limits", "limits of this process's group"},
      {"P20.rows", "rows of status and the kernel's release"},
      {"K18.open_files", "limit of open files"},
      {"K9.counts", "counts of disks by sysfs and procfs"},
      {"F13.disk", "room of the root's disk at its mounts"},
      {"K15.types", "types of mounts and those of the kernel"}};
  for (const auto& [channel, fact] : facts) {
    EXPECT_TRUE(facts_of({{channel.c_str(), "yes"}}).empty()) << channel;
    EXPECT_EQ(facts_of({{channel.c_str(), "no"}}), std::set<std::string>{fact}) << channel;
  }
}

TEST(Report, NothingFromInsideDrivesTheTerminal) {
  auto evil = [](const char* value) {
    return [value]() -> Result<std::string> { return text_of({{"E.env.SANDBOX", value}}); };
  };
  auto done = audit({{"a", Claim::nothing, evil("\x1b[2J"), {}},
                     {"b", Claim::nothing, evil("\x1b[3J\nUNDECLARED"), {}}},
                    {}, {1, 0});
  ASSERT_TRUE(done) << done.error().line();
  std::string text = audit_to_text(*done, true);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_EQ(text.find("\nUNDECLARED\n"), std::string::npos);
  auto json = audit_to_json(*done);
  EXPECT_EQ(json.at("differences").size(), 1U);
  EXPECT_EQ(json.at("leaks").at(0).at("severity"), "critical");
}

}  // namespace
}  // namespace gyges::cues
