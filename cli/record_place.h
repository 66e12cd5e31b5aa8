// Where records go when --out names no place.
#pragma once

#include <filesystem>

#include "base/error.h"

namespace gyges::cli {

// $XDG_STATE_HOME/gyges/runs, made if absent: a place of the caller's own.
Result<std::filesystem::path> default_records();

}  // namespace gyges::cli
