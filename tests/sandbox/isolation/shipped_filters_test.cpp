#include "sandbox/isolation/shipped_filters.h"

#include <gtest/gtest.h>

#include "sandbox/isolation/seccomp_filter.h"

namespace gyges::isolation {
namespace {

// What the build made is what libseccomp makes here and now, for every preset.
TEST(ShippedFilters, AreTheCompiledOnes) {
  ASSERT_FALSE(preset_names().empty());
  for (const std::string& name : preset_names()) {
    SCOPED_TRACE(name);
    auto policy = load_policy(name);
    ASSERT_TRUE(policy) << policy.error().line();
    auto compiled = compile_seccomp(policy->seccomp, policy->grants, policy->capabilities);
    ASSERT_TRUE(compiled) << compiled.error().line();
    EXPECT_EQ(shipped_filter(seccomp_key(policy->seccomp, policy->grants)), compiled->programs);
    auto used = seccomp_programs(policy->seccomp, policy->grants, policy->capabilities);
    ASSERT_TRUE(used) << used.error().line();
    EXPECT_EQ(*used, compiled->programs);
  }
}

// A policy that says one thing more is compiled anew.
TEST(ShippedFilters, AreOfNoOtherPolicy) {
  auto policy = load_policy("default");
  ASSERT_TRUE(policy) << policy.error().line();
  auto preset = seccomp_programs(policy->seccomp, policy->grants, policy->capabilities);
  ASSERT_TRUE(preset) << preset.error().line();
  SyscallRule rule;
  rule.syscall = "getppid";
  rule.code = 1;
  policy->seccomp.deny.push_back(rule);
  EXPECT_TRUE(shipped_filter(seccomp_key(policy->seccomp, policy->grants)).empty());
  auto stricter = seccomp_programs(policy->seccomp, policy->grants, policy->capabilities);
  ASSERT_TRUE(stricter) << stricter.error().line();
  EXPECT_NE(*stricter, *preset);
}

TEST(ShippedFilters, KeysTellRulesApart) {
  SeccompRules one;
  one.profile = "default";
  one.socket_families = {"unix", "inet"};
  SeccompRules other = one;
  other.socket_families = {"unix,inet"};
  EXPECT_NE(seccomp_key(one, {}), seccomp_key(other, {}));
  EXPECT_NE(seccomp_key(one, {"a", "b"}), seccomp_key(one, {"a,b"}));
  EXPECT_NE(seccomp_key(one, {"unix"}), seccomp_key(one, {}));
  one.profile = "./default.json";
  EXPECT_EQ(seccomp_key(one, {}), "") << "a file may change";
  EXPECT_TRUE(shipped_filter("").empty());
}

TEST(ShippedFilters, TableGivesBackWhatWasPutIn) {
  std::string table;
  append_filter(table, "one", {"abc", ""});
  append_filter(table, "two", {"defgh"});
  EXPECT_EQ(find_filter(table, "one"), (std::vector<std::string>{"abc", ""}));
  EXPECT_EQ(find_filter(table, "two"), (std::vector<std::string>{"defgh"}));
  EXPECT_TRUE(find_filter(table, "three").empty());
  EXPECT_TRUE(find_filter("", "one").empty());
}

}  // namespace
}  // namespace gyges::isolation
