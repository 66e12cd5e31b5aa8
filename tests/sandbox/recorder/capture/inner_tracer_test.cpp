// Programs inside that trace each other and change each other's calls: the record holds what the
// kernel executed, with the result that it gave, whatever was asked for and whatever the caller was
// told. Each program sees for itself what happened: its exit status is the control.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <functional>
#include <thread>

#include "capture_fixture.h"

namespace gyges::recorder {
namespace {

class InnerTracer : public CaptureTest {
 protected:
  // Under ptrace nobody inside can trace: the attempt is what stands in the record.
  bool tracing_is_refused() {
    if (bpf()) return false;
    const Recording result = run([] {
      const pid_t child = fork();
      if (child == 0) _exit(ptrace(PTRACE_TRACEME, 0, 0, 0) == -1 && errno == EPERM ? 0 : 1);
      int status = 0;
      waitpid(child, &status, 0);
      return WEXITSTATUS(status);
    });
    EXPECT_EQ(WEXITSTATUS(result.status), 0);
    EXPECT_EQ(result.calls("ptrace").size(), 1U);
    if (result.calls("ptrace").size() == 1) {
      EXPECT_EQ(result.calls("ptrace")[0]->event.result, -EPERM);
    }
    return true;
  }
};

INSTANTIATE_TEST_SUITE_P(Backends, InnerTracer, both_backends, backend_of_test);

constexpr std::size_t number_register = offsetof(user_regs_struct, orig_rax);
constexpr std::size_t result_register = offsetof(user_regs_struct, rax);
constexpr std::size_t second_register = offsetof(user_regs_struct, rsi);

void set(pid_t tracee, std::size_t place, long value) {
  ptrace(PTRACE_POKEUSER, tracee, place, value);
}

// Runs `tracee` under a tracer that is told of each entry and exit; the tracee's exit status.
int traced(const std::function<int()>& tracee,
           const std::function<void(pid_t, const user_regs_struct&, bool entry)>& at_stop,
           __ptrace_request step = PTRACE_SYSCALL) {
  const pid_t child = fork();
  if (child == 0) {
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    _exit(tracee());
  }
  int status = 0;
  waitpid(child, &status, 0);
  ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACESECCOMP);
  bool entry = true;
  for (;;) {
    ptrace(step, child, 0, 0);
    if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) return WEXITSTATUS(status);
    user_regs_struct now{};
    ptrace(PTRACE_GETREGS, child, 0, &now);
    if (status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8)) {
      at_stop(child, now, true);
    } else if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
      at_stop(child, now, entry);
      if (step == PTRACE_SYSCALL) entry = !entry;
    }
  }
}

