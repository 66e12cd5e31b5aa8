// Work beside the caller's.
#pragma once

#include <signal.h>

#include <future>
#include <system_error>

namespace gyges {

// Does it in a thread of its own, which takes no signals, or where none is to be had when its
// result is asked for. The future waits for the thread when it goes.
template <class Work>
auto aside(Work work) -> std::future<decltype(work())> {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  std::future<decltype(work())> result;
  try {
    result = std::async(std::launch::async, work);
  } catch (const std::system_error&) {
    result = std::async(std::launch::deferred, work);
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return result;
}

}  // namespace gyges
