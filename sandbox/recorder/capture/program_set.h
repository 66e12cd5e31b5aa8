// The kernel side, loaded and attached once for all recorders of this host and build.
//
// Every program of ours runs at every system call of the whole machine, so a set of them for each
// of 200 simultaneous recorders would slow everything down. Recorders of one build, with rings of
// one size, share one set instead: programs, labels, and a table with one slot for each recorder. A
// slot holds memory of its recorder's own, mapped by nobody else, and labels name slot and epoch,
// so that no recorder sees another's records.
//
// How a recorder finds the set: a file below /run/gyges that only root can read holds the kernel's
// numbers of its objects. It is attached as long as any recorder holds it; no process serves the
// others, so any of them may be killed at any time. Slots are claimed by a lock on a byte of that
// file, which the kernel releases when its holder dies. Where the file cannot be made, or objects
// cannot be had by number (without CAP_SYS_ADMIN), a recorder loads a set of its own.
//
// The programs stay loaded when the last recorder goes, with the memory of the first slot
// (kept_programs.h), so that the next recorder has only to attach them.
//
// Thread-safety: one thread at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "sandbox/recorder/capture/program_image.h"

namespace gyges::recorder {

class ProgramSet {
 public:
  // Joins the set of this host, or loads and attaches one. `ring_bytes` is a power of two;
  // `task_work`: whether tasks wait asleep (ENOTSUP in Error::code where this kernel cannot).
  // `uring`: whether operations of io_uring are recorded; sets with and without are not shared.
  // `directory` is shared_directory(), or empty for a set that is not shared.
  static Result<std::unique_ptr<ProgramSet>> open(std::uint32_t ring_bytes, bool task_work,
                                                  bool uring,
                                                  const std::filesystem::path& directory);
  ~ProgramSet();
  ProgramSet(const ProgramSet&) = delete;
  ProgramSet& operator=(const ProgramSet&) = delete;

  [[nodiscard]] std::uint32_t cpus() const { return cpus_; }
  [[nodiscard]] std::uint32_t ring_bytes() const { return ring_bytes_; }
  [[nodiscard]] bool joined() const { return joined_; }  // somebody else had attached it
  // Whether the programs had been kept loaded.
  [[nodiscard]] bool were_kept() const { return were_kept_; }

  // Whether operations of io_uring are recorded.
  [[nodiscard]] bool sees_uring() const { return sees_uring_; }

  // This recorder's own.
  [[nodiscard]] std::uint32_t slot() const { return slot_; }
  [[nodiscard]] bool predecessor_died() const { return predecessor_died_; }
  [[nodiscard]] int area() const { return area_.get(); }  // array of wire::cpu_area, mappable
  [[nodiscard]] int bell() const { return bell_.get(); }  // ring buffer, readable when rung
  // Whether another recorder holds that slot.
  [[nodiscard]] bool is_alive(std::uint32_t slot) const;
  // Shared.
  [[nodiscard]] int labels() const { return labels_; }
  [[nodiscard]] int calls() const { return calls_; }
  [[nodiscard]] int reader_program() const { return reader_program_; }

 private:
  ProgramSet() = default;
  void lock(const std::filesystem::path& path);
  Status load(const ProgramImage& image, bool task_work);
  Status load_programs(const ProgramImage& image, int types, bool task_work);
  Status take_kept();
  Status keep() const;
  Status find_parts();
  Status attach();
  Status join(const std::string& numbers);
  [[nodiscard]] std::string numbers() const;
  Status claim_slot();
  Status fill_slot();
  Status make_area();
  [[nodiscard]] bool may_stay() const;  // our slot's memory
  // Of a slot or the set, for whoever comes next.
  void set_state(std::uint32_t slot, char state) const;
  [[nodiscard]] char state(std::uint32_t slot) const;
  void detach();

  std::uint32_t cpus_ = 0;
  std::uint32_t ring_bytes_ = 0;
  std::uint32_t slot_ = 0;
  bool joined_ = false;
  bool were_kept_ = false;
  bool are_kept_ = false;
  bool sees_uring_ = true;
  bool predecessor_died_ = false;
  UniqueFd file_;               // with the lock of the slot
  std::filesystem::path home_;  // where programs are kept; empty: nowhere
  std::string name_;            // of the set
  std::vector<std::pair<std::string, UniqueFd>> maps_;
  std::vector<std::pair<std::string, UniqueFd>> programs_;
  std::vector<UniqueFd> links_;
  std::vector<std::future<int>> changes_;  // of the shared maps; see change_slot
  UniqueFd area_, bell_;
  int recorders_ = -1, bells_ = -1, labels_ = -1, calls_ = -1, reader_program_ = -1;
};

}  // namespace gyges::recorder
