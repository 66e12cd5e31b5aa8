// The memory of processes whose system calls are being answered.
//
// Held by descriptor: it stays that of the process which made the call, even where its number is
// taken by another meanwhile. A writing by number (process_vm_writev) would save a microsecond and
// could be led into another process of the host: the supervisor may be stopped at any place, and
// numbers come round.
#pragma once

#include <linux/seccomp.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <map>

#include "base/fd.h"

namespace gyges::isolation {

// Of the callers under one listener. Not thread-safe.
class CallerMemory {
 public:
  // `listener` is borrowed.
  explicit CallerMemory(int listener) : listener_(listener) {}

  // Writes into the caller's memory; an errno value: EFAULT as the kernel would have it, ESRCH
  // where the caller is gone.
  int write(const seccomp_notif& call, std::uint64_t address, const void* bytes, std::size_t size);

 private:
  struct Known {
    unsigned calls = 0;
    UniqueFd file;  // of one that calls again and again
  };
  [[nodiscard]] UniqueFd open(const seccomp_notif& call) const;

  int listener_;
  std::map<std::uint32_t, Known> known_;  // by number
};

}  // namespace gyges::isolation
