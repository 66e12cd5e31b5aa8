// The BPF backend: sessions over one set of programs, and the thread that empties the rings.
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <future>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "base/fd.h"
#include "base/thread_start.h"
#include "sandbox/recorder/capture/backend.h"
#include "sandbox/recorder/capture/bpf_programs.h"
#include "sandbox/recorder/capture/coverage_notes.h"
#include "sandbox/recorder/capture/cpu_quota.h"
#include "sandbox/recorder/capture/event_joiner.h"
#include "sandbox/recorder/capture/tool_mark.h"

namespace gyges::recorder {
namespace {

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

  void take(const wire::record& record) {
    drained += record.size;
    keep(joiner.take(record));
  }
  // Its processes were slowed down.
  void note(const Throttling& throttling) {
    Event event;
    event.kind = EventKind::recorder_wait;
    event.time_ns = throttling.began_ns;
    event.duration_ns = throttling.duration_ns;
    event.args = {wait_by_quota, throttling.least_percent};
    keep(sink->append(event));
  }
  void keep(Status outcome) {
    if (!outcome && status) status = std::move(outcome);
  }

  std::uint32_t id = 0;
  std::uint32_t slot = 0;
  struct Adopted {
    pid_t pid = 0;
    UniqueFd pidfd;
  };
  std::vector<Adopted> adopted;  // those that have not ended
  bool doomed = false;
  std::uint64_t drained = 0;  // bytes of the last reading
  std::optional<CpuQuota> quota;
  std::unique_ptr<EventSink> sink;
  EventJoiner joiner;
  Status status;  // the first error; what cannot be recorded may not run: see Consumer::doom
};

// Empties the rings, in a thread of its own and, where somebody waits for the result, in theirs.
class Consumer {
 public:
  static Result<std::shared_ptr<Consumer>> start(std::unique_ptr<BpfPrograms> programs) {
    std::shared_ptr<Consumer> consumer(new Consumer(std::move(programs)));
    GYGES_TRY(consumer->thread_,
              start_thread("reads the rings", [raw = consumer.get()] { raw->run(); }));
    GYGES_CHECK(consumer->started_.get_future().get());
    return consumer;
  }
  ~Consumer() {
    {
      const std::unique_lock lock(mutex_, std::chrono::seconds(1));  // not if its holder is dead
      stopping_.store(true);
    }
    wake_.notify_all();
    programs_->wake();
    if (thread_.joinable()) thread_.join();
  }

  Consumer(const Consumer&) = delete;
  Consumer& operator=(const Consumer&) = delete;

  BpfPrograms& programs() { return *programs_; }

  // Runs `work`, which returns a Result, while no records are being read, after all records up to
  // now have been. Fails if the reading thread died or hangs in a write.
  template <class Work>
  auto settled(Work&& work) -> decltype(work()) {
    waiting_.fetch_add(1);
    std::unique_lock lock(mutex_, std::defer_lock);
    struct Leave {
      Consumer& consumer;
      ~Leave() {
        consumer.waiting_.fetch_sub(1);
        consumer.wake_.notify_all();
      }
    } leave{*this};
    const Clock::time_point deadline = Clock::now() + std::chrono::seconds(30);
    while (!lock.try_lock_for(std::chrono::milliseconds(100))) {
      const bool dead = syscall(SYS_tgkill, getpid(), reader_.load(), 0) != 0;
      if (dead || Clock::now() > deadline)
        return fail("record", "reader of the rings",
                    dead ? "its thread ended" : "it has not answered for 30 s",
                    "run again; the processes that it recorded are killed as they go on");
    }
    drain(~std::uint64_t{0});
    return work();
  }

  Result<Stream*> add(std::unique_ptr<Stream> stream, const SessionOptions& options) {
    return settled([&]() -> Result<Stream*> {
      for (std::uint32_t tried = 0; tried < wire::session_slots; ++tried) {
        const std::uint32_t id = ++last_id_ == 0 ? ++last_id_ : last_id_;
        const std::uint32_t slot = id % wire::session_slots;
        if (streams_[slot] != nullptr) continue;
        stream->id = id;
        stream->slot = slot;
        programs_->set_session(slot, id, options);
        streams_[slot] = std::move(stream);
        ++sessions_;
        return streams_[slot].get();
      }
      return fail("start recording", "session", "all session slots are taken",
                  "run fewer sessions at the same time");
    });
  }

