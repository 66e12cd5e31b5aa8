#include "sandbox/recorder/capture/proc_directories.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <climits>

namespace gyges::recorder {
namespace {

constexpr std::size_t most_entries = 64;

std::string link_target(int directory, const char* name) {
  char target[PATH_MAX];
  const ssize_t length = readlinkat(directory, name, target, sizeof(target));
  return length > 0 ? std::string(target, static_cast<std::size_t>(length)) : std::string();
}

}  // namespace

ProcDirectories::Entry& ProcDirectories::entry(pid_t tid) {
  if (const auto known = entries_.find(tid); known != entries_.end()) return known->second;
  if (entries_.size() >= most_entries) entries_.clear();
  Entry& made = entries_[tid];
  const std::string path = "/proc/" + std::to_string(tid);
  made.directory.reset(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  return made;
}

std::string ProcDirectories::target(pid_t tid, const std::string& name) {
  return link_target(entry(tid).directory.get(), name.c_str());
}

std::string ProcDirectories::target_inside(pid_t tid, const std::string& name) {
  Entry& thread = entry(tid);
  std::string target = link_target(thread.directory.get(), name.c_str());
  if (target.empty() || target.front() != '/') return {};
  if (!thread.root) thread.root = link_target(thread.directory.get(), "root");
  const std::string& root = *thread.root;
  if (root.size() > 1 && target.compare(0, root.size(), root) == 0) {
    target.erase(0, root.size());
    if (target.empty()) target = "/";
  }
  return target;
}

std::optional<struct stat> ProcDirectories::status(pid_t tid, const std::string& name) {
  struct statx known {};
  if (statx(entry(tid).directory.get(), name.c_str(), AT_STATX_DONT_SYNC,
            STATX_TYPE | STATX_MODE | STATX_INO, &known) != 0)
    return std::nullopt;
  struct stat about {};
  about.st_ino = known.stx_ino;
  about.st_dev = makedev(known.stx_dev_major, known.stx_dev_minor);
  about.st_rdev = makedev(known.stx_rdev_major, known.stx_rdev_minor);
  about.st_mode = known.stx_mode;
  return about;
}

void ProcDirectories::roots_changed() {
  for (auto& [tid, thread] : entries_) thread.root.reset();
}

}  // namespace gyges::recorder