TEST_P(InnerTracer, AChangedNumberIsTheCallThatWasExecuted) {
  if (tracing_is_refused()) return;
  const Recording result = run([] {
    const long group = syscall(SYS_getpgid, 0);
    return traced([=] { return syscall(SYS_getsid, 0) == group ? 0 : 1; },
                  [](pid_t tracee, const user_regs_struct& now, bool entry) {
                    if (entry && now.orig_rax == SYS_getsid)
                      set(tracee, number_register, SYS_getpgid);
                  });
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  EXPECT_EQ(result.calls("getsid").size(), 0U) << "it was asked for, and never executed";
  EXPECT_EQ(result.calls("getpgid").size(), 2U);
  for (const KeptEvent* call : result.calls("getpgid"))
    EXPECT_EQ(call->event.verdict, Verdict::allowed);
}

TEST_P(InnerTracer, AChangedPathIsTheOneThatWasOpened) {
  if (tracing_is_refused()) return;
  const Recording result = run([] {
    static const char asked[] = "/gyges/asked-for";
    static const char used[] = "/etc/passwd";
    return traced([] { return syscall(SYS_openat, AT_FDCWD, asked, O_RDONLY, 0) >= 0 ? 0 : 1; },
                  [](pid_t tracee, const user_regs_struct& now, bool entry) {
                    if (entry && now.orig_rax == SYS_openat &&
                        now.rsi == reinterpret_cast<unsigned long>(asked))
                      set(tracee, second_register, reinterpret_cast<long>(used));
                  });
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  ASSERT_GE(result.calls("openat").size(), 1U);
  const KeptEvent& call = *result.calls("openat").back();
  EXPECT_EQ(call.capture(CaptureKind::path, 1), "/etc/passwd");
  EXPECT_EQ(call.named_file(), "/etc/passwd");
  EXPECT_EQ(result.of_kind(EventKind::path_disagreement).size(), 0U);
}

// Changed back at the exit, so that the caller finds its registers as it left them.
TEST_P(InnerTracer, ArgumentsPutBackAtTheExitDeceiveNobody) {
  if (tracing_is_refused()) return;
  const Recording result = run([] {
    return traced([] { return syscall(SYS_lseek, 777, 5, SEEK_SET) == -1 ? 0 : 1; },
                  [](pid_t tracee, const user_regs_struct& now, bool entry) {
                    if (now.orig_rax != SYS_lseek) return;
                    set(tracee, second_register, entry ? 6 : 5);
                  });
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  ASSERT_EQ(result.calls("lseek").size(), 1U);
  EXPECT_EQ(result.calls("lseek")[0]->event.args[1], 6U);
}

TEST_P(InnerTracer, AResultChangedAtTheExitIsTheKernelsOwn) {
  if (tracing_is_refused()) return;
  const Recording result = run([] {
    return traced([] { return syscall(SYS_getpgid, 0) == 4242 ? 0 : 1; },
                  [](pid_t tracee, const user_regs_struct& now, bool entry) {
                    if (!entry && now.orig_rax == SYS_getpgid) set(tracee, result_register, 4242);
                  });
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  ASSERT_EQ(result.calls("getpgid").size(), 1U);
  EXPECT_EQ(result.calls("getpgid")[0]->event.result, getpgid(0));
}

// The kernel executes nothing and the tracer makes up a result: no call is claimed to have
// happened.
TEST_P(InnerTracer, ASkippedCallIsNoneOfTheKernels) {
  if (tracing_is_refused()) return;
  const Recording result = run([] {
    return traced([] { return syscall(SYS_mkdir, "/tmp/gyges_never_made", 0700) == 0 ? 0 : 1; },
                  [](pid_t tracee, const user_regs_struct& now, bool entry) {
                    static bool skipped = false;
                    if (entry && now.orig_rax == SYS_mkdir) {
                      set(tracee, number_register, -1);
                      skipped = true;
                    } else if (!entry && skipped) {
                      set(tracee, result_register, 0);
                      skipped = false;
                    }
                  });
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  ASSERT_NE(access("/tmp/gyges_never_made", F_OK), 0) << "the control";
  for (const KeptEvent* call : result.calls("mkdir"))
    EXPECT_NE(call->event.verdict, Verdict::allowed) << text_of(*call);
  // What the kernel was left with, number -1, is there: nothing is lost.
  std::size_t without_number = 0;
  for (const KeptEvent* call : result.of_kind(EventKind::syscall))
    without_number += call->event.number == ~std::uint32_t{0};
  EXPECT_EQ(without_number, 1U);
}

TEST_P(InnerTracer, CallsThatATracerEmulatesAreCalledEmulated) {
  if (tracing_is_refused()) return;
  const Recording result = run([] {
    return traced(
        [] {
          const bool told = syscall(SYS_mkdir, "/tmp/gyges_never_made", 0700) == 0;
          syscall(SYS_exit_group, told ? 0 : 1);
          return 2;
        },
        [](pid_t tracee, const user_regs_struct& now, bool) {
          set(tracee, result_register, 0);
          // The tracee's end is emulated, too, if nobody does it.
          if (now.orig_rax == SYS_exit_group) {
            ptrace(PTRACE_DETACH, tracee, 0, 0);
          }
        },
        PTRACE_SYSEMU);
  });
  ASSERT_NE(access("/tmp/gyges_never_made", F_OK), 0) << "the control";
  ASSERT_EQ(result.calls("mkdir").size(), 1U);
  EXPECT_EQ(result.calls("mkdir")[0]->event.verdict, Verdict::emulated);
  EXPECT_EQ(result.calls("mkdir")[0]->capture(CaptureKind::path, 0), "/tmp/gyges_never_made");
}

int load(std::uint32_t number, std::uint32_t action, unsigned flags = 0) {
  sock_filter steps[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, action),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{4, steps};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  return static_cast<int>(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program));
}

TEST_P(InnerTracer, WhatSeccompsTracerMakesOfACallIsRecorded) {
  if (tracing_is_refused()) return;
  const Recording result = run([] {
    const long group = syscall(SYS_getpgid, 0);
    return traced(
        [=] {
          if (load(SYS_getsid, SECCOMP_RET_TRACE) != 0) return 2;
          return syscall(SYS_getsid, 0) == group ? 0 : 1;
        },
        [](pid_t tracee, const user_regs_struct& now, bool) {
          if (now.orig_rax == SYS_getsid) set(tracee, number_register, SYS_getpgid);
        },
        PTRACE_CONT);
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  EXPECT_EQ(result.calls("getsid").size(), 0U);
  EXPECT_EQ(result.calls("getpgid").size(), 2U);
  for (const KeptEvent* call : result.calls("getpgid"))
    EXPECT_EQ(call->event.verdict, Verdict::allowed);
}

// A supervisor inside answers calls of its child, or lets them go on.
Recording supervised(const std::function<Recording(const std::function<int()>&)>& run,
                     std::uint32_t flags, std::int64_t value) {
  return run([=] {
    const int listener = load(SYS_mkdir, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
    if (listener < 0) return 1;
    const pid_t child = fork();
    if (child == 0)
      _exit(static_cast<int>(syscall(SYS_mkdir, "/tmp/gyges_supervised", 0700) & 0x7f));
    seccomp_notif asked{};
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked) != 0) return 2;
    seccomp_notif_resp answer{};
    answer.id = asked.id;
    answer.flags = flags;
    answer.val = value;
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) != 0) return 3;
    int status = 0;
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
  });
}

TEST_P(InnerTracer, AnswersOfASupervisorInside) {
  const auto body = [&](const std::function<int()>& one) { return run(one); };
  rmdir("/tmp/gyges_supervised");
  const Recording answered = supervised(body, 0, 55);
  ASSERT_EQ(WEXITSTATUS(answered.status), 55);
  ASSERT_NE(access("/tmp/gyges_supervised", F_OK), 0) << "the control";
  ASSERT_EQ(answered.calls("mkdir").size(), 1U);
  EXPECT_EQ(answered.calls("mkdir")[0]->event.verdict, Verdict::emulated);
  EXPECT_EQ(answered.calls("mkdir")[0]->event.result, 55);

  const Recording let = supervised(body, SECCOMP_USER_NOTIF_FLAG_CONTINUE, 0);
  ASSERT_EQ(WEXITSTATUS(let.status), 0);
  ASSERT_EQ(access("/tmp/gyges_supervised", F_OK), 0) << "the control";
  rmdir("/tmp/gyges_supervised");
  ASSERT_EQ(let.calls("mkdir").size(), 1U);
  EXPECT_EQ(let.calls("mkdir")[0]->event.result, 0);
  EXPECT_EQ(let.calls("mkdir")[0]->capture(CaptureKind::path, 0), "/tmp/gyges_supervised");
  // A tracer stops the call before the supervisor is asked, and again when all is over: whether
  // that answered or let it go on does not show.
  EXPECT_EQ(let.calls("mkdir")[0]->event.verdict, bpf() ? Verdict::allowed : Verdict::emulated);
}

}  // namespace
}  // namespace gyges::recorder
