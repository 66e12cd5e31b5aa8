#include "floor_command.h"

#include <sched.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "empty_programs.h"

namespace gyges::bench {
namespace {

[[noreturn]] void stop(const char* what) {
  std::fprintf(stderr, "recorder_bench floor: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

int exit_status(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int run_beside_programs(char** command) {
  const auto attached = EmptyPrograms::attach();
  if (!attached) stop("attach programs");
  const pid_t child = fork();
  if (child == 0) {
    execvp(command[0], command);
    _exit(127);
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child) stop("wait");
  return exit_status(status);
}

int run_under_tracer(char** command) {
  cpu_set_t here;
  CPU_ZERO(&here);
  CPU_SET(static_cast<std::size_t>(sched_getcpu()), &here);
  sched_setaffinity(0, sizeof(here), &here);
  const pid_t child = fork();
  if (child == 0) {
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(127);
    raise(SIGSTOP);
    execvp(command[0], command);
    _exit(127);
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) stop("trace");
  constexpr long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
                           PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
  if (ptrace(PTRACE_SETOPTIONS, child, nullptr, options) != 0) stop("trace");
  ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
  int result = 1;
  for (pid_t task = 0; (task = waitpid(-1, &status, __WALL)) > 0;) {
    if (!WIFSTOPPED(status)) {
      if (task == child) result = exit_status(status);
      continue;
    }
    const int signal = WSTOPSIG(status);
    // Stops of calls, events, and the first stop of a new task carry no signal of its own.
    const bool own = signal != (SIGTRAP | 0x80) && signal != SIGTRAP && signal != SIGSTOP;
    ptrace(PTRACE_SYSCALL, task, nullptr, static_cast<long>(own ? signal : 0));
  }
  return result;
}

}  // namespace

int floor_command(int argc, char** argv) {
  if (argc >= 2 && std::string(argv[0]) == "programs") return run_beside_programs(argv + 1);
  if (argc >= 2 && std::string(argv[0]) == "tracer") return run_under_tracer(argv + 1);
  std::fprintf(stderr, "usage: recorder_bench floor programs|tracer COMMAND...\n");
  return 2;
}

}  // namespace gyges::bench
