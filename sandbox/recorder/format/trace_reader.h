// Reads a trace file. Hostile or damaged input yields an error that names the first bad byte, never
// a crash; with salvage, the good blocks before it are still delivered.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/hash.h"
#include "sandbox/recorder/format/coverage.h"
#include "sandbox/recorder/format/event.h"

namespace gyges::recorder {

class TraceReader {
 public:
  static Result<TraceReader> open(const std::filesystem::path& path);
  TraceReader(TraceReader&&) noexcept;
  TraceReader& operator=(TraceReader&&) noexcept;
  ~TraceReader();

  // Calls `visit` for every event in trace order until it returns false. Views in the event are
  // valid during the call only. Fails at the first damaged block, after delivering those before it.
  Status for_each(const std::function<bool(const Event&)>& visit);

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
