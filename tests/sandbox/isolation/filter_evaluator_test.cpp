// What the compiled programs say of each call, evaluated outside the kernel.
#include "sandbox/isolation/filter_evaluator.h"

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/netlink.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <map>
#include <memory>

#include "base/files.h"
#include "sandbox/isolation/seccomp_profile.h"

namespace gyges::isolation {
namespace {

constexpr std::uint32_t allow = SECCOMP_RET_ALLOW;

std::uint32_t refuse(int code) {
  return SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(code);
}

SeccompFilter filter_of(const std::string& preset) {
  auto policy = load_policy(preset);
  EXPECT_TRUE(policy) << preset;
  auto filter = compile_seccomp(policy->seccomp, policy->grants);
  EXPECT_TRUE(filter) << filter.error().line();
  return *filter;
}

std::uint32_t verdict(const SeccompFilter& filter, int number,
                      const std::vector<std::uint64_t>& arguments = {}) {
  auto result = evaluate_filter(filter, x86_64_call(number, arguments));
  EXPECT_TRUE(result) << result.error().line();
  return result ? *result : 0;
}

// What `policy explain` prints is what the programs do, for every number there can be.
TEST(FilterEvaluator, EveryVerdictIsWhatTheProgramsDo) {
  for (const char* preset : {"default", "strict", "coding_agent", "observe", "episode"}) {
    SeccompFilter filter = filter_of(preset);
    std::map<int, std::string> said;
    for (const SyscallVerdict& row : filter.verdicts) said[row.number] = row.verdict;
    // Arguments that no rule is about: a unix socket, no flags, no pid.
    std::vector<std::uint64_t> harmless{AF_UNIX, 0, 0, 0, 0, 0};
    for (int number = 0; number < 600; ++number) {
      std::vector<std::uint64_t> arguments = harmless;
      if (number == SYS_clone || number == SYS_personality || number == SYS_prlimit64 ||
          syscall_name(number).starts_with("sched_set"))
        arguments[0] = 0;
      std::uint32_t done = verdict(filter, number, arguments);
      std::string words = said.count(number) > 0 ? said[number] : "ENOSYS";
      std::uint32_t expected = words.starts_with("allow") ? allow
                               : words == "ENOSYS"        ? refuse(ENOSYS)
                               : words == "EACCES"        ? refuse(EACCES)
                                                          : refuse(EPERM);
      EXPECT_EQ(done, expected) << preset << ": " << number << " " << syscall_name(number);
    }
  }
}

TEST(FilterEvaluator, ForeignCallsKill) {
  SeccompFilter filter = filter_of("default");
  seccomp_data call = x86_64_call(SYS_getpid);
  EXPECT_EQ(evaluate_filter(filter, call).value(), allow);
  call.arch = AUDIT_ARCH_I386;
  EXPECT_EQ(evaluate_filter(filter, call).value(), SECCOMP_RET_KILL_PROCESS);
  EXPECT_EQ(verdict(filter, 0x40000000 | SYS_getpid), refuse(ENOSYS));
}

TEST(FilterEvaluator, ArgumentsAreReadAsTheKernelReadsThem) {
  SeccompFilter filter = filter_of("default");
  std::uint64_t high = 0xabcd00000000;
  for (int family = 0; family < 64; ++family) {
    bool open = family == AF_UNIX || family == AF_INET || family == AF_INET6;
    // Of netlink two protocols are open; this is none of them.
    const bool netlink = family == AF_NETLINK;
    const std::uint64_t protocol = netlink ? NETLINK_NETFILTER : 0;
    EXPECT_EQ(verdict(filter, SYS_socket, {static_cast<std::uint64_t>(family), 0, protocol}),
              open      ? allow
              : netlink ? refuse(EPROTONOSUPPORT)
                        : refuse(EAFNOSUPPORT))
        << family;
    if (!open) {
      EXPECT_NE(
          verdict(filter, SYS_socket, {high | static_cast<std::uint64_t>(family), 0, protocol}),
          allow);
    }
  }
  EXPECT_EQ(verdict(filter, SYS_clone, {SIGCHLD}), allow);
  for (std::uint64_t flag : {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWNET, CLONE_UNTRACED})
    for (std::uint64_t more : {std::uint64_t{0}, high, std::uint64_t{CLONE_VM | CLONE_FS}})
      EXPECT_EQ(verdict(filter, SYS_clone, {flag | more}), refuse(EPERM)) << flag;
  for (std::uint64_t request : {TIOCSTI, TIOCLINUX}) {
    EXPECT_EQ(verdict(filter, SYS_ioctl, {0, request}), refuse(EPERM));
    EXPECT_EQ(verdict(filter, SYS_ioctl, {0, high | request}), refuse(EPERM));
  }
  EXPECT_EQ(verdict(filter, SYS_ioctl, {0, TIOCGWINSZ}), allow);
  EXPECT_EQ(verdict(filter, SYS_seccomp, {1, 8}), refuse(EPERM));
  EXPECT_EQ(verdict(filter, SYS_seccomp, {1, 1}), allow);
  EXPECT_EQ(verdict(filter, SYS_personality, {0x40000}), allow);
  EXPECT_EQ(verdict(filter, SYS_personality, {0x400000}), refuse(ENOSYS));
  for (int call : {SYS_prlimit64, SYS_sched_setscheduler, SYS_sched_setaffinity}) {
    EXPECT_EQ(verdict(filter, call, {1}), refuse(EPERM)) << call;
    EXPECT_EQ(verdict(filter, call, {high | 1}), refuse(EPERM)) << call;
    EXPECT_EQ(verdict(filter, call, {2}), allow) << call;
  }
  EXPECT_EQ(verdict(filter, SYS_setpriority, {0, 1}), refuse(EPERM));
  EXPECT_EQ(verdict(filter, SYS_setpriority, {2, 0}), refuse(EPERM));
  EXPECT_EQ(verdict(filter, SYS_setpriority, {0, 0}), allow);
  for (int call : {SYS_setxattr, SYS_lsetxattr, SYS_fsetxattr}) {
    EXPECT_EQ(verdict(filter, call, {0, 0, 0, 1024}), allow) << call;
    EXPECT_EQ(verdict(filter, call, {0, 0, 0, 1025}), refuse(ENOSPC)) << call;
    EXPECT_EQ(verdict(filter, call, {0, 0, 0, high}), refuse(ENOSPC)) << call;
  }
}

TEST(FilterEvaluator, StrictAllowsOnlyItsList) {
  SeccompFilter filter = filter_of("strict");
  for (int number : {SYS_openat, SYS_execve, SYS_clone, SYS_copy_file_range, SYS_wait4})
    EXPECT_EQ(verdict(filter, number), allow) << number;
  for (int number : {SYS_ptrace, SYS_shmget, SYS_mq_open, SYS_io_setup, SYS_memfd_create,
                     SYS_process_vm_readv, SYS_seccomp, SYS_mount, SYS_personality})
    EXPECT_EQ(verdict(filter, number), refuse(EPERM)) << number;
  EXPECT_EQ(verdict(filter, SYS_socket, {AF_INET}), refuse(EAFNOSUPPORT));
}

TEST(FilterEvaluator, BrokenProgramsAreErrors) {
  seccomp_data call = x86_64_call(0);
  EXPECT_FALSE(evaluate_program("", call));
  EXPECT_FALSE(evaluate_program("1234567", call));
  EXPECT_FALSE(evaluate_program(std::string(8, '\0'), call));  // runs past its end
  EXPECT_FALSE(evaluate_program(std::string(8, '\xff'), call));
}

// A file in the documented form (OCI runtime specification, and Docker's additions), by hand.
constexpr const char* oci = R"({
  "defaultAction": "SCMP_ACT_ERRNO",
  "defaultErrnoRet": 1,
  "archMap": [{"architecture": "SCMP_ARCH_X86_64",
               "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]}],
  "syscalls": [
    {"names": ["read", "write", "openat", "clone", "socket", "mount", "exit_group", "_llseek",
               "a_call_of_tomorrow"], "action": "SCMP_ACT_ALLOW"},
    {"names": ["personality"], "action": "SCMP_ACT_ALLOW",
     "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]},
    {"names": ["fcntl"], "action": "SCMP_ACT_ALLOW", "comment": "two of its commands",
     "args": [{"index": 1, "value": 1, "op": "SCMP_CMP_EQ"},
              {"index": 1, "value": 3, "op": "SCMP_CMP_EQ"}]},
    {"names": ["kill"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
    {"names": ["chown"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_CHOWN"]}},
    {"names": ["fchown"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_CHOWN"]}},
    {"names": ["getuid"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["s390"]}},
    {"names": ["getgid"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64"]}},
    {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
    {"names": ["mq_open"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "99.0"}}
  ]})";

class OciProfile : public ::testing::Test {
 protected:
  void SetUp() override {
    auto directory = TemporaryDirectory::create("gyges-test");
    ASSERT_TRUE(directory);
    directory_ = std::make_unique<TemporaryDirectory>(std::move(*directory));
  }

  Result<SeccompFilter> compile(const std::string& text,
                                const std::vector<std::string>& capabilities = {}) {
    std::filesystem::path path = directory_->path() / "seccomp.json";
    EXPECT_TRUE(write_file_atomically(path, text));
    SeccompRules rules;
    rules.profile = path.string();
    rules.socket_families = {"unix"};
    return compile_seccomp(rules, {}, capabilities);
  }

  std::unique_ptr<TemporaryDirectory> directory_;
};

TEST(FixedRules, NetlinkIsOpenForQuestionsAboutOnesOwnNetworkAlone) {
  SeccompRules rules;
  rules.profile = "default";
  rules.socket_families = {"unix", "netlink_route"};
  const auto filter = compile_seccomp(rules, {}, {});
  ASSERT_TRUE(filter) << filter.error().line();
  auto socket = [&](std::uint64_t protocol) {
    return verdict(*filter, SYS_socket, {AF_NETLINK, SOCK_RAW, protocol});
  };
  EXPECT_EQ(socket(NETLINK_ROUTE), allow);
  EXPECT_EQ(socket(NETLINK_SOCK_DIAG), allow);
  for (std::uint64_t protocol = 0; protocol < 40; ++protocol) {
    if (protocol != NETLINK_ROUTE && protocol != NETLINK_SOCK_DIAG) {
      EXPECT_EQ(socket(protocol), refuse(EPROTONOSUPPORT)) << protocol;
    }
    EXPECT_EQ(socket(protocol | 1ULL << 32U), refuse(EPROTONOSUPPORT)) << protocol;
  }
  EXPECT_EQ(verdict(*filter, SYS_socket, {AF_INET, SOCK_RAW, 0}), refuse(EAFNOSUPPORT));
  // The whole family, where a policy has it.
  rules.socket_families = {"netlink", "netlink_route"};
  EXPECT_EQ(verdict(*compile_seccomp(rules, {}, {}), SYS_socket,
                    {AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER}),
            allow);
}

TEST_F(OciProfile, LoadsUnchanged) {
  auto filter = compile(oci);
  ASSERT_TRUE(filter) << filter.error().line();
  EXPECT_EQ(verdict(*filter, SYS_read), allow);
  EXPECT_EQ(verdict(*filter, SYS_chdir), refuse(EPERM));
  EXPECT_EQ(verdict(*filter, SYS_personality, {8}), allow);
  EXPECT_EQ(verdict(*filter, SYS_personality, {0x40000}), refuse(EPERM));
  EXPECT_EQ(verdict(*filter, SYS_fcntl, {0, 1}), allow);
  EXPECT_EQ(verdict(*filter, SYS_fcntl, {0, 3}), allow);
  EXPECT_EQ(verdict(*filter, SYS_fcntl, {0, 2}), refuse(EPERM));
  EXPECT_EQ(verdict(*filter, SYS_kill), refuse(ENOSYS));
  EXPECT_EQ(verdict(*filter, SYS_chown), refuse(EPERM));
  EXPECT_EQ(verdict(*filter, SYS_fchown), allow);
  EXPECT_EQ(verdict(*filter, SYS_getuid), refuse(EPERM));
  EXPECT_EQ(verdict(*filter, SYS_getgid), allow);
  EXPECT_EQ(verdict(*filter, SYS_ptrace), allow);
  EXPECT_EQ(verdict(*filter, SYS_mq_open), refuse(EPERM));
  EXPECT_EQ(verdict(*filter, 599), refuse(ENOSYS));
  // What the sandbox itself refuses stays refused.
  EXPECT_EQ(verdict(*filter, SYS_mount), refuse(EPERM));
  EXPECT_EQ(verdict(*filter, SYS_clone, {CLONE_NEWUSER}), refuse(EPERM));
  EXPECT_EQ(verdict(*filter, SYS_socket, {AF_NETLINK}), refuse(EAFNOSUPPORT));
  EXPECT_EQ(verdict(*compile(oci, {"CAP_CHOWN"}), SYS_chown), allow);
  EXPECT_NE(verdict(*compile(oci, {"CAP_CHOWN"}), SYS_fchown), allow);
}

TEST_F(OciProfile, WhatItDoesNotKnowIsAnErrorThatNamesIt) {
  struct {
    const char* text;
    const char* word;
  } rows[] = {
      {R"({"defaultAction": "SCMP_ACT_NOTIFY"})", "SCMP_ACT_NOTIFY"},
      {R"({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/x"})", "listenerPath"},
      {R"({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG"]})", "LOG"},
      {R"({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_ARM"]})", "x86-64"},
      {R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"]}]})", "action"},
      {R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_KILL"}]})",
       "names no"},
      {R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"],
          "action": "SCMP_ACT_KILL", "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]})",
       "index"},
      {R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"],
          "action": "SCMP_ACT_KILL", "includes": {"moon": ["full"]}}]})",
       "moon"},
      {R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": {}})", "list"},
  };
  for (const auto& row : rows) {
    auto filter = compile(row.text);
    ASSERT_FALSE(filter) << row.text;
    EXPECT_NE(filter.error().line().find(row.word), std::string::npos) << filter.error().line();
  }
}

}  // namespace
}  // namespace gyges::isolation
