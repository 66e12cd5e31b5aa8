// How much private writable memory processes hold, followed through their system calls: what
// RLIMIT_DATA limits.
#pragma once

#include <cstdint>
#include <map>
#include <string_view>
#include <unordered_map>

#include "sandbox/recorder/format/event.h"
#include "sandbox/recorder/format/process_ends.h"

namespace gyges::learn {

// Sees every event of one trace in order. An estimate: the data segment that execve maps is not
// among the calls.
class MemoryUse {
 public:
  void take(const recorder::Event& event, std::string_view name);

  [[nodiscard]] std::uint64_t process_peak() const { return process_peak_; }
  [[nodiscard]] std::uint64_t total_peak() const { return total_peak_; }

 private:
  struct Process {
    std::uint64_t first_break = 0;
    std::uint64_t present_break = 0;
    std::map<std::uint64_t, std::uint64_t> areas;  // start and length of what counts
    std::uint64_t bytes = 0;
  };

  void add(Process& process, std::uint64_t start, std::uint64_t length);
  void remove(Process& process, std::uint64_t start, std::uint64_t length);
  void note(std::uint64_t before, const Process& process);

  std::unordered_map<std::int32_t, Process> processes_;
  recorder::ProcessEnds ends_;
  std::uint64_t total_ = 0;
  std::uint64_t process_peak_ = 0;
  std::uint64_t total_peak_ = 0;
};

}  // namespace gyges::learn
