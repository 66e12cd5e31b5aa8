// Finds the run bundles, and the logs of Inspect, below the directories named on the command line.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"

namespace gyges::analysis {

struct FoundBundle {
  std::filesystem::path bundle;  // or a log of Inspect
  std::string experiment;        // the directory that holds the runs, or the one that was named
  std::string sample;            // member of that log; empty for bundles
  std::array<std::uint64_t, 2> place{};  // of the member (ZipPlace)
  std::string problem;                   // why the log cannot be read, in one line
};

// `named` is a bundle, an experiment directory (bundles below runs/), or a directory with bundles
// up to three levels below; or a log of Inspect (.eval), or a directory with logs, of which every
// sample is found. Sorted by path; an error when nothing is found. A damaged log is found with its
// problem; when it was named itself, it is an error. Symbolic links below `named` are not followed.
Result<std::vector<FoundBundle>> find_bundles(const std::filesystem::path& named);

}  // namespace gyges::analysis
