// One program in place of several: every call must get the answer that it gets from them together.
#include "sandbox/isolation/merged_program.h"

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cstring>
#include <filesystem>
#include <random>
#include <set>

#include "base/files.h"
#include "base/json.h"
#include "base/seccomp_program.h"
#include "sandbox/isolation/filter_evaluator.h"
#include "sandbox/isolation/policy.h"

namespace gyges::isolation {
namespace {

constexpr std::uint32_t x32 = 0x40000000;

std::vector<sock_filter> steps_of(const std::string& program) {
  std::vector<sock_filter> steps(program.size() / sizeof(sock_filter));
  std::memcpy(steps.data(), program.data(), program.size());
  return steps;
}

std::string bytes_of(const std::vector<sock_filter>& steps) {
  return {reinterpret_cast<const char*>(steps.data()), steps.size() * sizeof(sock_filter)};
}

// What the programs compare with, and what lies beside it.
std::vector<std::uint32_t> edges(const std::vector<std::string>& programs) {
  std::set<std::uint32_t> values{0, 1, ~0U, 1U << 31U};
  for (const std::string& program : programs)
    for (const sock_filter& step : steps_of(program))
      if (BPF_CLASS(step.code) == BPF_JMP || BPF_CLASS(step.code) == BPF_ALU)
        values.insert({step.k - 1, step.k, step.k + 1});
  return {values.begin(), values.end()};
}

ProgramVerdict together(const std::vector<std::string>& programs, const seccomp_data& call) {
  ProgramVerdict verdict;
  for (auto program = programs.rbegin(); program != programs.rend(); ++program)
    verdict = stricter(verdict, run_seccomp_program(*program, call).value());
  return verdict;
}

struct Compared {
  std::uint64_t calls = 0;
  std::uint64_t refused = 0;
  bool same = true;
};

void compare(const std::vector<std::string>& parts, const std::string& merged,
             const seccomp_data& call, Compared& all) {
  ProgramVerdict wanted = together(parts, call);
  ProgramVerdict got = run_seccomp_program(merged, call).value();
  ++all.calls;
  all.refused += wanted.action != SECCOMP_RET_ALLOW ? 1 : 0;
  // The kernel's bitmap knows a call that is allowed without a look at its arguments.
  if (got.action == wanted.action && got.by_number >= wanted.by_number) return;
  all.same = false;
  ADD_FAILURE() << std::hex << "arch " << call.arch << " call " << call.nr << " arguments "
                << call.args[0] << " " << call.args[1] << " " << call.args[2] << " " << call.args[3]
                << ": " << got.action << " for " << wanted.action << ", by number " << got.by_number
                << " for " << wanted.by_number;
}

// All numbers of all ABIs, and for calls of which arguments are looked at, every argument with
// every value beside which an answer may change, in either half, and many of them mixed.
Compared compare_all(const std::vector<std::string>& parts, const std::string& merged) {
  Compared all;
  const std::vector<std::uint32_t> values = edges(parts);
  std::set<std::uint32_t> numbers(values.begin(), values.end());
  for (std::uint32_t number = 0; number < 1200; ++number) numbers.insert({number, x32 | number});
  std::mt19937_64 random(7);
  auto half = [&] { return std::uint64_t{values[random() % values.size()]}; };
  for (std::uint32_t arch : {std::uint32_t{AUDIT_ARCH_X86_64}, std::uint32_t{AUDIT_ARCH_I386},
                             std::uint32_t{AUDIT_ARCH_AARCH64}, 0U, ~0U})
    for (std::uint32_t number : numbers) {
      seccomp_data call{};
      call.arch = arch;
      call.nr = static_cast<int>(number);
      compare(parts, merged, call, all);
      if (!all.same) return all;
      if (together(parts, call).by_number) continue;
      for (std::size_t argument = 0; argument < 6; ++argument)
        for (std::uint64_t value : values)
          for (std::uint64_t high :
               {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{0xffffffff}}) {
            seccomp_data one = call;
            one.args[argument] = high << 32U | value;
            compare(parts, merged, one, all);
          }
      for (int mixed = 0; mixed < 5000 && all.same; ++mixed) {
        for (auto& argument : call.args)
          argument = (random() % 2 == 0 ? half() << 32U : 0) | half();
        compare(parts, merged, call, all);
      }
    }
  return all;
}

void expect_the_same(const SeccompFilter& filter) {
  ASSERT_EQ(filter.programs.size(), 1U);
  ASSERT_GE(filter.parts.size(), 3U);
  Compared all = compare_all(filter.parts, filter.programs[0]);
  EXPECT_TRUE(all.same);
  EXPECT_GT(all.calls, 10'000U);
  EXPECT_GT(all.refused, 1'000U);
  EXPECT_LT(all.refused, all.calls);
  std::size_t parts = 0;
  for (const std::string& part : filter.parts) parts += part.size();
  EXPECT_LT(filter.programs[0].size() * 2, parts) << "it is made to be shorter";
}

TEST(MergedProgram, AnswersAsThePartsOfEveryPreset) {
  ASSERT_FALSE(preset_names().empty());
  for (const std::string& name : preset_names()) {
    SCOPED_TRACE(name);
    auto policy = load_policy(name);
    ASSERT_TRUE(policy) << policy.error().line();
    auto filter = compile_seccomp(policy->seccomp, policy->grants, policy->capabilities);
    ASSERT_TRUE(filter) << filter.error().line();
    expect_the_same(*filter);
  }
}

TEST(MergedProgram, AnswersAsThePartsOfPoliciesWithConditions) {
  const char* rows[] = {
      R"({"deny": ["ptrace", {"syscall": "getppid", "action": "kill_process"},
          {"syscall": "mmap", "args": [{"index": 2, "value": "PROT_WRITE|PROT_EXEC",
           "mask": "PROT_WRITE|PROT_EXEC"}], "errno": "EACCES"},
          {"syscall": "mmap", "args": [{"index": 1, "op": "gt", "value": "0x123456789a"},
           {"index": 3, "op": "ne", "value": 34}], "errno": "ENOMEM"},
          {"syscall": "kill", "args": [{"index": 1, "op": "eq", "value": 9}],
           "action": "kill_process"}]})",
      R"({"profile": "strict", "allow": ["shmget",
          {"syscall": "personality", "args": [{"index": 0, "value": 0}]},
          {"syscall": "memfd_create", "args": [{"index": 1, "value": "MFD_CLOEXEC"}]},
          {"syscall": "memfd_create", "args": [{"index": 1, "value": 16, "mask": 48}]}]})",
      R"({"socket_families": [], "deny": [
          {"syscall": "clone", "args": [{"index": 0, "value": 256, "mask": 256}], "errno": "EAGAIN"},
          {"syscall": "ioctl", "args": [{"index": 1, "op": "ge", "value": 21505},
           {"index": 1, "op": "le", "value": 21600}], "errno": "ENOTTY"}]})",
      R"({"socket_families": ["unix", "netlink", "inet6"]})",
  };
  for (const char* row : rows)
    for (const std::vector<std::string>& grants :
         {std::vector<std::string>{}, {"nested_namespaces"}}) {
      SCOPED_TRACE(row);
      nlohmann::json value{{"$schema", "gyges/policy.schema.json"}, {"version", 1}, {"name", "t"}};
      value["seccomp"] = nlohmann::json::parse(row);
      auto policy = policy_from_json(value, "t.json");
      ASSERT_TRUE(policy) << policy.error().line();
      auto filter = compile_seccomp(policy->seccomp, grants);
      ASSERT_TRUE(filter) << filter.error().line();
      expect_the_same(*filter);
    }
}

