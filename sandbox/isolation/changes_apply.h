// Carries what a run changed over to a real directory, on request.
//
// The changes were made by an agent and are hostile. Every path is resolved by descriptor inside
// the directory and through no link (openat2 with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS,
// Linux 5.6); contents are checked against their hash; files take their place by renaming. Owners,
// set-user-id and sticky bits are not carried over; devices, sockets and FIFOs are left out, and so
// are links that point out of the directory.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "sandbox/isolation/sandbox.h"

namespace gyges::isolation {

struct ApplyOptions {
  std::filesystem::path to;  // exists
  std::string from = "/";    // the directory inside whose changes are meant; it becomes `to`
  bool dry_run = false;
  // Also what tools of the host run by themselves later: hooks of git, files of shells and editors.
  bool startup_files = false;
};

struct AppliedChange {
  std::string path;    // bytes, relative to `to`
  std::string action;  // "write", "make directory", "link", "delete", "skip"
  std::string reason;  // of a skip
};

// In the order of application. A change that cannot be applied is skipped with the reason; the rest
// goes on. Fails when the bundle or the directory cannot be read.
Result<std::vector<AppliedChange>> apply_changes(const std::filesystem::path& bundle,
                                                 const ApplyOptions& options);

}  // namespace gyges::isolation
