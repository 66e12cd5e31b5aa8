#include "sandbox/run/workspace.h"

#include <vector>

#include "sandbox/recorder/format/bundle.h"

namespace gyges::run {
namespace {

using isolation::Filesystem;
using isolation::Mount;

bool is_below(const std::string& path, const std::string& directory) {
  return path == directory || (path.starts_with(directory) && path[directory.size()] == '/');
}

}  // namespace

Status add_workspace(const std::filesystem::path& workspace, isolation::Policy& policy) {
  if (policy.filesystem.workspace == Filesystem::Workspace::none) return ok();
  std::string path = workspace.string();
  if (path == "/" || path.starts_with("/proc") || path.starts_with("/dev"))
    return fail(
        "show working directory", path, "it cannot be mounted inside",
        "change to a project's directory, or set filesystem.workspace to none in the policy");
  std::erase_if(policy.filesystem.mounts, [&](const Mount& mount) { return mount.target == path; });
  Mount mount;
  mount.kind = policy.filesystem.workspace == Filesystem::Workspace::overlay
                   ? Mount::Kind::overlay
                   : Mount::Kind::read_only;
  mount.target = mount.source = path;
  policy.filesystem.mounts.push_back(std::move(mount));
  // Nobody inside shall sign records or read what other runs there were.
  recorder::SealPlaces places = recorder::SealPlaces::from_environment();
  for (const std::filesystem::path& file : {places.key, places.ledger})
    if (is_below(file.string(), path)) policy.filesystem.masked.push_back(file.string());
  return ok();
}

}  // namespace gyges::run
