// The policy's rules with conditions on arguments, evaluated outside the kernel.
#include "sandbox/isolation/argument_rules.h"
#include "base/json.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <cerrno>

#include "sandbox/isolation/call_verdict.h"
#include "sandbox/isolation/filter_evaluator.h"
#include "sandbox/isolation/policy.h"

namespace gyges::isolation {
namespace {

using ::testing::HasSubstr;
using Compare = ArgumentCondition::Compare;

constexpr std::uint32_t allow = SECCOMP_RET_ALLOW;
constexpr std::uint64_t high = 0xabcd00000000;

std::uint32_t refuse(int code) {
  return SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(code);
}

std::uint32_t run(const ArgumentRules& rules, int number,
                  const std::vector<std::uint64_t>& arguments) {
  auto program = compile_argument_rules({rules});
  EXPECT_TRUE(program);
  auto verdict = evaluate_program(*program, x86_64_call(number, arguments));
  EXPECT_TRUE(verdict) << verdict.error().line();
  return verdict ? *verdict : 0;
}

bool holds(Compare compare, std::uint64_t left, std::uint64_t right) {
  switch (compare) {
    case Compare::equal:
      return left == right;
    case Compare::not_equal:
      return left != right;
    case Compare::less:
      return left < right;
    case Compare::less_equal:
      return left <= right;
    case Compare::greater:
      return left > right;
    case Compare::greater_equal:
      return left >= right;
  }
  return false;
}

// Every comparison against every neighbour of every interesting value, with masks. The argument is
// the length of mmap: 64 bits wide.
TEST(ArgumentRules, ComparesLikeArithmeticDoes) {
  constexpr std::uint64_t values[] = {0,          1,          5,        0x7fffffff, 0x80000000,
                                      0xffffffff, 1ULL << 32, high | 5, ~0ULL - 1,  ~0ULL};
  constexpr std::uint64_t masks[] = {~0ULL, 0xffffffff, 0xff, 0xffff00000000};
  for (Compare compare : {Compare::equal, Compare::not_equal, Compare::less, Compare::less_equal,
                          Compare::greater, Compare::greater_equal})
    for (std::uint64_t value : values)
      for (std::uint64_t mask : masks) {
        if ((value & ~mask) != 0) continue;
        ArgumentRules rules;
        rules.number = SYS_mmap;
        rules.deny = {{"mmap", {{1, compare, value, mask}}, EACCES}};
        for (std::uint64_t given : values) {
          bool whole = holds(compare, given & mask, value);
          bool half = holds(compare, given & mask & 0xffffffff, value & 0xffffffff);
          // A deny may fit more than the whole says, never less.
          bool fits = whole || (half && (value >> 32U) == 0);
          EXPECT_EQ(run(rules, SYS_mmap, {0, given}), fits ? refuse(EACCES) : allow)
              << static_cast<int>(compare) << " " << value << " " << mask << " " << given;
        }
      }
}

TEST(ArgumentRules, AnIntIsReadAsTheKernelReadsIt) {
  ArgumentRules rules;
  rules.number = SYS_kill;
  rules.deny = {{"kill", {{1, Compare::equal, 9}}}};
  EXPECT_EQ(run(rules, SYS_kill, {1, 9}), refuse(EPERM));
  EXPECT_EQ(run(rules, SYS_kill, {1, high | 9}), refuse(EPERM));
  EXPECT_EQ(run(rules, SYS_kill, {1, 15}), allow);
  rules.deny = {{"kill", {{1, Compare::not_equal, 15}}}};
  EXPECT_EQ(run(rules, SYS_kill, {1, high | 15}), allow);
  EXPECT_EQ(run(rules, SYS_kill, {1, high | 9}), refuse(EPERM));
}

TEST(ArgumentRules, AnAllowOfUnknownWidthNeedsTheWholeArgument) {
  ArgumentRules rules;
  rules.number = SYS_ioctl;
  rules.allow = {{"ioctl", {{1, Compare::equal, 0x5413}}}};
  rules.otherwise = {SeccompAction::Kind::refuse, ENOSYS};
  EXPECT_EQ(run(rules, SYS_ioctl, {0, 0x5413}), allow);
  EXPECT_EQ(run(rules, SYS_ioctl, {0, 0x5412}), refuse(ENOSYS));
}

TEST(ArgumentRules, DenyComesFirstAndAllConditionsCount) {
  ArgumentRules rules;
  rules.number = SYS_mprotect;
  rules.deny = {{"mprotect",
                 {{2, Compare::equal, PROT_EXEC, PROT_EXEC}, {1, Compare::greater, 4096}},
                 EPERM,
                 true}};
  rules.allow = {{"mprotect", {{2, Compare::less_equal, 7}}}};
  rules.otherwise = {SeccompAction::Kind::refuse, EINVAL};
  EXPECT_EQ(run(rules, SYS_mprotect, {0, 8192, PROT_EXEC}), SECCOMP_RET_KILL_PROCESS);
  EXPECT_EQ(run(rules, SYS_mprotect, {0, 4096, PROT_EXEC}), allow);
  EXPECT_EQ(run(rules, SYS_mprotect, {0, 8192, PROT_READ}), allow);
  EXPECT_EQ(run(rules, SYS_mprotect, {0, 8192, 8}), refuse(EINVAL));
  EXPECT_EQ(run(rules, SYS_getpid, {}), allow);
  EXPECT_EQ(run(rules, 0x40000000 | SYS_mprotect, {0, 0, 8}), refuse(ENOSYS));
}

TEST(ArgumentRules, TooManyAreAnError) {
  std::vector<ArgumentRules> all;
  for (int number = 0; number < 300; ++number) {
    ArgumentRules rules;
    rules.number = number;
    for (std::uint64_t value = 0; value < 8; ++value)
      rules.deny.push_back({"mmap", {{1, Compare::equal, value}}});
    all.push_back(rules);
  }
  auto program = compile_argument_rules(all);
  ASSERT_FALSE(program);
  EXPECT_THAT(program.error().line(), HasSubstr("fewer rules"));
}

Result<Policy> policy_with(const std::string& seccomp) {
  auto value = nlohmann::json::parse(R"({"$schema": "gyges/policy.schema.json", "version": 1,
                                         "name": "test"})");
  value["seccomp"] = nlohmann::json::parse(seccomp);
  return policy_from_json(value, "test.json");
}

Result<SeccompFilter> filter_with(const std::string& seccomp,
                                  const std::vector<std::string>& grants = {}) {
  auto policy = policy_with(seccomp);
  if (!policy) return tl::unexpected<Error>(policy.error());
  return compile_seccomp(policy->seccomp, grants);
}

std::string answer(const SeccompFilter& filter, std::string_view call) {
  auto verdict = verdict_of_call(filter, call);
  EXPECT_TRUE(verdict) << verdict.error().line();
  return verdict ? verdict->verdict : "";
}

TEST(PolicyRules, NamesNumbersAndMasksOfAPolicyDecide) {
  auto filter = filter_with(R"({"socket_families": ["unix", "inet"], "deny": ["ptrace",
    {"syscall": "mmap", "args": [{"index": 2, "value": "PROT_WRITE|PROT_EXEC",
                                  "mask": "PROT_WRITE|PROT_EXEC"}], "errno": "EACCES"},
    {"syscall": "kill", "args": [{"index": 1, "op": "eq", "value": "0x9"}],
     "action": "kill_process"}]})");
  ASSERT_TRUE(filter) << filter.error().line();
  EXPECT_EQ(filter->parts.size(), 3U);
  EXPECT_EQ(filter->programs.size(), 1U);
  EXPECT_EQ(answer(*filter, "ptrace"), "EPERM");
  EXPECT_EQ(answer(*filter, "mmap"), "allow, arguments checked");
  EXPECT_EQ(answer(*filter, "mmap(0, 4096, PROT_READ|PROT_WRITE|PROT_EXEC)"), "EACCES");
  EXPECT_EQ(answer(*filter, "mmap(0, 4096, PROT_READ|PROT_WRITE)"), "allow");
  EXPECT_EQ(answer(*filter, "kill(1, 9)"), "kills the process");
  EXPECT_EQ(answer(*filter, "kill(1, 15)"), "allow");
  EXPECT_EQ(answer(*filter, "socket(AF_INET, 1, 0)"), "allow");
  EXPECT_EQ(answer(*filter, "socket(AF_VSOCK, 1, 0)"), "EAFNOSUPPORT");
}

