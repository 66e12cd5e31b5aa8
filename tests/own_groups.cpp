#include "tests/own_groups.h"

#include <filesystem>
#include <set>

namespace gyges {
namespace {

namespace fs = std::filesystem;

std::set<std::string> groups_named(const std::string& prefix) {
  std::set<std::string> found;
  std::error_code ignored;
  auto look_at = [&](const fs::path& path) {
    if (path.filename().string().starts_with(prefix)) found.insert(path.string());
  };
  for (const auto& hierarchy : fs::directory_iterator("/sys/fs/cgroup", ignored)) {
    look_at(hierarchy.path());
    std::error_code unreadable;
    for (const auto& group : fs::directory_iterator(hierarchy.path(), unreadable))
      look_at(group.path());
  }
  return found;
}

const std::set<std::string> before = groups_named("gyges-");

}  // namespace

std::vector<std::string> groups_of(pid_t supervisor) {
  std::vector<std::string> found;
  for (const std::string& path : groups_named("gyges-" + std::to_string(supervisor) + "-"))
    if (!before.contains(path)) found.push_back(path);
  return found;
}

}  // namespace gyges
