// The kernel side, loaded and attached: one set of programs that serves every session of a
// Recorder.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "sandbox/recorder/capture/kernel/record.h"
#include "sandbox/recorder/capture/ring_set.h"

struct bpf_object;
struct bpf_link;

namespace gyges::recorder {

// How a task that is ahead of the recorder is held back.
enum class Waiting {
  best,  // by task work where the kernel has it, otherwise by spinning
  spin,
};

class BpfPrograms {
 public:
  // Loads and attaches. `ring_bytes` is a power of two; it is halved until the kernel grants the
  // memory, which degraded() then says. Fails where a required facility is refused.
  static Result<std::unique_ptr<BpfPrograms>> load(std::uint32_t ring_bytes,
                                                   Waiting waiting = Waiting::best);
  ~BpfPrograms();
  BpfPrograms(const BpfPrograms&) = delete;
  BpfPrograms& operator=(const BpfPrograms&) = delete;

  RingSet& rings() { return rings_; }
  [[nodiscard]] std::uint32_t ring_bytes() const { return ring_bytes_; }

  // What this kernel lacks and what is used instead.
  [[nodiscard]] const std::vector<std::string>& degraded() const { return degraded_; }
  [[nodiscard]] bool waits_by_task_work() const { return task_work_; }

  // Opens the counters of a session's slot; records of other sessions with this slot are refused.
  // 0 closes the slot.
  void set_session(std::uint32_t slot, std::uint32_t session, std::uint32_t buffer_bytes);
  // Sum over the CPUs.
  [[nodiscard]] wire::session_count counts(std::uint32_t slot) const;

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
  Status open_and_load(std::uint32_t ring_bytes, bool task_work);
  Status attach();

  struct ObjectDeleter {
    void operator()(bpf_object* object) const;
  };
  struct LinkDeleter {
    void operator()(bpf_link* link) const;
  };

  std::unique_ptr<bpf_object, ObjectDeleter> object_;
  std::vector<std::unique_ptr<bpf_link, LinkDeleter>> links_;
  RingSet rings_;
  std::uint32_t ring_bytes_ = 0;
  std::uint32_t cpus_ = 1;
  bool task_work_ = false;
  int labels_fd_ = -1;  // owned by object_
  wire::session_count* counts_ = nullptr;
  std::size_t counts_bytes_ = 0;
  std::vector<std::string> degraded_;
  std::uint8_t gate_byte_ = 0;  // read by waiting tasks, see wait_round
};

}  // namespace gyges::recorder
