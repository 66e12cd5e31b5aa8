// The directory that commands of a sandbox work in.
#pragma once

#include <filesystem>
#include <string>

#include "base/error.h"

namespace gyges::cli {

// What --workspace names, without links; the current one where it names nothing.
Result<std::filesystem::path> working_directory(const std::string& named);

}  // namespace gyges::cli
