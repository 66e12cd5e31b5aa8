// Files that have to outlive a power failure.
#pragma once

#include <filesystem>

#include "base/error.h"

namespace gyges::experiment {

// fsync of every regular file and directory of the tree, and of nothing that symbolic links lead
// to.
Status sync_tree(const std::filesystem::path& directory);

// fsync of one directory: makes renames into it last.
Status sync_directory(const std::filesystem::path& directory);

}  // namespace gyges::experiment
