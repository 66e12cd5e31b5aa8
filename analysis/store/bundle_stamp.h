// Whether a bundle's files are those that were looked at before, told without reading them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/error.h"

namespace gyges::analysis {

struct BundleStamp {
  // SHA-256 over path, size, inode and times (of contents and of the inode) of everything below the
  // bundle. The kernel sets an inode's change time at every write, rename or change of times, and
  // no call lets a program choose it.
  std::string hash;
  // The latest of those times, in ns of CLOCK_REALTIME. A change within a clock tick of it can
  // leave the stamp as it was, so a stamp is worth something when this is a while ago.
  std::int64_t newest_ns = 0;
};

Result<BundleStamp> stamp_of_bundle(const std::filesystem::path& bundle);

}  // namespace gyges::analysis
