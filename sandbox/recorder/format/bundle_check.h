// Whether a bundle is as it was sealed, and by whom.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "sandbox/recorder/format/bundle.h"
#include "sandbox/recorder/format/seal_key.h"

namespace gyges::recorder {

enum class LedgerFinding {
  none,     // there is no ledger, or none was asked
  unknown,  // the ledger does not know this run: sealed elsewhere, or by another user
  agrees,   // the ledger's entry is of this seal
  differs,  // the run was sealed with another content: a fault
};

struct BundleCheck {
  std::vector<BundleFault> faults;   // sorted by file; empty: intact
  std::string run_id;                // as the seal states it
  std::string chain_head;            // of the trace as it is on disk; empty without one
  std::optional<PublicKey> signer;   // none: not signed, or the signature is bad
  std::vector<std::string> omitted;  // what the seal says it lacks, and why
  LedgerFinding ledger = LedgerFinding::none;
  std::uint64_t unreadable_ledger_lines = 0;
};

// Compares every file with seal.json, the trace with its checksums, the seal with its signature and
// with `ledger` if that is not empty and exists. Fails when there is no readable seal or the ledger
// cannot be read.
Result<BundleCheck> check_bundle(const std::filesystem::path& directory,
                                 const std::filesystem::path& ledger = {});

}  // namespace gyges::recorder
