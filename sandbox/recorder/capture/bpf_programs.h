// The kernel side as one recorder uses it: its rings, its counters, its labels. The programs
// themselves are shared with other recorders (program_set.h); all sessions of a recorder share its
// rings.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "sandbox/recorder/capture/bell.h"
#include "sandbox/recorder/capture/kernel/record.h"
#include "sandbox/recorder/capture/program_set.h"
#include "sandbox/recorder/capture/ring_set.h"
#include "sandbox/recorder/recorder.h"

namespace gyges::recorder {

// How a task that is ahead of the recorder is held back.
enum class Waiting {
  best,  // by task work where the kernel has it, otherwise by spinning
  spin,
};

class BpfPrograms {
 public:
  // Joins the programs of this host, or loads and attaches them. `ring_bytes` is a power of two; it
  // is halved until the kernel grants the memory, which degraded() then says. Fails where a
  // required facility is refused. `directory` and `uring`: see
  // ProgramSet::open().
  static Result<std::unique_ptr<BpfPrograms>> load(
      std::uint32_t ring_bytes, Waiting waiting = Waiting::best,
      const std::filesystem::path& directory = shared_directory(), bool uring = true);
  ~BpfPrograms();
  BpfPrograms(const BpfPrograms&) = delete;
  BpfPrograms& operator=(const BpfPrograms&) = delete;

  RingSet& rings() { return rings_; }
  [[nodiscard]] std::uint32_t ring_bytes() const { return set_->ring_bytes(); }
  // Whether another recorder had loaded the programs.
  [[nodiscard]] bool joined() const { return set_->joined(); }
  // Whether they had been loaded before, and attached to nothing since.
  [[nodiscard]] bool were_kept() const { return set_->were_kept(); }
  // Whether our slot was that of a recorder that had been killed.
  [[nodiscard]] bool took_over() const { return set_->predecessor_died(); }

  // Whether operations of io_uring were to be recorded, and this kernel does not show them.
  [[nodiscard]] bool misses_uring() const { return uring_ && !set_->sees_uring(); }

  // What this kernel lacks and what is used instead.
  [[nodiscard]] const std::vector<std::string>& degraded() const { return degraded_; }
  [[nodiscard]] bool waits_by_task_work() const { return task_work_; }

  // Opens the counters of a session's slot; records of other sessions with this slot are refused.
  // 0 closes the slot.
  void set_session(std::uint32_t slot, std::uint32_t session, const SessionOptions& options);
  // Sum over the CPUs.
  [[nodiscard]] wire::session_count counts(std::uint32_t slot) const;

  // Sleeps until the rings hold something worth waking for, or for `limit_ms` milliseconds.
  void sleep(int limit_ms);
  // Ends a sleep() of another thread.
  void wake() { bell_.ring(); }

  // Makes the calling thread the one that waiting tasks wait for: they are killed once it is gone.
  // Call it once, before the first session.
  Status name_reader();
  // Kills every task of the slot's session at its next system call.
  void doom(std::uint32_t slot);

  // Labels the process behind `pidfd`. A label of the same session keeps its state and gets the new
  // calls only.
  Status label(int pidfd, std::uint32_t session, std::uint32_t origin_call,
               std::uint32_t active_call);

 private:
  BpfPrograms() = default;
  Status open(std::uint32_t ring_bytes, bool task_work, const std::filesystem::path& directory);

  bool uring_ = true;
  std::unique_ptr<ProgramSet> set_;
  RingSet rings_;
  Bell bell_;
  std::uint32_t epoch_ = 0;
  bool task_work_ = false;
  std::vector<std::string> degraded_;
  std::uint8_t gate_byte_ = 0;  // read by waiting tasks, see wait_round
};

}  // namespace gyges::recorder
