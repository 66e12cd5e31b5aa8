// Gyges' recorder as a command in front of another, like strace and perf:
//
//   recorder_bench record BACKEND BUFFER_BYTES TRACE REPORT [--user UID] -- COMMAND...
//
// A process of its own, so that it can be stopped like a peer, run as an ordinary user, and
// weighed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace gyges::bench {

// What the recorder says of itself when the command has ended; JSON in the file REPORT.
struct RecordReport {
  std::uint64_t syscalls = 0;
  std::uint64_t events = 0;
  std::uint64_t enters = 0;           // counted by the backend
  std::uint64_t recorded_enters = 0;  // in the trace
  std::uint64_t lost = 0;
  std::uint64_t waits = 0;
  std::uint64_t bytes = 0;  // of the trace
  bool complete = false;
  // Of the recording process, before it closes the trace.
  std::uint64_t peak_resident_bytes = 0;
  std::uint64_t proportional_bytes = 0;  // PSS
  std::uint64_t anonymous_bytes = 0;     // its anonymous part
  std::uint64_t kernel_bytes = 0;        // BPF maps: rings, plans, labels
};

int record_command(int argc, char** argv);
RecordReport read_record_report(const std::filesystem::path& file);

}  // namespace gyges::bench