TEST(PolicyRules, ADangerousCallNeedsItsGrantUnderConditionsToo) {
  const char* rules = R"({"allow": [{"syscall": "keyctl", "args": [{"index": 0, "value": 0}]}]})";
  auto refused = filter_with(rules);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().line(), HasSubstr("kernel_interfaces"));
}

TEST(PolicyRules, AnAllowOpensOnlyWhatItsConditionSays) {
  auto filter = filter_with(R"({"profile": "strict", "allow": ["shmget",
    {"syscall": "personality", "args": [{"index": 0, "value": 0}]},
    {"syscall": "memfd_create", "args": [{"index": 1, "value": "MFD_CLOEXEC"}]}]})");
  ASSERT_TRUE(filter) << filter.error().line();
  EXPECT_EQ(answer(*filter, "shmget"), "allow");
  EXPECT_EQ(answer(*filter, "memfd_create(0, MFD_CLOEXEC)"), "allow");
  EXPECT_EQ(answer(*filter, "memfd_create(0, 0)"), "EPERM");
  // Both the policy's condition and the sandbox's own hold.
  EXPECT_EQ(answer(*filter, "personality(0)"), "allow");
  EXPECT_EQ(answer(*filter, "personality(8)"), "EPERM");
  EXPECT_EQ(answer(*filter, "personality(0x400000)"), "ENOSYS");
  EXPECT_EQ(answer(*filter, "semget"), "EPERM");
}