// All comparisons there are, of 64 bits, several for one call.
TEST(MergedProgram, AnswersAsThePartsOfAnOciFile) {
  auto directory = TemporaryDirectory::create("gyges-test");
  ASSERT_TRUE(directory);
  std::filesystem::path path = directory->path() / "seccomp.json";
  ASSERT_TRUE(write_file_atomically(path, R"({
    "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
    "syscalls": [
      {"names": ["read", "write", "openat", "socket", "mount", "exit_group"],
       "action": "SCMP_ACT_ALLOW"},
      {"names": ["clone"], "action": "SCMP_ACT_ALLOW",
       "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]},
      {"names": ["personality"], "action": "SCMP_ACT_ALLOW",
       "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]},
      {"names": ["fcntl"], "action": "SCMP_ACT_ALLOW",
       "args": [{"index": 1, "value": 1, "op": "SCMP_CMP_EQ"},
                {"index": 1, "value": 3, "op": "SCMP_CMP_EQ"}]},
      {"names": ["lseek"], "action": "SCMP_ACT_ALLOW",
       "args": [{"index": 1, "value": 4294967297, "op": "SCMP_CMP_LT"},
                {"index": 2, "value": 3, "op": "SCMP_CMP_GE"}]},
      {"names": ["ioctl"], "action": "SCMP_ACT_KILL_PROCESS",
       "args": [{"index": 1, "value": 21523, "op": "SCMP_CMP_GT"},
                {"index": 0, "value": 2, "op": "SCMP_CMP_NE"}]},
      {"names": ["getpid"], "action": "SCMP_ACT_TRAP"},
      {"names": ["getuid"], "action": "SCMP_ACT_LOG"},
      {"names": ["kill"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]})"));
  SeccompRules rules;
  rules.profile = path.string();
  rules.socket_families = {"unix"};
  auto filter = compile_seccomp(rules, {}, {});
  ASSERT_TRUE(filter) << filter.error().line();
  expect_the_same(*filter);
}

// Programs of no particular sense, of everything that merging follows.
std::string random_program(std::mt19937& random) {
  const std::uint32_t values[] = {0, 1, 2, 3, 7, 8, 0x40000000, 0x80000000, 0xc000003e, ~0U};
  const std::uint32_t actions[] = {
      SECCOMP_RET_ALLOW, SECCOMP_RET_ALLOW,     SECCOMP_RET_ALLOW,
      SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO | 1, SECCOMP_RET_ERRNO | 38,
      SECCOMP_RET_LOG,   SECCOMP_RET_TRAP,      SECCOMP_RET_KILL_PROCESS};
  const std::size_t length = 4 + random() % 24;
  std::vector<sock_filter> steps;
  auto value = [&] { return values[random() % std::size(values)]; };
  auto add = [&](unsigned code, std::uint32_t k, std::size_t jt = 0, std::size_t jf = 0) {
    steps.push_back({static_cast<std::uint16_t>(code), static_cast<std::uint8_t>(jt),
                     static_cast<std::uint8_t>(jf), k});
  };
  add(BPF_LD | BPF_W | BPF_ABS, 4);
  while (steps.size() < length) {
    const std::size_t left = length - steps.size();  // instructions behind this one
    switch (random() % 6) {
      case 0:
        add(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(random() % 8 * 4));
        break;
      case 1:
        add(BPF_ALU | BPF_AND | BPF_K, value());
        break;
      case 2:
        add(BPF_JMP | BPF_JA,
            static_cast<std::uint32_t>(random() % std::min<std::size_t>(left, 3)));
        break;
      default: {
        const unsigned compares[] = {BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET};
        add(BPF_JMP | compares[random() % 4] | BPF_K, value(),
            random() % std::min<std::size_t>(left, 6), random() % std::min<std::size_t>(left, 6));
      }
    }
  }
  add(BPF_RET | BPF_K, actions[random() % std::size(actions)]);
  // Some verdicts on the way, not to end in the same one always.
  for (std::size_t i = 1; i + 1 < steps.size(); ++i)
    if (random() % 8 == 0)
      steps[i] = {BPF_RET | BPF_K, 0, 0, actions[random() % std::size(actions)]};
  return bytes_of(steps);
}

TEST(MergedProgram, AnswersAsProgramsDrawnAtRandom) {
  std::mt19937 random(11);
  std::uint64_t kinds = 0;
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::string> programs;
    for (std::uint32_t i = 0; i < 1 + random() % 4; ++i) programs.push_back(random_program(random));
    auto merged = merge_programs(programs);
    ASSERT_TRUE(merged) << merged.error().line();
    ASSERT_NE(*merged, "");
    const std::vector<std::uint32_t> values = edges(programs);
    Compared all;
    for (int draw = 0; draw < 200 && all.same; ++draw) {
      seccomp_data call{};
      auto word = [&] { return values[random() % values.size()]; };
      call.nr = static_cast<int>(word());
      call.arch = word();
      call.instruction_pointer = std::uint64_t{word()} << 32U | word();
      for (auto& argument : call.args) argument = std::uint64_t{word()} << 32U | word();
      compare(programs, *merged, call, all);
    }
    ASSERT_TRUE(all.same) << "round " << round;
    kinds += all.refused > 0 && all.refused < all.calls ? 1 : 0;
  }
  EXPECT_GT(kinds, 300U) << "programs that always say the same prove nothing";
}

TEST(MergedProgram, OfEqualActionsTheLastOneLoadedCounts) {
  auto always = [](std::uint32_t action) { return bytes_of({{BPF_RET | BPF_K, 0, 0, action}}); };
  auto merged = merge_programs({always(SECCOMP_RET_ERRNO | 1), always(SECCOMP_RET_ERRNO | 2)});
  ASSERT_TRUE(merged);
  EXPECT_EQ(*merged, always(SECCOMP_RET_ERRNO | 2));
  merged = merge_programs({always(SECCOMP_RET_KILL_THREAD), always(SECCOMP_RET_ERRNO | 2)});
  ASSERT_TRUE(merged);
  EXPECT_EQ(*merged, always(SECCOMP_RET_KILL_THREAD));
}

// What cannot be followed stays as it is, and what the kernel would refuse is an error here.
TEST(MergedProgram, WhatCalculatesIsNotMerged) {
  auto merged = merge_programs({bytes_of({{BPF_LD | BPF_W | BPF_ABS, 0, 0, 16},
                                          {BPF_ALU | BPF_ADD | BPF_K, 0, 0, 1},
                                          {BPF_RET | BPF_A, 0, 0, 0}})});
  ASSERT_TRUE(merged) << merged.error().line();
  EXPECT_EQ(*merged, "");
  EXPECT_FALSE(merge_programs({""}));
  EXPECT_FALSE(merge_programs({std::string(8, '\xff')}));
  // Each rule of six conditions has six ways to the next one, and none says anything of the others.
  std::vector<sock_filter> steps;
  for (std::uint32_t rule = 0; rule < 32; ++rule) {
    for (std::uint32_t i = 0; i < 6; ++i) {
      steps.push_back({BPF_LD | BPF_W | BPF_ABS, 0, 0, 16 + 8 * i});
      steps.push_back(
          {BPF_JMP | BPF_JSET | BPF_K, 0, static_cast<std::uint8_t>(11 - 2 * i), 1U << rule});
    }
    steps.push_back({BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | (rule + 1)});
  }
  steps.push_back({BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW});
  merged = merge_programs({bytes_of(steps)});
  ASSERT_TRUE(merged) << merged.error().line();
  EXPECT_EQ(*merged, "");
}

// More ranges than a conditional jump reaches over.
TEST(MergedProgram, LongOnesJumpAsFarAsTheyMust) {
  std::vector<sock_filter> steps{{BPF_LD | BPF_W | BPF_ABS, 0, 0, 0}};
  for (std::uint32_t number = 0; number < 900; ++number) {
    steps.push_back({BPF_JMP | BPF_JEQ | BPF_K, 0, 1, number * 2});
    steps.push_back({BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | (number % 97 + 1)});
  }
  steps.push_back({BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW});
  const std::string program = bytes_of(steps);
  auto merged = merge_programs({program});
  ASSERT_TRUE(merged) << merged.error().line();
  ASSERT_NE(*merged, "");
  Compared all;
  for (int number = 0; number < 1900; ++number) {
    seccomp_data call{};
    call.nr = number;
    compare({program}, *merged, call, all);
  }
  EXPECT_TRUE(all.same);
}

}  // namespace
}  // namespace gyges::isolation
