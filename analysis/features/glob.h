// Globs by their name in this room.
#pragma once

#include "base/glob.h"

namespace gyges::analysis {

using gyges::any_glob_matches;
using gyges::glob_matches;

}  // namespace gyges::analysis
