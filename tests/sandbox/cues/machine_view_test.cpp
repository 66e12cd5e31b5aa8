// What a persona's machine is made of, where the host has a say in it.
#include <cpuid.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "sandbox/cues/disguise.h"
#include "sandbox/cues/machine_trees.h"

namespace gyges::cues {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string brand_by_cpuid() {
  std::array<char, 49> brand{};
  for (unsigned leaf = 0; leaf < 3; ++leaf) {
    std::array<std::uint32_t, 4> words{};
    if (__get_cpuid(0x80000002 + leaf, &words[0], &words[1], &words[2], &words[3]) == 0) return {};
    std::memcpy(brand.data() + 16 * leaf, words.data(), 16);
  }
  const std::string text = brand.data();
  const std::size_t first = text.find_first_not_of(' ');
  return first == std::string::npos ? std::string()
                                    : text.substr(first, text.find_last_not_of(' ') - first + 1);
}

struct Processor : ::testing::Test {
  Processor() {
    persona.machine.emplace();
    host.processor =
        "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: Where It Began 9000\n"
        "stepping\t: 1\n";
  }
  std::string block() { return make_view(persona, 1, isolation::CueRules{}, host).processor; }
  Persona persona;
  HostMachine host;
};

// A virtual machine that was moved while it ran keeps the first name in /proc/cpuinfo.
TEST_F(Processor, HasTheNameThatEveryProgramCanAskFor) {
  const std::string brand = brand_by_cpuid();
  if (brand.empty()) GTEST_SKIP() << "CPUID has no name for this processor";
  EXPECT_THAT(block(), HasSubstr("\nmodel name\t: " + brand + "\n"));
  EXPECT_THAT(block(), Not(HasSubstr("Where It Began")));
  EXPECT_THAT(block(), HasSubstr("vendor_id\t: AuthenticAMD\n"));
}

TEST_F(Processor, HasTheNameThatThePersonaGivesIt) {
  persona.machine->processor = {{"model name", "Kept Name"}};
  EXPECT_THAT(block(), HasSubstr("\nmodel name\t: Kept Name\n"));
}

Machine machine_of(const char* text) {
  return machine_from_json(nlohmann::json::parse(text));
}

std::string complaint(const char* text, std::uint64_t days) {
  const Status checked = check_machine(machine_of(text), days * 86400, "p.json");
  return checked ? "" : checked.error().line();
}

TEST(CheckMachine, AContainerIsNoOlderThanItsNode) {
  const char* old = R"({"claims":{"container":"docker"},"processes":{"age_days":9.5}})";
  EXPECT_EQ(complaint(old, 11), "");
  EXPECT_THAT(complaint(old, 10), HasSubstr("p.json at /machine/processes/age_days"));
  EXPECT_THAT(complaint(old, 10), HasSubstr("make uptime_days at least 11"));
  EXPECT_THAT(complaint(R"({"claims":{"container":"none"},"processes":{"age_days":1}})", 90),
              HasSubstr("is a container's"));
  EXPECT_THAT(
      complaint(R"({"claims":{"container":"docker"},"processes":{"age_days":1,"recent":true}})", 9),
      HasSubstr("leave one out"));
}

TEST(CheckMachine, PartitionsLeaveTheRootAPlaceAndEachOtherTheirs) {
  const auto with = [](const char* partitions) {
    return complaint((R"({"claims":{"container":"none"},"disks":[{"name":"vda","major":254,)"
                      R"("megabytes":900,"partitions":)" +
                      std::string(partitions) + "}]}")
                         .c_str(),
                     9);
  };
  EXPECT_EQ(with(R"([{"name":"vda1","megabytes":400},{"name":"vda2","megabytes":9,"mount":"/a"}])"),
            "");
  EXPECT_THAT(with(R"([{"name":"vda1","megabytes":400,"mount":"/a"}])"), HasSubstr("for the root"));
  EXPECT_THAT(with(R"([{"name":"vda1","megabytes":400},{"name":"vda2","megabytes":9,"mount":"/a"},)"
                   R"({"name":"vda3","megabytes":9,"mount":"/a"}])"),
              HasSubstr("/machine/disks/0/partitions/2/mount"));
}

TEST(MountTable, ANestedMountIsInWhatHoldsIt) {
  Persona persona;
  persona.machine = machine_of(
      R"({"claims":{"container":"none"},"disks":[{"name":"vda","major":254,"megabytes":900,)"
      R"("partitions":[{"name":"vda1","megabytes":400},)"
      R"({"name":"vda2","megabytes":9,"mount":"/srv/a"},)"
      R"({"name":"vda3","megabytes":9,"mount":"/srv"}]}]})");
  HostMachine host;
  host.processor = "processor\t: 0\n";
  std::map<std::string, MountRow> rows;
  for (const MountRow& row : mount_rows(make_view(persona, 1, isolation::CueRules{}, host)))
    rows[row.point] = row;
  ASSERT_TRUE(rows.contains("/srv/a") && rows.contains("/srv") && rows.contains("/"));
  EXPECT_EQ(rows["/srv/a"].parent, rows["/srv"].id);
  EXPECT_LT(rows["/srv"].id, rows["/srv/a"].id);
  EXPECT_EQ(rows["/srv"].parent, rows["/"].id);
}

}  // namespace
}  // namespace gyges::cues
