// A thread that may not be had: on a loaded host, and where a limit on processes counts threads.
#pragma once

#include <signal.h>

#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "base/error.h"

namespace gyges {

// Starts `work` in a thread that takes no signals: they are for the caller's. `what` it does, for
// the error: "answers system calls". From any thread.
template <class Work>
Result<std::thread> start_thread(std::string_view what, Work work) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread;
  int code = 0;
  try {
    thread = std::thread(std::move(work));
  } catch (const std::system_error& error) {
    code = error.code().value();
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (code != 0)
    return fail_errno("start", "thread that " + std::string(what), code,
                      "lower the number of parallel runs, or raise the limit of threads "
                      "(ulimit -u, the cgroup's pids.max)");
  return thread;
}

}  // namespace gyges
