// Joins the records of the kernel side into events: entry and exit of a call, per thread.
//
// One joiner serves one session. Records must arrive in an order in which everything that caused a
// record comes before it. Not thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "sandbox/recorder/capture/event_sink.h"
#include "sandbox/recorder/capture/kernel/record.h"
#include "sandbox/recorder/capture/path_check.h"
#include "sandbox/recorder/capture/thread_table.h"

namespace gyges::recorder {

class EventJoiner {
 public:
  EventJoiner(EventSink& sink, bool record_signals)
      : sink_(sink), record_signals_(record_signals) {}

  // A thread that was labelled from outside; later threads are learned from the records.
  void add_thread(const ThreadFacts& facts) {
    threads_[facts.tid].facts = facts;
    path_check_.add_root(facts.pid);
  }

  // Bytes of the record, `record.size` of them, are used during the call only.
  Status take(const wire::record& record);

  // Hands over the calls that have no exit yet. Call it once, at the end.
  Status finish();

  [[nodiscard]] std::uint64_t enters() const { return enters_; }
  [[nodiscard]] std::uint64_t exits() const { return exits_; }
  // Whether a ring of io_uring was made or used.
  [[nodiscard]] bool uses_io_uring() const { return uses_io_uring_; }

 private:
  struct Thread {
    ThreadFacts facts;
    std::vector<std::byte> entry;   // record of the call in progress, or empty
    std::vector<std::byte> image;   // captures of its exec record that stand in for lost arguments
    std::vector<std::byte> denied;  // a refused call that waits for what is known of it later
    std::vector<std::byte> exit;    // ... the exit of the call in progress
    std::vector<std::byte> late;    // captures of the call that were read after its return
  };

  Thread& thread_of(std::int32_t tid);
  Status join(Thread& thread, const wire::exit_record* exit, Verdict verdict);
  Status take_call(const wire::call_record& record);
  Status hand_over_denied(Thread& thread, const wire::denied_record& denied, Verdict verdict);
  Status settle_denied(Thread& thread, bool killed);
  Status settle_exit(Thread& thread);
  Status take_late(const wire::record& record);
  void add_late_captures(Thread& thread);
  Status start(const wire::start_record& record);
  Status exec(const wire::exec_record& record);
  Status end(const wire::end_record& record);
  Status uring(const wire::uring_record& record);
  Status content(const wire::content_record& record);
  void place_image_captures(const Event& call, std::size_t known);
  void begin_captures();
  void add_captures(const wire::record& record, std::size_t fixed);
  void add_captures(const std::byte* from, const std::byte* to, bool arguments_only);

  EventSink& sink_;
  bool record_signals_;
  PathCheck path_check_{false};
  std::uint64_t enters_ = 0;
  std::uint64_t exits_ = 0;
  bool uses_io_uring_ = false;
  std::unordered_map<std::int32_t, Thread> threads_;
  // Where threads were found last: those of several processors alternate.
  struct Found {
    std::int32_t tid = -1;
    Thread* thread = nullptr;
  };
  std::array<Found, 16> found_;
  void forget(std::int32_t tid);
  // Operations of io_uring that are not complete, by their request in the kernel.
  std::unordered_map<std::uint64_t, Event> operations_;
  std::vector<Capture> captures_;
  struct Base {
    std::uint8_t argument;
    std::string_view directory;
  };
  std::vector<Base> bases_;  // directories of relative path arguments
  void add_components(Capture capture, unsigned flags);
  std::span<const Capture> finished_captures();
  void add_changed_elsewhere(Event& event);
  std::string& new_path();

  std::deque<std::string> paths_;  // what turned-round components became; kept for reuse
  std::size_t paths_used_ = 0;
};

}  // namespace gyges::recorder
