// What the capture map says of whole calls.
#include "sandbox/recorder/capture/capture_plan.h"

#include <gtest/gtest.h>

#include <cstddef>

namespace gyges::recorder {
namespace {

const wire::plan& plan_of(Abi abi, std::string_view name) {
  for (const SyscallSpec& spec : syscalls(abi))
    if (spec.name == name) return *capture_plan(abi, spec.number);
  ADD_FAILURE() << name;
  static const wire::plan none{};
  return none;
}

TEST(CapturePlan, CallsThatWaitForNobodyAreOneRecord) {
  for (const Abi abi : {Abi::x86_64, Abi::i386}) {
    EXPECT_EQ(plan_of(abi, "getppid").call_bytes, offsetof(wire::call_record, args));
    EXPECT_EQ(plan_of(abi, "close").call_bytes, offsetof(wire::call_record, args) + 8);
    EXPECT_EQ(plan_of(abi, "getdents64").call_bytes, offsetof(wire::call_record, args) + 24);
  }
  EXPECT_EQ(plan_of(Abi::x86_64, "mmap").call_bytes, sizeof(wire::call_record));
}

// Of these the entry has to be in the ring while they wait, or they never return.
TEST(CapturePlan, CallsThatMayWaitHaveARecordOfTheirEntry) {
  for (const Abi abi : {Abi::x86_64, Abi::i386})
    for (const std::string_view name :
         {"read",       "write",        "poll",          "select",          "epoll_wait",
          "pause",      "nanosleep",    "wait4",         "waitid",          "futex",
          "fork",       "vfork",        "clone",         "execve",          "exit",
          "exit_group", "rt_sigreturn", "rt_sigsuspend", "restart_syscall", "sendmsg",
          "recvmsg",    "connect",      "accept4",       "fsync",           "flock",
          "ioctl",      "openat",       "unlink"})
      EXPECT_EQ(plan_of(abi, name).call_bytes, 0) << name;
}

TEST(CapturePlan, OneRecordIsOnlyForCallsOfWhichNothingIsReadAtEntry) {
  std::size_t seen = 0;
  for (const wire::plan& plan : capture_plans()) {
    if (plan.call_bytes == 0) continue;
    ++seen;
    EXPECT_EQ(plan.enter_work, 0);
    EXPECT_GE(plan.exit_room, sizeof(wire::call_record));
    EXPECT_LE(plan.call_bytes, sizeof(wire::call_record));
  }
  EXPECT_GT(seen, 80U);
}

}  // namespace
}  // namespace gyges::recorder
