// Who answered a call: the kernel, or seccomp in its stead. Both backends say the same, one because
// it sees which calls never began, the other by running the same programs.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <thread>

#include "capture_fixture.h"
#include "sandbox/recorder/format/syscall_table.h"

namespace gyges::recorder {
namespace {

using Program = std::vector<sock_filter>;

// `action` for one call, everything else is allowed.
Program answering(long number, std::uint32_t action) {
  return {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(number), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, action),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
}

// The same, only where the first argument is `value`.
Program answering_argument(long number, std::uint32_t value, std::uint32_t action) {
  return {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(number), 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, action),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
}

int load(const Program& program, unsigned flags = 0) {
  const sock_fprog given = {static_cast<unsigned short>(program.size()),
                            const_cast<sock_filter*>(program.data())};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  return static_cast<int>(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &given));
}

int load_by_prctl(const Program& program) {
  const sock_fprog given = {static_cast<unsigned short>(program.size()),
                            const_cast<sock_filter*>(program.data())};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &given);
}

std::uint32_t refusal(int code) {
  return SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(code);
}

const char* word(Verdict verdict) {
  switch (verdict) {
    case Verdict::allowed:
      return "allowed";
    case Verdict::refused:
      return "refused";
    case Verdict::emulated:
      return "emulated";
    case Verdict::killed:
      return "killed";
  }
  return "?";
}

// Verdict and result of the calls of that name, in trace order.
std::string verdicts(const Recording& recording, std::string_view name) {
  std::string line;
  for (const KeptEvent* call : recording.calls(name)) {
    if (!line.empty()) line += ", ";
    line += word(call->event.verdict);
    line += call->event.has_exit ? " " + std::to_string(call->event.result) : " ?";
  }
  return line;
}

class VerdictTest : public CaptureTest {};

INSTANTIATE_TEST_SUITE_P(Backends, VerdictTest, both_backends, backend_of_test);

