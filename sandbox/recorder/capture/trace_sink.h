// The event sink of a real session: a trace file.
#pragma once

#include <filesystem>
#include <memory>

#include "base/error.h"
#include "sandbox/recorder/capture/event_sink.h"
#include "sandbox/recorder/format/trace_writer.h"

namespace gyges::recorder {

class TraceSink final : public EventSink {
 public:
  static Result<std::unique_ptr<TraceSink>> create(const std::filesystem::path& file,
                                                   Backend backend) {
    GYGES_TRY(std::unique_ptr<TraceWriter> writer, TraceWriter::create(file, backend));
    return std::unique_ptr<TraceSink>(new TraceSink(std::move(writer)));
  }

  Status append(const Event& event) override { return writer_->append(event); }
  Status tick(const Counters& counters) override {
    writer_->set_counters(counters);
    return writer_->tick();
  }
  Status flush() override { return writer_->flush(); }
  Status finish(Coverage& coverage) override { return writer_->finish(coverage); }

 private:
  explicit TraceSink(std::unique_ptr<TraceWriter> writer) : writer_(std::move(writer)) {}
  std::unique_ptr<TraceWriter> writer_;
};

}  // namespace gyges::recorder
