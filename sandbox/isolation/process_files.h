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

class IdsInside;

// Not thread-safe.
class ProcessFiles {
 public:
  ProcessFiles(std::shared_ptr<const Emulation> emulation, std::shared_ptr<const SharedUse> use,
               UniqueFd directory);
  ~ProcessFiles();
  ProcessFiles(const ProcessFiles&) = delete;
  ProcessFiles& operator=(const ProcessFiles&) = delete;

  // Whether a path may be a name of such a file: by its last component, or as a descriptor.
  [[nodiscard]] bool may_name(std::string_view path) const;

  // Of a link that is made: where it may lead to such a file, what is opened from now on is looked
  // up for links. Until then it is not, but for what every system has: most opens would wait twice
  // as long for nothing.
  void note_link(std::string_view target);

  // Whether a path is the whole name of a fixed file.
  [[nodiscard]] bool is_fixed(std::string_view path) const {
    return emulation_->fixed_files.contains(path);
  }

  // A new open file for the caller; nothing: the kernel is to open what it has. `by_link`: whether
  // a last component that is a link is followed.
  std::optional<UniqueFd> open(pid_t tid, int directory, std::string path, bool by_link,
                               CallerPaths& paths);

 private:
  std::optional<UniqueFd> make(pid_t tid, const ProcessPath& file, const ProcessFileRule& rule,
                               CallerPaths& paths);
  std::optional<UniqueFd> put(const std::string& path, const std::string& content,
                              unsigned mode = 0444);
  const IdsInside& ids_inside(pid_t tid);
  std::optional<UniqueFd> load_average(pid_t tid, CallerPaths& paths);
  std::optional<std::string> kernel_content(int procfs, const std::string& path);
  [[nodiscard]] bool may_be_link(std::string_view path) const;
  bool make_directories(const std::string& path);
  void sweep(int procfs);

  std::shared_ptr<const Emulation> emulation_;
  std::shared_ptr<const SharedUse> use_;
  UniqueFd directory_;
  std::map<std::string, const ProcessFileRule*, std::less<>> rules_;
  std::set<std::string, std::less<>> last_names_;
  std::map<std::uint32_t, std::map<std::string, std::size_t>> made_;  // content hashes by process
  // Descriptors of what was asked for last: who reads a file again and again costs no path a time.
  struct Written {
    UniqueFd file;
    off_t size = 0;
  };
  std::map<std::string, UniqueFd> kernel_;  // the kernel's files, by path below procfs
  std::map<std::string, Written> written_;  // Gyges's own
  std::string ids_of_;                      // the user namespace of ids_
  std::unique_ptr<IdsInside> ids_;
  std::uint32_t newest_ = 0;  // the highest number of a process that asked
  std::size_t files_ = 0;
  bool linked_ = false;
};

}  // namespace gyges::isolation
