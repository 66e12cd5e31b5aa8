// The BPF backend: sessions over one set of programs, and the thread that empties the rings.
#include <pthread.h>
#include <sched.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

#include "sandbox/recorder/capture/backend.h"
#include "sandbox/recorder/capture/bpf_programs.h"
#include "sandbox/recorder/capture/coverage_notes.h"
#include "sandbox/recorder/capture/event_joiner.h"

namespace gyges::recorder {
namespace {

using std::chrono::microseconds;
using Clock = std::chrono::steady_clock;

std::uint64_t monotonic_ns() {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch())
          .count());
}

// One session as the consumer sees it; touched under Consumer's lock only.
struct Stream {
  Stream(std::unique_ptr<EventSink> to, bool record_signals)
      : sink(std::move(to)), joiner(*sink, record_signals) {}

  void take(const wire::record& record) { keep(joiner.take(record)); }
  void keep(Status outcome) {
    if (!outcome && status) status = std::move(outcome);
  }

  std::uint32_t id = 0;
  std::uint32_t slot = 0;
  std::unique_ptr<EventSink> sink;
  EventJoiner joiner;
  Status status;  // the first error; the record goes on being counted
};

// Empties the rings, in a thread of its own and, where somebody waits for the result, in theirs.
class Consumer {
 public:
  explicit Consumer(std::unique_ptr<BpfPrograms> programs) : programs_(std::move(programs)) {
    thread_ = std::thread([this] { run(); });
    sched_param priority{};
    priority.sched_priority = 1;
    const int code = pthread_setschedparam(thread_.native_handle(), SCHED_FIFO, &priority);
    if (code != 0) {
      no_priority_ = "no real-time priority for the reader of the rings (" +
                     std::string(std::strerror(code)) +
                     "): under load, recorded tasks are held back more often";
    }
  }

  ~Consumer() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }

  Consumer(const Consumer&) = delete;
  Consumer& operator=(const Consumer&) = delete;

  BpfPrograms& programs() { return *programs_; }

  // Runs `work` while no records are being read, after all records up to now have been.
  template <class Work>
  auto settled(Work&& work) {
    waiting_.fetch_add(1);
    std::unique_lock lock(mutex_);
    drain(~std::uint64_t{0});
    struct Leave {
      Consumer& consumer;
      ~Leave() {
        consumer.waiting_.fetch_sub(1);
        consumer.wake_.notify_all();
      }
    } leave{*this};
    return work();
  }

  Result<Stream*> add(std::unique_ptr<Stream> stream, std::uint32_t buffer_bytes) {
    return settled([&]() -> Result<Stream*> {
      for (std::uint32_t tried = 0; tried < wire::session_slots; ++tried) {
        const std::uint32_t id = ++last_id_ == 0 ? ++last_id_ : last_id_;
        const std::uint32_t slot = id % wire::session_slots;
        if (streams_[slot] != nullptr) continue;
        stream->id = id;
        stream->slot = slot;
        programs_->set_session(slot, id, buffer_bytes);
        streams_[slot] = std::move(stream);
        ++sessions_;
        return streams_[slot].get();
      }
      return fail("start recording", "session", "all session slots are taken",
                  "run fewer sessions at the same time");
    });
  }

  std::unique_ptr<Stream> remove(Stream& stream) {
    return settled([&] {
      programs_->set_session(stream.slot, 0, 0);
      --sessions_;
      return std::move(streams_[stream.slot]);
    });
  }

  [[nodiscard]] Counters counters_of(const Stream& stream) const {
    const wire::session_count counted = programs_->counts(stream.slot);
    Counters counters;
    counters.enters = counted.enters;
    counters.exits = counted.exits;
    counters.recorded_enters = stream.joiner.enters();
    counters.recorded_exits = stream.joiner.exits();
    counters.lost = counted.lost;
    counters.waits = counted.waits;
    return counters;
  }

  [[nodiscard]] std::vector<std::string> degraded() const {
    std::vector<std::string> notes = programs_->degraded();
    if (!no_priority_.empty()) notes.push_back(no_priority_);
    return notes;
  }

 private:
  std::uint64_t drain(std::uint64_t limit) {
    return programs_->rings().drain(limit, [this](const wire::record& record) {
      Stream* stream = streams_[record.session % wire::session_slots].get();
      if (stream != nullptr && stream->id == record.session) stream->take(record);
    });
  }

  void run() {
    constexpr std::uint64_t batch = 1U << 20U;
    // Rings fill at up to some 700 MB/s per CPU; a poll must come well before the high-water mark.
    const std::uint64_t busy = programs_->ring_bytes() / 16;
    microseconds pause{1000};
    Clock::time_point last_tick = Clock::now();
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      if (sessions_ == 0) {
        wake_.wait(lock, [this] { return stopping_ || sessions_ != 0; });
        continue;
      }
      if (waiting_.load() != 0) {  // let them have the lock: the mutex alone is not fair
        wake_.wait(lock, [this] { return stopping_ || waiting_.load() == 0; });
        continue;
      }
      const std::uint64_t bytes = drain(batch);
      if (Clock::now() - last_tick > std::chrono::seconds(1)) {
        last_tick = Clock::now();
        for (auto& stream : streams_)
          if (stream != nullptr) stream->keep(stream->sink->tick(counters_of(*stream)));
      }
      if (bytes >= busy) {
        pause = microseconds(50);
        if (bytes >= batch) continue;
      } else {
        pause = std::min(pause * 2, microseconds(1000));
      }
      wake_.wait_for(lock, pause);
    }
  }

  std::unique_ptr<BpfPrograms> programs_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<int> waiting_{0};
  bool stopping_ = false;
  std::uint32_t last_id_ = 0;
  std::uint32_t sessions_ = 0;
  std::array<std::unique_ptr<Stream>, wire::session_slots> streams_;
  std::string no_priority_;
  std::thread thread_;
};

