// Where a backend hands its events: a trace file in earnest, a list in tests.
#pragma once

#include "base/error.h"
#include "sandbox/recorder/format/coverage.h"
#include "sandbox/recorder/format/event.h"

namespace gyges::recorder {

// Not thread-safe. Events arrive in the order in which they were complete: a system call at its
// exit, everything else when it happened. Errors are sticky.
class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual Status append(const Event& event) = 0;
  // Called ten times a second or so with the kernel's counters as of now.
  virtual Status tick(const Counters& counters) {
    static_cast<void>(counters);
    return ok();
  }
  // What was appended can be read by others when it returns.
  virtual Status flush() { return ok(); }
  // Called once, last.
  virtual Status finish(Coverage& coverage) = 0;
};

}  // namespace gyges::recorder
