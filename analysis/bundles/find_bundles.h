// Finds the run bundles below the directories named on the command line.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"

namespace gyges::analysis {

struct FoundBundle {
  std::filesystem::path bundle;
  std::string experiment;  // the directory that holds the runs, or the one that was named
};

// `named` is a bundle, an experiment directory (bundles below runs/), or a directory with bundles
// up to three levels below. Sorted by path; an error when nothing is found. Symbolic links below it
// are not followed.
Result<std::vector<FoundBundle>> find_bundles(const std::filesystem::path& named);

}  // namespace gyges::analysis
