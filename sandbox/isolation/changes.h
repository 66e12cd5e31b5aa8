// Collects what a run changed in its writable areas, from the layers of the scratch file system.
//
// The trees were written by the agent and are hostile: entries are opened one by one against their
// directory's descriptor and never followed; FIFOs, sockets and devices are listed, not opened;
// depth, number and bytes are bounded.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "sandbox/isolation/plan.h"
#include "sandbox/isolation/sandbox.h"

namespace gyges::isolation {

struct CollectionLimits {
  std::size_t entries = 1200000;
  std::size_t depth = 200;
  // Of all paths, link targets and attributes together: at a depth of 200 a path can have 50 KB.
  std::uint64_t name_bytes = 192ULL << 20U;
  std::uint64_t file_bytes = 64ULL << 20U;    // a larger file is listed without content
  std::uint64_t total_bytes = 512ULL << 20U;  // of contents kept
  // Read for hashing, about four seconds' worth: sparse files cost the agent nothing.
  std::uint64_t hashed_bytes = 4ULL << 30U;
};

struct CollectedChanges {
  std::vector<FileChange> changes;  // sorted by path
  bool complete = true;
};

// No process of the sandbox may be alive. With an empty `contents_directory` contents are hashed
// but not kept.
Result<CollectedChanges> collect_changes(int scratch, const Plan& plan, const Identity& identity,
                                         const HostFacts& host,
                                         const std::string& contents_directory,
                                         const CollectionLimits& limits = {});

}  // namespace gyges::isolation
