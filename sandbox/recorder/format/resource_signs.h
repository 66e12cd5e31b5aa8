// What processes met that a limit of resources brings about, counted while their calls are written.
//
// The kernel tells nobody but the process itself that it ran into RLIMIT_NOFILE, RLIMIT_DATA,
// RLIMIT_FSIZE or RLIMIT_CPU; for any process but a command's first one the record is the only
// witness.
#pragma once

#include <cstdint>

#include "sandbox/recorder/format/event.h"

namespace gyges::recorder {

struct ResourceSigns {
  std::uint64_t no_descriptor = 0;   // EMFILE, of calls that return a descriptor
  std::uint64_t no_memory = 0;       // ENOMEM of calls that ask for memory, and brk refused
  std::uint64_t file_too_large = 0;  // EFBIG of calls that make a file larger
  std::uint64_t no_space = 0;        // ENOSPC of calls that write
  std::uint64_t no_inode = 0;        // ENOSPC of calls that make a file
  std::uint64_t no_process = 0;      // EAGAIN of calls that make a process or a thread
  std::uint64_t processor_time = 0;  // SIGXCPU from the kernel
  std::uint64_t changed = 0;         // bit mask of RLIMIT_ numbers that processes set themselves

  void count(const Event& event) {
    // Nearly every event ends here.
    if (event.kind == EventKind::syscall
            ? event.result >= 0 && event.number != brk_number && event.number != prlimit_number &&
                  event.number != setrlimit_number
            : event.kind != EventKind::signal)
      return;
    count_sign(event);
  }

 private:
  static constexpr std::uint32_t brk_number = 12;  // of x86_64: no other ABI gets past the filters
  static constexpr std::uint32_t setrlimit_number = 160;
  static constexpr std::uint32_t prlimit_number = 302;
  void count_sign(const Event& event);
};

}  // namespace gyges::recorder
