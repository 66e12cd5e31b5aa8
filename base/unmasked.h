// Work that makes files whose modes are theirs alone.
#pragma once

#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "base/aside.h"

namespace gyges {

// As aside(), under a file mode mask that lets every mode through. The mask of a process is one for
// all its threads, so that whoever sets it for a while may leave another's files with wrong modes,
// or the process with no mask: the thread of the work has its own.
template <class Work>
auto unmasked(Work work) {
  return aside([work = std::move(work), caller = ::gettid()] {
    // Where no thread was to be had it is the caller's, and everybody's.
    if (::gettid() != caller) ::unshare(CLONE_FS);
    const mode_t before = ::umask(0);
    auto result = work();
    ::umask(before);
    return result;
  });
}

}  // namespace gyges
