// The directory of an experiment (docs/results_store.md) and who may write to it.
//
//   experiment.json  the record made before the first run (record.h)
//   runs/<slot>/     finished runs: sealed bundles, moved here whole
//   partial/         runs in progress
//   attempts.jsonl   attempts that failed
//   index.sqlite     derived from the above
//   lock             held while a runner or one of its workers lives
//
// A run is finished when its sealed bundle stands under runs/. It is made under partial/, synced,
// and moved by one rename: there is no moment at which killing the runner loses a finished run or
// leaves half a one under runs/.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace gyges::experiment {

struct FailedAttempt {
  std::string slot;
  std::uint32_t attempt = 1;
  std::string at;      // UTC, ISO 8601
  std::string kind;    // "failed", "lost", "overtime"
  std::string detail;  // for people
};

// Whether a bundle is as it was sealed (recorder::verify_bundle finds no fault).
using BundleCheck = std::function<bool(const std::filesystem::path& bundle)>;

// Reading only: needs no lock and sees the state as of each call.
std::filesystem::path record_file(const std::filesystem::path& directory);
std::filesystem::path runs_directory(const std::filesystem::path& directory);
std::filesystem::path index_file(const std::filesystem::path& directory);
// Slots with a sealed bundle under runs/.
Result<std::set<std::string>> finished_slots(const std::filesystem::path& directory);
Result<std::vector<FailedAttempt>> failed_attempts(const std::filesystem::path& directory);
// Whether a runner or a worker of one holds the lock.
bool in_use(const std::filesystem::path& directory);

// The one writer of an experiment directory. Holds the lock until destroyed.
class ExperimentDirectory {
 public:
  // Makes the directory where it does not exist. A directory with other things in it and no record
  // is refused. Waits up to `patience` for the workers of a runner that was just killed.
  static Result<ExperimentDirectory> open(
      const std::filesystem::path& path,
      std::chrono::milliseconds patience = std::chrono::seconds(5));

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] int lock_fd() const { return lock_.get(); }

  // Where the attempt's bundle is made; nothing stands there.
  Result<std::filesystem::path> prepare(const std::string& slot, std::uint32_t attempt);
  // Moves a sealed and synced bundle to runs/.
  Status finish(const std::string& slot, std::uint32_t attempt);
  // Removes what a failed attempt left and appends it to attempts.jsonl.
  Status discard(const FailedAttempt& attempt);

  // What earlier runners left under partial/: bundles that are sealed and undamaged, of slots in
  // `wanted` that are not finished, are finished now; everything else is removed. Returns the slots
  // that were finished.
  Result<std::vector<std::string>> recover(const std::set<std::string>& wanted,
                                           const BundleCheck& is_whole);

 private:
  ExperimentDirectory(std::filesystem::path path, UniqueFd lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}
  std::filesystem::path path_;
  UniqueFd lock_;
};

}  // namespace gyges::experiment