TEST_P(VerdictTest, RefusedIsNotFailed) {
  const Recording result = run([] {
    mkdir("/proc/self/x", 0700);  // the kernel's own answer
    if (load(answering(SYS_mkdir, refusal(ENOENT))) != 0) return 1;
    mkdir("/proc/self/x", 0700);  // the same number from the filter
    rmdir("/gyges_is_not_here");
    return 0;
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  EXPECT_EQ(verdicts(result, "mkdir"), "allowed -2, refused -2");
  EXPECT_EQ(verdicts(result, "rmdir"), "allowed -2");
  EXPECT_EQ(verdicts(result, "seccomp"), "allowed 0");
}

TEST_P(VerdictTest, AnswersByArgument) {
  const Recording result = run([] {
    if (load_by_prctl(answering_argument(SYS_close, 555, refusal(EXDEV))) != 0) return 1;
    close(554);
    close(555);
    close(556);
    return 0;
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  const std::string all = verdicts(result, "close");
  EXPECT_NE(all.find("allowed -9, refused -18, allowed -9"), std::string::npos) << all;
}

// An answer that looks like success, of a call that never happened.
TEST_P(VerdictTest, EmulatedSuccess) {
  const Recording result = run([] {
    if (load(answering(SYS_rmdir, refusal(0))) != 0) return 1;
    return rmdir("/gyges_is_not_here");
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  EXPECT_EQ(verdicts(result, "rmdir"), "emulated 0");
}

// Nobody answers, and a signal ends the wait: nothing was refused.
TEST_P(VerdictTest, AnInterruptedWaitForAnAnswerIsNoRefusal) {
  const Recording result = run([] {
    struct sigaction action {};
    action.sa_handler = [](int) {};
    sigaction(SIGALRM, &action, nullptr);
    const int listener =
        load(answering(SYS_rmdir, SECCOMP_RET_USER_NOTIF), SECCOMP_FILTER_FLAG_NEW_LISTENER);
    if (listener < 0) return 1;
    const itimerval soon = {{0, 0}, {0, 20'000}};
    setitimer(ITIMER_REAL, &soon, nullptr);
    return rmdir("/gyges_is_not_here") == -1 && errno == EINTR ? 0 : 2;
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  const std::string all = verdicts(result, "rmdir");
  EXPECT_NE(all.find("-512"), std::string::npos) << all;
  EXPECT_EQ(all.find("refused"), std::string::npos) << all;
}

TEST_P(VerdictTest, TheStricterOfSeveralPrograms) {
  const Recording result = run([] {
    if (load(answering(SYS_mkdir, refusal(ENOENT))) != 0) return 1;
    if (load(answering(SYS_mkdir, refusal(EXDEV))) != 0) return 2;
    if (load(answering(SYS_rmdir, SECCOMP_RET_LOG)) != 0) return 3;
    mkdir("/gyges", 0700);
    rmdir("/gyges_is_not_here");
    return 0;
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  EXPECT_EQ(verdicts(result, "mkdir"), "refused -18");
  EXPECT_EQ(verdicts(result, "rmdir"), "allowed -2");
}

TEST_P(VerdictTest, TracerThatIsNotThere) {
  const Recording result = run([] {
    if (load(answering(SYS_mkdir, SECCOMP_RET_TRACE)) != 0) return 1;
    return mkdir("/gyges", 0700) == -1 && errno == ENOSYS ? 0 : 2;
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  EXPECT_EQ(verdicts(result, "mkdir"), "refused -38");
}

TEST_P(VerdictTest, TrapsAndKills) {
  const Recording result = run([] {
    struct sigaction action {};
    action.sa_handler = [](int) {};
    sigaction(SIGSYS, &action, nullptr);
    if (load(answering(SYS_mkdir, SECCOMP_RET_TRAP)) != 0) return 1;
    mkdir("/gyges", 0700);
    const pid_t child = fork();
    if (child == 0) {
      if (load(answering(SYS_rmdir, SECCOMP_RET_KILL_PROCESS)) != 0) _exit(1);
      rmdir("/gyges_is_not_here");
      _exit(2);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS ? 0 : 3;
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  EXPECT_EQ(verdicts(result, "mkdir"), "refused 83");
  EXPECT_EQ(verdicts(result, "rmdir"), "killed ?");
}

// A program that kills one thread of several ends it on the spot, without a result.
TEST_P(VerdictTest, KillsOfOneThread) {
  const Recording result = run([] {
    std::atomic<bool> called{false};
    std::thread([&] {
      if (load(answering(SYS_mkdir, SECCOMP_RET_KILL_THREAD)) != 0) return;
      called = true;
      // In a page that is there: at such an end none can be brought in.
      char path[] = "/gyges_killed";
      mkdir(path, 0700);
      called = false;
    }).detach();
    for (int i = 0; i < 200 && !called; ++i) usleep(1000);
    usleep(50000);
    return called ? 0 : 1;
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  EXPECT_EQ(verdicts(result, "mkdir"), "killed ?");
  ASSERT_EQ(result.calls("mkdir").size(), 1U);
  utsname kernel{};
  uname(&kernel);
  int major = 0;
  int minor = 0;
  ASSERT_EQ(std::sscanf(kernel.release, "%d.%d", &major, &minor), 2);
  // Before, the memory is given up ahead of the tracepoint.
  if (GetParam() == Backend::ptrace || major > 6 || (major == 6 && minor >= 16)) {
    const std::string text = text_of(*result.calls("mkdir")[0]);
    EXPECT_NE(text.find("/gyges_killed"), std::string::npos) << text;
  }
  EXPECT_TRUE(result.coverage.complete);
}

// Strict mode allows read, write, exit and rt_sigreturn, and kills for everything else.
TEST_P(VerdictTest, StrictMode) {
  const Recording result = run([] {
    const pid_t child = fork();
    if (child == 0) {
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
      syscall(SYS_write, 1, "", 0);
      syscall(SYS_mkdir, "/gyges_killed", 0700);
      syscall(SYS_exit, 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? 0 : 1;
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  EXPECT_EQ(verdicts(result, "write"), "allowed 0");
  EXPECT_EQ(verdicts(result, "mkdir"), "killed ?");
  EXPECT_TRUE(result.coverage.complete);
}

// Children inherit the programs of their creator, other processes do not get them.
TEST_P(VerdictTest, ProgramsAreInherited) {
  const Recording result = run([] {
    const pid_t child = fork();
    if (child == 0) {
      if (load(answering(SYS_mkdir, refusal(ENOENT))) != 0) _exit(1);
      const pid_t grandchild = fork();
      if (grandchild == 0) {
        const bool right = mkdir("/proc/self/x", 0700) == -1 && errno == ENOENT;
        execl("/bin/sh", "sh", "-c", right ? "exec rmdir /gyges_is_not_here" : "exit 9", nullptr);
        _exit(9);
      }
      int status = 0;
      waitpid(grandchild, &status, 0);
      _exit(WEXITSTATUS(status) == 1 ? 0 : 2);
    }
    int status = 0;
    waitpid(child, &status, 0);
    mkdir("/proc/self/x", 0700);
    return WEXITSTATUS(status);
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  EXPECT_EQ(verdicts(result, "mkdir"), "refused -2, allowed -2");
  EXPECT_EQ(verdicts(result, "rmdir"), "allowed -2");
}

// One thread loads for all.
TEST_P(VerdictTest, ProgramsOfAllThreads) {
  const Recording result = run([] {
    std::atomic<bool> loaded{false};
    int answer = 0;
    std::thread other([&] {
      while (!loaded) usleep(1000);
      answer = mkdir("/proc/self/x", 0700) == -1 ? errno : 0;
    });
    const int outcome = load(answering(SYS_mkdir, refusal(EXDEV)), SECCOMP_FILTER_FLAG_TSYNC);
    loaded = true;
    other.join();
    return outcome == 0 && answer == EXDEV ? 0 : 1;
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  EXPECT_EQ(verdicts(result, "mkdir"), "refused -18");
}

// A program that the kernel refused to load refuses nothing.
TEST_P(VerdictTest, ProgramThatWasNotLoaded) {
  const Recording result = run([] {
    Program wrong = answering(SYS_mkdir, refusal(ENOENT));
    wrong.pop_back();
    if (load(wrong) == 0) return 1;
    mkdir("/proc/self/x", 0700);
    return 0;
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  EXPECT_EQ(verdicts(result, "seccomp"), "allowed -22");
  EXPECT_EQ(verdicts(result, "mkdir"), "allowed -2");
}

// Programs from before the record are known from the session.
TEST_P(VerdictTest, ProgramsFromBeforeTheRecord) {
  const Program program = answering(SYS_mkdir, refusal(ENOENT));
  auto events = std::make_shared<Events>();
  auto session = backend_->start_with(std::make_unique<KeepingSink>(events), {});
  ASSERT_TRUE(session);
  ASSERT_TRUE((*session)->expect_filters({std::string(reinterpret_cast<const char*>(program.data()),
                                                      program.size() * sizeof(sock_filter))}));
  Recording result;
  {
    // The gate of this child is its own, so that the program is there before the record begins.
    int ready[2];
    int gate[2];
    ASSERT_EQ(pipe(ready), 0);
    ASSERT_EQ(pipe(gate), 0);
    const pid_t child = fork();
    if (child == 0) {
      char byte = 0;
      if (load(program) != 0 || write(ready[1], "r", 1) != 1) _exit(1);
      if (read(gate[0], &byte, 1) != 1) _exit(2);
      _exit(mkdir("/proc/self/x", 0700) == -1 && rmdir("/gyges_is_not_here") == -1 ? 0 : 3);
    }
    char byte = 0;
    ASSERT_EQ(read(ready[0], &byte, 1), 1);
    const UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, child, 0)));
    usleep(50000);  // by then it reads from its gate
    ASSERT_TRUE((*session)->adopt(pidfd.get(), child, 0));
    ASSERT_EQ(write(gate[1], "g", 1), 1);
    waitpid(child, &result.status, 0);
    for (const int descriptor : {ready[0], ready[1], gate[0], gate[1]}) close(descriptor);
  }
  const auto coverage = (*session)->close();
  ASSERT_TRUE(coverage);
  result.events = *events;
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  EXPECT_EQ(verdicts(result, "mkdir"), "refused -2");
  EXPECT_EQ(verdicts(result, "rmdir"), "allowed -2");
}

}  // namespace
}  // namespace gyges::recorder
