// What a block of a trace holds, in some hundred bytes that stand before it uncompressed, so that a
// reader skips blocks without unpacking them (docs/trace_format.md, "Summaries").
//
// A summary never says less than there is: beyond its bounds a list is left out and stands for
// everything.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sandbox/recorder/format/event.h"

namespace gyges::recorder {

// What somebody looks for; conditions are joined by "and", the entries of a list by "or". An empty
// query takes every block.
struct BlockQuery {
  std::optional<std::uint64_t> since_ns;  // of CLOCK_MONOTONIC, by the time of entry
  std::optional<std::uint64_t> until_ns;
  std::vector<std::int32_t> pids;          // as the host or as the sandbox sees them
  std::vector<std::uint64_t> syscalls;     // syscall_key() of each; only blocks with such calls
  std::optional<std::uint32_t> tool_call;  // origin or active
  bool failed = false;
  bool refused = false;  // or killed

  [[nodiscard]] bool takes_everything() const;
};

constexpr std::uint64_t syscall_key(Abi abi, std::uint32_t number) {
  return static_cast<std::uint64_t>(abi) << 32U | number;
}

struct BlockSummary {
  static constexpr std::size_t max_entries = 512;  // of each list

  bool any_failed = true;
  bool any_refused = true;
  // Ascending and without repetition; none: anything.
  std::optional<std::vector<std::uint64_t>> syscalls;
  std::optional<std::vector<std::uint64_t>> pids;
  std::optional<std::vector<std::uint64_t>> tool_calls;

  // Whether a block with this summary and these times of entry can hold what is looked for.
  [[nodiscard]] bool may_hold(const BlockQuery& query, std::uint64_t first_ns,
                              std::uint64_t last_ns) const;
};

// Collects one block's summary. What is the same for many events is told once for each block.
class SummaryBuilder {
 public:
  void clear();
  void add_result(const Event& event) { failed_ = failed_ || (event.result < 0 && event.has_exit); }
  void add_shape(const Event& event);    // kind, ABI, number, verdict
  void add_context(const Event& event);  // processes and tool calls
  [[nodiscard]] std::string encode();

 private:
  bool failed_ = false;
  bool refused_ = false;
  std::vector<std::uint64_t> syscalls_;
  std::vector<std::uint64_t> pids_;
  std::vector<std::uint64_t> tool_calls_;
};

// False when the bytes are no summary.
bool decode_summary(std::string_view bytes, BlockSummary& summary);

}  // namespace gyges::recorder
