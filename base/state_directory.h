// Where a user's own data of this program lies.
#pragma once

#include <filesystem>

namespace gyges {

// $XDG_STATE_HOME/gyges or $HOME/.local/state/gyges; empty when neither variable is set to an
// absolute path. Not made.
std::filesystem::path state_directory();

}  // namespace gyges
