// The ledger: one line for every bundle this user sealed, kept outside the bundles, so that a
// bundle that was cut short, sealed anew or replaced can be told from the one that was sealed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace gyges::recorder {

struct LedgerEntry {
  std::string time;        // UTC, as run.json's started_at
  std::string run_id;      // 16 hexadecimal digits
  std::string seal;        // SHA-256 of what the seal's signature covers
  std::string chain_head;  // of the trace; empty without one
  std::string key;         // public key in hexadecimal digits; empty if the seal is not signed
};

// Appends lines. Several processes may append to one file at once: a line is one write(2) with
// O_APPEND and shorter than a page, which Linux does not interleave on local file systems.
class LedgerWriter {
 public:
  // Makes the file, mode 0600, if there is none. Its directory must exist.
  static Result<LedgerWriter> open(const std::filesystem::path& path);
  // On return without error the line is on the disk.
  Status append(const LedgerEntry& entry);

 private:
  LedgerWriter(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  UniqueFd fd_;
  std::string path_;
};

struct LedgerLookup {
  std::vector<LedgerEntry> entries;  // of the run id asked for, oldest first
  std::uint64_t unreadable = 0;      // lines that are no entries, for example after a power cut
};

// Fails with code ENOENT when there is no ledger.
Result<LedgerLookup> look_up(const std::filesystem::path& ledger, const std::string& run_id);

}  // namespace gyges::recorder
