#include "cli/own_session.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "base/fd.h"

namespace gyges::cli {
namespace {

// The streams are the child's: that its end shows to the client, only it may hold them.
void let_go_of_streams() {
  UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return;
  ::dup2(null.get(), STDIN_FILENO);
  ::dup2(null.get(), STDOUT_FILENO);
}

int wait_for(pid_t child, const sigset_t& signals) {
  for (;;) {
    siginfo_t info{};
    int signal = ::sigwaitinfo(&signals, &info);
    if (signal > 0 && signal != SIGCHLD) ::kill(child, signal);
    int status = 0;
    pid_t ended = ::waitpid(child, &status, WNOHANG);
    if (ended != child) continue;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
}

}  // namespace

Result<std::optional<int>> go_on_in_own_session() {
  std::signal(SIGCHLD, SIG_DFL);  // where it is ignored there is no status to wait for
  sigset_t signals;
  sigset_t before;
  sigemptyset(&signals);
  for (int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) sigaddset(&signals, signal);
  if (::sigprocmask(SIG_BLOCK, &signals, &before) != 0) return fail_errno("block signals", "");
  pid_t parent = ::getpid();
  pid_t child = ::fork();
  if (child < 0) return fail_errno("start", "the server's own process");
  if (child != 0) {
    let_go_of_streams();
    return std::optional<int>(wait_for(child, signals));
  }
  // The three stay blocked: whoever calls this watches for them by stop_signals().
  sigset_t children;
  sigemptyset(&children);
  sigaddset(&children, SIGCHLD);
  if (sigismember(&before, SIGCHLD) == 0) ::sigprocmask(SIG_UNBLOCK, &children, nullptr);
  if (::setsid() < 0) return fail_errno("begin", "a session of its own");
  if (::prctl(PR_SET_PDEATHSIG, SIGTERM) != 0) return fail_errno("watch", "the process started");
  if (::getppid() != parent) ::raise(SIGTERM);  // it died before that was asked for
  return std::optional<int>();
}

}  // namespace gyges::cli
