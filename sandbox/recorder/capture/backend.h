// A capture backend: like Recorder, but a session writes to any event sink.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "sandbox/recorder/capture/bpf_programs.h"
#include "sandbox/recorder/capture/event_sink.h"
#include "sandbox/recorder/recorder.h"

namespace gyges::recorder {

class CaptureBackend : public Recorder {
 public:
  // As start(), but events go to `sink` and options.trace_file is not used.
  virtual Result<std::unique_ptr<Session>> start_with(std::unique_ptr<EventSink> sink,
                                                      const SessionOptions& options) = 0;
  Result<std::unique_ptr<Session>> start(const SessionOptions& options) final;
};

Result<std::unique_ptr<CaptureBackend>> open_bpf_backend(const RecorderOptions& options,
                                                         Waiting waiting = Waiting::best);
Result<std::unique_ptr<CaptureBackend>> open_ptrace_backend(const RecorderOptions& options);

}  // namespace gyges::recorder
