// What every event that comes out of a trace must withstand: text, JSON, paths, statistics.
#pragma once

#include "sandbox/recorder/format/event.h"
#include "sandbox/recorder/format/resolved_paths.h"
#include "sandbox/recorder/format/trace_statistics.h"

namespace gyges::recorder::fuzz {

class EventChecks {
 public:
  // Aborts when the text of the event could drive a terminal, break a line or is no UTF-8.
  void operator()(const Event& event);
  // Aborts when the counts do not add up.
  void finish();

 private:
  PathResolver names_;
  TraceStatistics statistics_;
};

}  // namespace gyges::recorder::fuzz