class BpfSession final : public Session {
 public:
  BpfSession(std::shared_ptr<Consumer> consumer, Stream* stream)
      : consumer_(std::move(consumer)), stream_(stream) {}

  ~BpfSession() override {
    if (stream_ != nullptr) consumer_->remove(*stream_);
  }

  Status adopt(int pidfd, pid_t pid, std::uint32_t tool_call) override {
    GYGES_CHECK(open());
    GYGES_TRY(ThreadFacts facts, read_thread_facts(pid));
    facts.origin_call = tool_call;
    facts.active_call = tool_call;
    return consumer_->settled([&]() -> Status {
      stream_->joiner.add_thread(facts);
      return consumer_->programs().label(pidfd, stream_->id, tool_call, tool_call);
    });
  }

  Status tool_call_started(std::uint32_t tool_call, std::string_view tool) override {
    return mark(EventKind::tool_call_start, tool_call, tool);
  }

  Status tool_call_ended(std::uint32_t tool_call) override {
    return mark(EventKind::tool_call_end, tool_call, {});
  }

  Result<Coverage> close() override {
    GYGES_CHECK(open());
    const std::unique_ptr<Stream> stream = consumer_->remove(*stream_);
    stream_ = nullptr;
    Coverage coverage;
    coverage.backend = Backend::ebpf;
    coverage.counters = consumer_->counters_of(*stream);
    stream->keep(stream->joiner.finish());
    GYGES_CHECK(std::move(stream->status));
    const Counters& counters = coverage.counters;
    coverage.complete = counters.lost == 0 && counters.enters == counters.recorded_enters &&
                        counters.exits == counters.recorded_exits;
    coverage.not_observable = not_observable(Backend::ebpf);
    coverage.degraded = consumer_->degraded();
    GYGES_CHECK(stream->sink->finish(coverage));
    return coverage;
  }

 private:
  Status open() const {
    if (stream_ != nullptr) return ok();
    return fail("record", "session", "the session is closed");
  }

  Status mark(EventKind kind, std::uint32_t tool_call, std::string_view tool) {
    GYGES_CHECK(open());
    return consumer_->settled([&]() -> Status {
      Capture name;
      name.kind = CaptureKind::text;
      name.bytes = tool;
      name.full_length = static_cast<std::uint32_t>(tool.size());
      Event event;
      event.kind = kind;
      event.time_ns = monotonic_ns();
      event.origin_call = tool_call;
      event.active_call = tool_call;
      if (kind == EventKind::tool_call_start) event.captures = {&name, 1};
      return stream_->sink->append(event);
    });
  }

  std::shared_ptr<Consumer> consumer_;
  Stream* stream_;  // owned by the consumer; null after close()
};

class BpfBackend final : public CaptureBackend {
 public:
  explicit BpfBackend(std::shared_ptr<Consumer> consumer) : consumer_(std::move(consumer)) {}

  [[nodiscard]] Backend backend() const override { return Backend::ebpf; }

  Result<std::unique_ptr<Session>> start_with(std::unique_ptr<EventSink> sink,
                                              const SessionOptions& options) override {
    auto stream = std::make_unique<Stream>(std::move(sink), options.record_signals);
    GYGES_TRY(Stream* const added, consumer_->add(std::move(stream), options.buffer_bytes));
    return std::make_unique<BpfSession>(consumer_, added);
  }

 private:
  std::shared_ptr<Consumer> consumer_;
};

}  // namespace

Result<std::unique_ptr<CaptureBackend>> open_bpf_backend(const RecorderOptions& options,
                                                         Waiting waiting) {
  GYGES_TRY(std::unique_ptr<BpfPrograms> programs, BpfPrograms::load(options.ring_bytes, waiting));
  return std::make_unique<BpfBackend>(std::make_shared<Consumer>(std::move(programs)));
}

}  // namespace gyges::recorder