TEST(PolicyRules, WhatSaysNothingOrCannotBeIsAnError) {
  struct {
    const char* rules;
    const char* word;
  } rows[] = {
      {R"({"allow": [{"syscall": "openat", "args": [{"index": 0, "value": 1}]}]})",
       "whatever its arguments"},
      {R"({"deny": [{"syscall": "kill", "args": [{"index": 2, "value": 1}]}]})", "2 arguments"},
      {R"({"deny": [{"syscall": "kill", "args": [{"index": 1, "value": "SIGMOON"}]}]})", "SIGMOON"},
      {R"({"deny": [{"syscall": "kill", "args": [{"index": 1, "value": 3, "mask": 1}]}]})", "mask"},
      {R"({"deny": [{"syscall": "kill", "errno": "EMOON"}]})", "EMOON"},
      {R"({"deny": [{"syscall": "kill", "errno": "EPERM", "action": "kill_process"}]})", "errno"},
      {R"({"deny": [{"syscall": "killl"}]})", "killl"},
      {R"({"deny": [{"syscall": "kill", "arguments": []}]})", "arguments"},
      {R"({"deny": [{"args": [{"index": 0, "value": 1}]}]})", "syscall"},
      {R"({"deny": [{"syscall": "execve", "args": [{"index": 0, "value": 1}]}]})", "started"},
      {R"({"deny": ["execve"]})", "started"},
      {R"({"allow": [{"syscall": "openat", "errno": "EPERM"}]})", "errno"},
  };
  for (const auto& row : rows) {
    auto filter = filter_with(row.rules);
    ASSERT_FALSE(filter) << row.rules;
    EXPECT_THAT(filter.error().line(), HasSubstr(row.word));
  }
}

TEST(PolicyRules, SurviveTheWayThroughJson) {
  auto policy = policy_with(R"({"deny": ["ptrace",
    {"syscall": "mmap", "args": [{"index": 2, "op": "ge", "value": 4, "mask": 255}],
     "errno": "ENOSYS"}, {"syscall": "kill", "action": "kill_process"}]})");
  ASSERT_TRUE(policy) << policy.error().line();
  auto again = policy_from_json(policy_to_json(*policy), "again.json");
  ASSERT_TRUE(again) << again.error().line();
  EXPECT_EQ(policy->seccomp.deny, again->seccomp.deny);
  EXPECT_EQ(policy->seccomp.deny.size(), 3U);
}

TEST(CallVerdict, SaysWhoRefusesAndWhatWouldOpenIt) {
  auto filter = filter_with(R"({"deny": ["chmod"], "socket_families": []})");
  ASSERT_TRUE(filter);
  auto bpf = verdict_of_call(*filter, "bpf");
  ASSERT_TRUE(bpf);
  EXPECT_EQ(bpf->verdict, "EPERM");
  EXPECT_EQ(bpf->rule.by, "the profile default");
  EXPECT_EQ(bpf->rule.opened_by, "the grant kernel_interfaces");
  auto denied = verdict_of_call(*filter, "chmod");
  ASSERT_TRUE(denied);
  EXPECT_EQ(denied->rule.by, "the policy");
  EXPECT_THAT(denied->rule.opened_by, HasSubstr("seccomp.deny"));
  EXPECT_FALSE(verdict_of_call(*filter, "opneat"));
  EXPECT_FALSE(verdict_of_call(*filter, "openat(1"));
  EXPECT_FALSE(verdict_of_call(*filter, "openat(1,2,3,4,5,6,7)"));
  EXPECT_EQ(verdict_of_call(*filter, "mmap2")->verdict, "ENOSYS");
  EXPECT_TRUE(is_call("openat"));
  EXPECT_FALSE(is_call("defualt"));
}

}  // namespace
}  // namespace gyges::isolation
