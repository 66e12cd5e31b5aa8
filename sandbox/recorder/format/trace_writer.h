// Writes one trace file (docs/trace_format.md): header, compressed blocks with checksum and running
// hash, a footer with the counters. What was appended up to the last finished block survives
// kill -9; a block is finished every 64 k events or one second (a tenth of that at the start of a
// trace), whichever is first.
//
// Not thread-safe. The writer assigns Event::sequence.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/hash.h"
#include "sandbox/recorder/format/coverage.h"
#include "sandbox/recorder/format/event.h"

namespace gyges::recorder {

class TraceWriter {
 public:
  static Result<std::unique_ptr<TraceWriter>> create(const std::filesystem::path& path,
                                                     Backend backend);
  ~TraceWriter();
  TraceWriter(const TraceWriter&) = delete;
  TraceWriter& operator=(const TraceWriter&) = delete;

  // The event is copied into the current block; its views need not outlive the call. An error (disk
  // full) is sticky: every later call fails with it.
  Status append(const Event& event);

  // The kernel's counters as of now, written into every block from here on, so that a trace whose
  // recorder died still says what had been counted. `recorded_enters` and `recorded_exits` are the
  // writer's own.
  void set_counters(const Counters& counters);

  // Finishes the current block if it is old enough. Call it when idle.
  Status tick();

  // Finishes the current block, however young it is: a reader sees what was appended so far.
  Status flush();

  // Finishes the last block and writes the footer with the coverage statement, whose `bytes`,
  // `events` and `syscalls` the writer fills in.
  Status finish(Coverage& coverage);

 private:
  struct State;
  explicit TraceWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace gyges::recorder
