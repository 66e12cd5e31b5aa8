#include "agent_runtime/experiment/durable.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"

namespace gyges::experiment {
namespace {

Status sync_path(const std::filesystem::path& path, int flags) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | flags));
  if (!fd) return fail_errno("open", path.string());
  if (fsync(fd.get()) != 0) return fail_errno("sync", path.string());
  return ok();
}

}  // namespace

Status sync_directory(const std::filesystem::path& directory) {
  return sync_path(directory, O_DIRECTORY);
}

Status sync_tree(const std::filesystem::path& directory) {
  std::error_code error;
  std::filesystem::recursive_directory_iterator entries(directory, error);
  if (error) return fail_errno("list", directory.string(), error.value());
  for (const std::filesystem::recursive_directory_iterator end; entries != end;
       entries.increment(error)) {
    auto status = entries->symlink_status(error);
    if (error) return fail_errno("look at", entries->path().string(), error.value());
    if (std::filesystem::is_directory(status)) {
      GYGES_CHECK(sync_directory(entries->path()));
    } else if (std::filesystem::is_regular_file(status)) {
      GYGES_CHECK(sync_path(entries->path(), 0));
    }
  }
  if (error) return fail_errno("list", directory.string(), error.value());
  return sync_directory(directory);
}

}  // namespace gyges::experiment
