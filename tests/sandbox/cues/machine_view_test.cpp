// What a persona's machine is made of, where the host has a say in it.
#include <cpuid.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/assets.h"
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

std::string complaint(const nlohmann::json& machine, std::uint64_t days) {
  const Status checked = check_machine(machine_from_json(machine), days * 86400, "p.json");
  return checked ? "" : checked.error().line();
}

nlohmann::json container(double age_days) {
  return {{"claims", {{"container", "docker"}}}, {"processes", {{"age_days", age_days}}}};
}

TEST(CheckMachine, AContainerIsNoOlderThanItsMachine) {
  EXPECT_EQ(complaint(container(9.5), 11), "");
  EXPECT_THAT(complaint(container(9.5), 10),
              HasSubstr("p.json at /machine/processes/age_days: the container is older than"));
  EXPECT_THAT(complaint(container(9.5), 10), HasSubstr("uptime_days 11"));
  nlohmann::json machine = container(1);
  machine["processes"] = {{"recent", true}};
  EXPECT_EQ(complaint(machine, 1), "");
  // There is nothing of it to make smaller.
  EXPECT_THAT(complaint(machine, 0), HasSubstr("Cure: make uptime_days 1 at least"));
  machine = container(1);
  machine["claims"]["container"] = "none";
  EXPECT_THAT(complaint(machine, 90), HasSubstr("is a container's"));
  machine.erase("processes");
  EXPECT_EQ(complaint(machine, 90), "");
}

nlohmann::json disk_of(const std::vector<nlohmann::json>& partitions) {
  return {{"claims", {{"container", "none"}}},
          {"disks", {{{"name", "vda"}, {"megabytes", 900}, {"partitions", partitions}}}}};
}

nlohmann::json part(const char* name, int megabytes, const char* mount = "") {
  nlohmann::json made{{"name", name}, {"megabytes", megabytes}};
  if (*mount != '\0') made["mount"] = mount;
  return made;
}

TEST(CheckMachine, PartitionsLeaveTheRootAPlaceAndEachOtherTheirs) {
  const auto root = part("vda1", 400);
  EXPECT_EQ(complaint(disk_of({root, part("vda2", 500, "/srv")}), 9), "");
  EXPECT_EQ(complaint(disk_of({root, part("vda2", 9, "/development")}), 9), "");
  EXPECT_THAT(complaint(disk_of({part("vda1", 400, "/srv")}), 9), HasSubstr("left for the root"));
  EXPECT_THAT(complaint(disk_of({root, part("vda2", 9, "/srv"), part("vda3", 9, "/srv")}), 9),
              HasSubstr("p.json at /machine/disks/0/partitions/2/mount: \"/srv\" is another"));
  EXPECT_THAT(complaint(disk_of({root, part("vda2", 501, "/srv")}), 9), HasSubstr("they have 901"));
  for (const char* taken : {"/proc", "/dev/shm", "/etc", "/run/user", "/lib/modules"})
    EXPECT_THAT(complaint(disk_of({root, part("vda2", 9, taken)}), 9),
                HasSubstr("/partitions/1/mount: \"" + std::string(taken) + "\" is on no machine"));
  for (const char* name : {"vda1", "vdb2", "vda"})
    EXPECT_THAT(complaint(disk_of({root, part(name, 9)}), 9),
                HasSubstr("/partitions/1/name: \"" + std::string(name) + "\" is not"));
}

// Whoever names the manifest is told, before anything is started.
TEST(CheckMachine, IsAskedOfEveryManifest) {
  auto persona = nlohmann::json::parse(*asset("policies/personas/bare.json"));
  persona["uptime_days"] = 12;
  persona["machine"] = container(9.5);
  const std::string path = ::testing::TempDir() + "persona_of_check_machine.json";
  const auto loaded = [&] {
    std::ofstream(path) << persona.dump();
    const auto made = load_persona(path);
    return made ? std::string() : made.error().line();
  };
  EXPECT_EQ(loaded(), "");
  persona["uptime_days"] = 9;
  EXPECT_THAT(loaded(), HasSubstr(path + " at /machine/processes/age_days: "));
}

TEST(MountTable, ANestedMountIsInWhatHoldsIt) {
  Persona persona;
  persona.machine = machine_from_json(
      disk_of({part("vda1", 400), part("vda2", 9, "/srv/a"), part("vda3", 9, "/srv")}));
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
