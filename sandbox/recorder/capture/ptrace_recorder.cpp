// The ptrace backend: for ordinary users and for kernels that refuse BPF programs.
#include <chrono>
#include <csignal>
#include <thread>
#include <vector>

#include "sandbox/recorder/capture/backend.h"
#include "sandbox/recorder/capture/coverage_notes.h"
#include "sandbox/recorder/capture/tool_mark.h"
#include "sandbox/recorder/capture/tracer.h"

namespace gyges::recorder {
namespace {

using Clock = std::chrono::steady_clock;

class PtraceSession final : public Session {
 public:
  PtraceSession(std::unique_ptr<EventSink> sink, const SessionOptions& options, bool io_uring) {
    shared_->sink = std::move(sink);
    shared_->buffer_bytes = options.buffer_bytes;
    shared_->contents = options.contents;
    shared_->content_bytes = options.content_bytes;
    shared_->record_signals = options.record_signals;
    shared_->may_use_io_uring = io_uring;
  }

  ~PtraceSession() override { end_tracers(); }

  Status expect_filters(const std::vector<std::string>& programs) override {
    GYGES_CHECK(open());
    std::shared_ptr<const SeccompChain> filters;
    for (const std::string& program : programs) filters = SeccompChain::with(filters, program);
    const std::lock_guard lock(shared_->mutex);
    shared_->filters = std::move(filters);
    return ok();
  }

  Status adopt(int /*pidfd*/, pid_t pid, std::uint32_t tool_call) override {
    GYGES_CHECK(open());
    GYGES_TRY(ThreadFacts facts, read_thread_facts(pid));
    facts.origin_call = tool_call;
    facts.active_call = tool_call;
    {
      const std::lock_guard lock(shared_->mutex);
      if (!shared_->status) return shared_->status;  // what runs from here on has no record
    }
    if (relabel(pid, tool_call)) return ok();
    auto tracer = Tracer::start(*shared_, facts);
    // A child of a traced process whose creation was being handled just now.
    for (int tries = 0; !tracer && tries < 100; ++tries) {
      if (relabel(pid, tool_call)) return ok();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    if (!tracer) return tl::unexpected<Error>(std::move(tracer.error()));
    std::erase_if(tracers_, [](const auto& other) { return other->finished(); });
    tracers_.push_back(std::move(*tracer));
    return ok();
  }

  Status tool_call_started(std::uint32_t tool_call, std::string_view tool) override {
    return mark(EventKind::tool_call_start, tool_call, tool);
  }

  Status tool_call_ended(std::uint32_t tool_call) override {
    return mark(EventKind::tool_call_end, tool_call, {});
  }

  Status flush() override {
    GYGES_CHECK(open());
    const std::lock_guard lock(shared_->mutex);
    if (!shared_->status) return shared_->status;
    return shared_->sink->flush();
  }

  Result<Coverage> close() override {
    GYGES_CHECK(open());
    const std::size_t left = end_tracers();
    closed_ = true;
    if (!shared_->status) return tl::unexpected<Error>(shared_->status.error());
    Coverage coverage;
    coverage.backend = Backend::ptrace;
    coverage.counters = shared_->counters;
    coverage.complete = coverage.counters.lost == 0 && !shared_->uses_io_uring;
    coverage.not_observable = not_observable(Backend::ptrace);
    if (shared_->uses_io_uring)
      coverage.degraded.emplace_back(
          "io_uring was used, and ptrace does not see its operations: they are missing");
    if (left != 0)
      coverage.degraded.push_back(std::to_string(left) +
                                  " threads were alive at the end of the record and were killed");
    GYGES_CHECK(shared_->sink->finish(coverage));
    return coverage;
  }

 private:
  Status open() const {
    if (!closed_) return ok();
    return fail("record", "session", "the session is closed");
  }

  bool relabel(pid_t pid, std::uint32_t tool_call) {
    const std::lock_guard lock(shared_->mutex);
    if (!shared_->traced.contains(pid)) return false;
    shared_->relabelled[pid] = tool_call;
    return true;
  }

  // Waits for the tracers; kills what is left after a while, for nothing may run on unrecorded.
  // Returns the number of threads left by then.
  std::size_t end_tracers() {
    const Clock::time_point deadline = Clock::now() + std::chrono::seconds(1);
    std::size_t left = 0;
    for (const auto& tracer : tracers_) {
      while (!tracer->finished() && Clock::now() < deadline)
        std::this_thread::sleep_for(std::chrono::microseconds(100));
      if (tracer->finished()) continue;
      const std::lock_guard lock(shared_->mutex);
      left = std::max(left, shared_->traced.size());
      for (const pid_t tid : shared_->traced) kill(tid, SIGKILL);
    }
    tracers_.clear();
    return left;
  }

  Status mark(EventKind kind, std::uint32_t tool_call, std::string_view tool) {
    GYGES_CHECK(open());
    const ToolMark made(kind, tool_call, tool, monotonic_ns());
    const std::lock_guard lock(shared_->mutex);
    if (!shared_->status) return shared_->status;
    return shared_->sink->append(made.event());
  }

  std::unique_ptr<TracedSession> shared_ = std::make_unique<TracedSession>();
  std::vector<std::unique_ptr<Tracer>> tracers_;
  bool closed_ = false;
};

class PtraceBackend final : public CaptureBackend {
 public:
  explicit PtraceBackend(bool io_uring) : io_uring_(io_uring) {}

  [[nodiscard]] Backend backend() const override { return Backend::ptrace; }

  Result<std::unique_ptr<Session>> start_with(std::unique_ptr<EventSink> sink,
                                              const SessionOptions& options) override {
    return std::make_unique<PtraceSession>(std::move(sink), options, io_uring_);
  }

 private:
  bool io_uring_;
};

}  // namespace

Result<std::unique_ptr<CaptureBackend>> open_ptrace_backend(const RecorderOptions& options) {
  return std::make_unique<PtraceBackend>(options.io_uring);
}

}  // namespace gyges::recorder
