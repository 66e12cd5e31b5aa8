#include "sandbox/isolation/seccomp_filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace gyges::isolation {
namespace {

using ::testing::HasSubstr;

std::string verdict_of(const SeccompFilter& filter, const std::string& name) {
  for (const SyscallVerdict& verdict : filter.verdicts)
    if (verdict.name == name) return verdict.verdict;
  return "";
}

SeccompRules default_rules() {
  return load_policy("default").value().seccomp;
}

TEST(SeccompFilter, DefaultProfileRefusesWhatItNames) {
  auto filter = compile_seccomp(default_rules(), {});
  ASSERT_TRUE(filter) << filter.error().line();
  EXPECT_EQ(filter->parts.size(), 3U);
  EXPECT_EQ(filter->programs.size(), 1U);
  EXPECT_EQ(verdict_of(*filter, "mount"), "EPERM");
  EXPECT_EQ(verdict_of(*filter, "unshare"), "EPERM");
  EXPECT_EQ(verdict_of(*filter, "io_uring_setup"), "ENOSYS");
  EXPECT_EQ(verdict_of(*filter, "clone3"), "ENOSYS");
  EXPECT_EQ(verdict_of(*filter, "openat"), "allow");
  EXPECT_EQ(verdict_of(*filter, "socket"), "allow, arguments checked");
}

TEST(SeccompFilter, EverySyscallHasOneVerdict) {
  auto filter = compile_seccomp(default_rules(), {});
  ASSERT_TRUE(filter);
  EXPECT_GT(filter->verdicts.size(), 330U);
  for (const SyscallVerdict& verdict : filter->verdicts) EXPECT_FALSE(verdict.verdict.empty());
}

TEST(SeccompFilter, AllowingADangerousCallNeedsItsGrant) {
  SeccompRules rules = default_rules();
  rules.allow = {{"bpf"}};
  auto refused = compile_seccomp(rules, {});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().line(), HasSubstr("kernel_interfaces"));
  EXPECT_TRUE(compile_seccomp(rules, {"kernel_interfaces"}));
}

TEST(SeccompFilter, DenyAndUnknownNames) {
  SeccompRules rules = default_rules();
  rules.deny = {{"openat"}};
  EXPECT_EQ(verdict_of(*compile_seccomp(rules, {}), "openat"), "EPERM");
  rules.deny = {{"opneat"}};
  auto unknown = compile_seccomp(rules, {});
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error().line(), HasSubstr("opneat"));
}

}  // namespace
}  // namespace gyges::isolation
