// Findings kept from one comparison to the next, so that a bundle is hashed and its trace read once
// (docs/comparison.md).
//
// Kept under the hash of the bundle's seal, which covers every byte of it, together with the
// identity of the program that found them: another program, and so another definition of any
// feature, finds anew. That the bundle is still what was sealed is shown either by hashing it, or,
// where it was hashed before, by its stamp (bundle_stamp.h) being the same as then and older than
// two seconds at that time.
//
// Thread-safe. Several processes may use one file; a file that cannot be used costs time, never a
// result, and problem() says so.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "analysis/bundles/find_bundles.h"
#include "analysis/store/findings_archive.h"
#include "base/error.h"

namespace gyges::analysis {

// Of the running executable: the linker's build id, else the hash of its file.
Result<std::string> program_identity();

struct FindingsStoreOptions {
  std::string definition;  // what findings depend on beside the bundle; empty: program_identity()
  // How old a stamp must be to be trusted. Clock ticks are 10 ms at most; hosts of a network
  // filesystem may disagree a little more.
  std::chrono::nanoseconds settled = std::chrono::seconds(2);
};

class FindingsStore {
 public:
  // Makes the file and its directory (mode 0700) where they are missing, a damaged one anew.
  static Result<std::unique_ptr<FindingsStore>> open(const std::filesystem::path& file,
                                                     FindingsStoreOptions options = {});
  ~FindingsStore();

  // The run with its findings: kept ones where they are good, else read from the bundle, and kept.
  // An error says why the bundle is unfit, as load_run() does; nothing is kept of it then.
  Result<StoredRun> read(const FoundBundle& bundle);

  // Writes what is not yet on disk.
  void flush();

  struct Counts {
    std::uint64_t kept = 0;      // of bundles whose findings were there
    std::uint64_t found = 0;     // read anew
    std::uint64_t verified = 0;  // bundles whose seal was checked by hashing them
  };
  [[nodiscard]] Counts counts() const;
  // Why findings could not be kept or read; empty when all is well.
  [[nodiscard]] std::string problem() const;

 private:
  struct State;
  explicit FindingsStore(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// From the bundle itself, without a store.
Result<StoredRun> read_run(const FoundBundle& bundle);

// $XDG_CACHE_HOME/gyges/findings.sqlite, else ~/.cache/gyges/findings.sqlite; empty without a home.
std::filesystem::path default_findings_file();

}  // namespace gyges::analysis