  Result<std::unique_ptr<Stream>> remove(Stream& stream) {
    return settled([&]() -> Result<std::unique_ptr<Stream>> {
      programs_->set_session(stream.slot, 0, {});
      --sessions_;
      if (stream.quota) {
        if (const auto over = stream.quota->restore(monotonic_ns())) stream.note(*over);
      }
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
  explicit Consumer(std::unique_ptr<BpfPrograms> programs) : programs_(std::move(programs)) {}

  std::uint64_t drain(std::uint64_t limit) {
    const std::uint64_t bytes = programs_->rings().drain(limit, [this](const wire::record& record) {
      Stream* stream = streams_[record.session % wire::session_slots].get();
      if (stream == nullptr || stream->id != record.session) return;
      stream->take(record);
      if (!stream->status && !stream->doomed) doom(*stream);
    });
    if (!programs_->rings().status()) end_all(programs_->rings().status());
    return bytes;
  }

  // Records of any session may be among those that cannot be read.
  void end_all(const Status& status) {
    for (auto& stream : streams_) {
      if (stream == nullptr) continue;
      stream->keep(status);
      if (!stream->doomed) doom(*stream);
    }
  }

  // Slows down the sandboxes that fill the rings, each no more than its part in it.
  void press(std::uint64_t used) {
    std::uint64_t total = 0;
    std::uint64_t busy = 0;
    for (const auto& stream : streams_) {
      if (stream == nullptr || stream->drained == 0) continue;
      total += stream->drained;
      ++busy;
    }
    const std::uint64_t now = monotonic_ns();
    for (auto& stream : streams_) {
      if (stream == nullptr) continue;
      const std::uint64_t part = std::exchange(stream->drained, 0);
      if (!stream->quota) continue;
      const bool heavy = busy != 0 && part * busy >= total;
      if (const auto over = stream->quota->look(heavy ? used : 0, programs_->ring_bytes(), now))
        stream->note(*over);
    }
  }

  // The record cannot be kept (the disk is full): nothing may run on without one.
  void doom(Stream& stream) {
    stream.doomed = true;
    programs_->doom(stream.slot);
    for (const auto& adopted : stream.adopted)
      syscall(SYS_pidfd_send_signal, adopted.pidfd.get(), SIGKILL, nullptr, 0);
  }

  Status begin_reading() {
    reader_.store(static_cast<pid_t>(syscall(SYS_gettid)));
    sched_param priority{};
    priority.sched_priority = 1;
    const int code = pthread_setschedparam(pthread_self(), SCHED_FIFO, &priority);
    if (code != 0) {
      no_priority_ = "no real-time priority for the reader of the rings (" +
                     std::string(std::strerror(code)) +
                     "): under load, recorded tasks are held back more often";
    }
    return programs_->name_reader();
  }

  void run() {
    Status begun = begin_reading();
    const bool reads = begun.has_value();
    started_.set_value(std::move(begun));
    if (!reads) return;
    constexpr std::uint64_t batch = 1U << 20U;
    // What is not enough to ring the bell is read this often, in milliseconds.
    constexpr int idle_ms = 50;
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
      const std::uint64_t used = programs_->rings().fullest();
      const std::uint64_t bytes = drain(batch);
      // Whoever waits in the kernel goes on only when a reading ends, and the next look comes at
      // once: so the one before it counts too.
      press(std::max(used, last_used_));
      last_used_ = used;
      if (Clock::now() - last_tick > std::chrono::milliseconds(100)) {
        last_tick = Clock::now();
        for (auto& stream : streams_) {
          if (stream == nullptr) continue;
          stream->keep(stream->sink->tick(counters_of(*stream)));
          if (!stream->status && !stream->doomed) doom(*stream);
        }
      }
      if (bytes >= batch) continue;
      lock.unlock();
      programs_->sleep(idle_ms);
      lock.lock();
    }
  }

  std::unique_ptr<BpfPrograms> programs_;
  std::timed_mutex mutex_;
  std::condition_variable_any wake_;
  std::atomic<int> waiting_{0};
  std::atomic<bool> stopping_{false};
  std::atomic<pid_t> reader_{0};
  std::promise<Status> started_;
  std::uint32_t last_id_ = 0;
  std::uint64_t last_used_ = 0;  // bytes in the fullest ring before the last reading
  std::uint32_t sessions_ = 0;
  std::array<std::unique_ptr<Stream>, wire::session_slots> streams_;
  std::string no_priority_;
  std::thread thread_;
};

class BpfSession final : public SlowableSession {
 public:
  BpfSession(std::shared_ptr<Consumer> consumer, Stream* stream)
      : consumer_(std::move(consumer)), stream_(stream) {}

  ~BpfSession() override {
    if (stream_ != nullptr) static_cast<void>(consumer_->remove(*stream_));
  }

  Status adopt(int pidfd, pid_t pid, std::uint32_t tool_call) override {
    GYGES_CHECK(open());
    GYGES_TRY(ThreadFacts facts, read_thread_facts(pid));
    facts.origin_call = tool_call;
    facts.active_call = tool_call;
    UniqueFd kept(fcntl(pidfd, F_DUPFD_CLOEXEC, 0));
    if (!kept) return fail_errno("record", "pidfd");
    return consumer_->settled([&]() -> Status {
      if (!stream_->status) return stream_->status;  // what runs from here on has no record
      // One that is labelled anew takes its own place.
      std::erase_if(stream_->adopted, [pid](const auto& other) {
        pollfd ended{other.pidfd.get(), POLLIN, 0};
        return other.pid == pid || poll(&ended, 1, 0) != 0;
      });
      stream_->adopted.push_back({pid, std::move(kept)});
      stream_->joiner.add_thread(facts);
      return consumer_->programs().label(pidfd, stream_->id, tool_call, tool_call);
    });
  }

  Status slow_down_by(const CpuQuotaFile& file) override {
    GYGES_CHECK(open());
    GYGES_TRY(CpuQuota quota,
              CpuQuota::take(file, static_cast<std::uint32_t>(sysconf(_SC_NPROCESSORS_CONF))));
    return consumer_->settled([&]() -> Status {
      stream_->quota.emplace(std::move(quota));
      return ok();
    });
  }

  Status tool_call_started(std::uint32_t tool_call, std::string_view tool) override {
    return mark(EventKind::tool_call_start, tool_call, tool);
  }

  Status tool_call_ended(std::uint32_t tool_call) override {
    return mark(EventKind::tool_call_end, tool_call, {});
  }

  Status flush() override {
    GYGES_CHECK(open());
    return consumer_->settled([&]() -> Status {
      if (!stream_->status) return stream_->status;
      return stream_->sink->flush();
    });
  }

  Result<Coverage> close() override {
    GYGES_CHECK(open());
    GYGES_TRY(const std::unique_ptr<Stream> stream, consumer_->remove(*stream_));
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
    if (stream->joiner.uses_io_uring() && consumer_->programs().misses_uring()) {
      coverage.complete = false;
      coverage.degraded.emplace_back(
          "io_uring was used, and this kernel does not show its operations: they are missing");
    }
    if (!stream->quota)
      coverage.degraded.emplace_back(
          "no processor quota for the sandbox (no control group of its own with the cpu "
          "controller): what is ahead of the recorder is held back in the kernel only");
    else if (!stream->quota->refusal().empty())
      coverage.degraded.push_back("the kernel refused a processor quota (" +
                                  stream->quota->refusal() +
                                  "): what was ahead of the recorder was held back in the kernel");
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
      return stream_->sink->append(ToolMark(kind, tool_call, tool, monotonic_ns()).event());
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
    GYGES_TRY(Stream* const added, consumer_->add(std::move(stream), options));
    return std::make_unique<BpfSession>(consumer_, added);
  }

 private:
  std::shared_ptr<Consumer> consumer_;
};

}  // namespace

Result<std::unique_ptr<CaptureBackend>> open_bpf_backend(const RecorderOptions& options,
                                                         Waiting waiting) {
  GYGES_TRY(std::unique_ptr<BpfPrograms> programs,
            BpfPrograms::load(options.ring_bytes, waiting, shared_directory(), options.io_uring));
  GYGES_TRY(std::shared_ptr<Consumer> consumer, Consumer::start(std::move(programs)));
  return std::make_unique<BpfBackend>(std::move(consumer));
}

}  // namespace gyges::recorder
