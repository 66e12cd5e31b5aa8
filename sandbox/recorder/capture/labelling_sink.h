// Puts tool calls on the events of processes that nobody could label beforehand: an agent that is
// somebody else's program starts its tools itself. Whoever knows what was asked for is shown each
// program that is executed; what it claims belongs to that call from then on, with all that
// descends from it. Servers carry the call that they work on. Labels of adopt() stand.
//
// Not thread-safe, as every sink.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>

#include "sandbox/recorder/capture/event_sink.h"
#include "sandbox/recorder/recorder.h"

namespace gyges::recorder {

class LabellingSink final : public EventSink {
 public:
  LabellingSink(std::unique_ptr<EventSink> sink, CallOfExecution call_of, CallsOfServers servers)
      : sink_(std::move(sink)), call_of_(std::move(call_of)), servers_(std::move(servers)) {}

  Status append(const Event& event) override;
  Status tick(const Counters& counters) override { return sink_->tick(counters); }
  Status flush() override { return sink_->flush(); }
  Status finish(Coverage& coverage) override { return sink_->finish(coverage); }

 private:
  std::unique_ptr<EventSink> sink_;
  CallOfExecution call_of_;
  CallsOfServers servers_;
  std::unordered_map<std::int32_t, std::uint32_t> calls_;   // by process
  std::unordered_map<std::int32_t, std::uint32_t> server_;  // by process: the server it is part of
};

}  // namespace gyges::recorder
