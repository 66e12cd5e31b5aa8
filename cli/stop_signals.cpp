#include "cli/stop_signals.h"

#include <signal.h>
#include <sys/signalfd.h>

namespace gyges::cli {

Result<UniqueFd> stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  if (::pthread_sigmask(SIG_BLOCK, &set, nullptr) != 0) return fail_errno("block signals", "");
  UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return fail_errno("watch for signals", "");
  return fd;
}

}  // namespace gyges::cli
