#include "base/state_directory.h"

#include <cstdlib>

namespace gyges {

std::filesystem::path state_directory() {
  const char* state = std::getenv("XDG_STATE_HOME");
  const char* home = std::getenv("HOME");
  if (state != nullptr && *state == '/') return std::filesystem::path(state) / "gyges";
  if (home != nullptr && *home == '/')
    return std::filesystem::path(home) / ".local" / "state" / "gyges";
  return {};
}

}  // namespace gyges
