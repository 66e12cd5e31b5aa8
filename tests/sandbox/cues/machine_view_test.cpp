// What a persona's machine is made of, where the host has a say in it.
#include <cpuid.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <string>

#include "sandbox/cues/disguise.h"

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
  return first == std::string::npos
             ? std::string()
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

}  // namespace
}  // namespace gyges::cues
