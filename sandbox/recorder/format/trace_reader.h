// Reads a trace file. Hostile or damaged input yields an error that names the first bad byte, never
// a crash; with salvage, the good blocks before it are still delivered.
//
// Opening hashes every frame and reads each block's summary, so that for_each_in() unpacks only
// blocks that can hold what is looked for. Each block is hashed again when it is unpacked: what is
// delivered is what was checked, also when somebody changes or shortens the file meanwhile (it is
// not mapped, for the kernel would end the reader then).
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/hash.h"
#include "sandbox/recorder/format/block_summary.h"
#include "sandbox/recorder/format/coverage.h"
#include "sandbox/recorder/format/event.h"

namespace gyges::recorder {

// Where a trace stops being good.
struct TraceDamage {
  std::uint64_t offset = 0;         // first byte of the first bad frame
  std::uint64_t block = 0;          // how many good blocks stand before it
  std::uint64_t first_missing = 0;  // sequence number of the first event that is not there
  std::string reason;               // "cut off", "changed: its hash differs", ...
  bool is_frame = true;             // a frame begins there; else the file ends, or should have
};

// What the file holds as far as it is intact.
struct TraceExtent {
  std::uint64_t bytes = 0;  // of the file
  std::uint64_t blocks = 0;
  std::uint64_t events = 0;
  std::uint64_t start_ns = 0;  // earliest entry
  Counters counters;           // of the last good block
};

class TraceReader {
 public:
  // Checks every frame's hash; fails only when the header cannot be used.
  static Result<TraceReader> open(const std::filesystem::path& path);
  // open() and for_each() in one pass, for whoever wants nothing else: each byte is read and hashed
  // once. What stands before a damage is delivered before the error is returned.
  static Status read_through(const std::filesystem::path& path,
                             const std::function<bool(const Event&)>& visit);
  TraceReader(TraceReader&&) noexcept;
  TraceReader& operator=(TraceReader&&) noexcept;
  ~TraceReader();

  // Calls `visit` for every event in trace order until it returns false. Views in the event are
  // valid during the call only. Fails at the first damaged block, and at the end of a trace that
  // was never finished, after delivering everything before. A visitor that returned false ends it
  // without error.
  Status for_each(const std::function<bool(const Event&)>& visit);

  // As for_each(), but leaves out blocks that, by their summaries, hold nothing that the query
  // looks for; the events of the others come all, so the visitor still has to choose. A block is
  // unpacked with those it builds on, at most 256 Ki events before it. Traces of format 1 have no
  // summaries: only their times are used.
  Status for_each_in(const BlockQuery& query, const std::function<bool(const Event&)>& visit);
  // How many blocks for_each_in() would deliver.
  [[nodiscard]] std::uint64_t blocks_in(const BlockQuery& query) const;
  // How many blocks were unpacked so far, also only for those that build on them.
  [[nodiscard]] std::uint64_t blocks_unpacked() const;

  // Takes in what a recorder that is still at work has finished since; true if there is more than
  // before. Damage, extent, coverage and chain head are then those of now.
  Result<bool> refresh();
  // As for_each(), but only events that no earlier call delivered, and an unfinished end is no
  // error: more may come. With refresh() it follows a live trace.
  Status for_each_new(const std::function<bool(const Event&)>& visit);
  // Whether somebody has the file open for writing. False only when that is certain.
  [[nodiscard]] bool may_grow() const;

  // The first damage found when opening; none for a whole trace. An unfinished trace is damaged.
  [[nodiscard]] const std::optional<TraceDamage>& damage() const;
  [[nodiscard]] const TraceExtent& extent() const;

  [[nodiscard]] Backend backend() const;
  [[nodiscard]] std::uint64_t realtime_base_ns() const;  // add to time_ns for CLOCK_REALTIME
  // The coverage statement of the footer; none if the recorder died before closing the trace.
  [[nodiscard]] const std::optional<Coverage>& coverage() const;
  // Running hash over all blocks as far as the file is intact.
  [[nodiscard]] const Sha256& chain_head() const;

 private:
  struct State;
  explicit TraceReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace gyges::recorder
