#include "sandbox/recorder/recorder.h"

#include <bit>

#include "sandbox/recorder/capture/backend.h"
#include "sandbox/recorder/capture/labelling_sink.h"
#include "sandbox/recorder/capture/trace_sink.h"

namespace gyges::recorder {
namespace {

Status check(const RecorderOptions& options) {
  constexpr std::uint32_t smallest = 64U << 10U;
  constexpr std::uint32_t largest = 64U << 20U;
  if (std::has_single_bit(options.ring_bytes) && options.ring_bytes >= smallest &&
      options.ring_bytes <= largest)
    return ok();
  return fail("open recorder", "ring_bytes",
              std::to_string(options.ring_bytes) + " is not a power of two from 65536 to 67108864",
              "use 4194304");
}

}  // namespace

Result<std::unique_ptr<Session>> CaptureBackend::start(const SessionOptions& options) {
  if (options.buffer_bytes > 255)
    return fail("start recording", "buffer_bytes",
                std::to_string(options.buffer_bytes) + " is more than 255", "use 0 to 255");
  GYGES_TRY(std::unique_ptr<TraceSink> trace, TraceSink::create(options.trace_file, backend()));
  std::unique_ptr<EventSink> sink = std::move(trace);
  if (options.call_of)
    sink = std::make_unique<LabellingSink>(std::move(sink), options.call_of, options.servers);
  return start_with(std::move(sink), options);
}

Result<std::unique_ptr<Recorder>> Recorder::open(std::optional<Backend> choice,
                                                 const RecorderOptions& options) {
  GYGES_CHECK(check(options));
  if (choice != Backend::ptrace) {
    auto bpf = open_bpf_backend(options);
    if (bpf) return std::unique_ptr<Recorder>(std::move(*bpf));
    if (choice == Backend::ebpf) return tl::unexpected<Error>(std::move(bpf.error()));
  }
  GYGES_TRY(std::unique_ptr<CaptureBackend> ptrace, open_ptrace_backend(options));
  return std::unique_ptr<Recorder>(std::move(ptrace));
}

}  // namespace gyges::recorder
