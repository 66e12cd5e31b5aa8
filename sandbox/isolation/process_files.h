// Generated files that stand for the kernel's in /proc/PID: made in a file system of Gyges's own
// under the same names, so that a descriptor's link reads right, and handed to the process that
// opens one.
//
// Looks only. Nothing is shown that its reader might not read: the rules are for files that every
// user may read, and what the kernel hides in them from others stays hidden. What is left to be
// noticed: the file's device and size, and that it was made when it was opened.
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "sandbox/isolation/caller_path.h"
#include "sandbox/isolation/emulation.h"

namespace gyges::isolation {

// Not thread-safe.
class ProcessFiles {
 public:
  ProcessFiles(std::shared_ptr<const Emulation> emulation, UniqueFd directory);

  // Whether a path may be a name of such a file: by its last component, or as a descriptor.
  [[nodiscard]] bool may_name(std::string_view path) const;

  // A new open file for the caller; nothing: the kernel is to open what it has. `by_link`: whether
  // a last component that is a link is followed.
  std::optional<UniqueFd> open(pid_t tid, int directory, std::string path, bool by_link,
                               CallerPaths& paths);

 private:
  std::optional<UniqueFd> make(pid_t tid, const ProcessPath& file, const ProcessFileRule& rule,
                               CallerPaths& paths);
  std::optional<UniqueFd> put(const std::string& path, const std::string& content);
  bool make_directories(const std::string& path);
  void sweep(int procfs);

  std::shared_ptr<const Emulation> emulation_;
  UniqueFd directory_;
  std::map<std::string, const ProcessFileRule*, std::less<>> rules_;
  std::set<std::string, std::less<>> last_names_;
  std::map<std::uint32_t, std::map<std::string, std::size_t>> made_;  // content hashes by process
  std::size_t files_ = 0;
};

}  // namespace gyges::isolation
