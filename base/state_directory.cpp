#include "base/state_directory.h"

#include <cstdlib>

namespace gyges {

namespace {

std::filesystem::path own_directory(const char* variable, const char* below_home) {
  const char* named = std::getenv(variable);
  const char* home = std::getenv("HOME");
  if (named != nullptr && *named == '/') return std::filesystem::path(named) / "gyges";
  if (home != nullptr && *home == '/') return std::filesystem::path(home) / below_home / "gyges";
  return {};
}

}  // namespace

std::filesystem::path state_directory() {
  return own_directory("XDG_STATE_HOME", ".local/state");
}

std::filesystem::path cache_directory() {
  return own_directory("XDG_CACHE_HOME", ".cache");
}

}  // namespace gyges
