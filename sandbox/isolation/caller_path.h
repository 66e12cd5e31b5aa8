// Names of files as the caller of a system call means them: its own root, directory and number,
// links followed. Read from outside while the call waits, for looks alone: a caller can change its
// memory and its links behind our back, and then sees what the kernel has.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fd.h"

namespace gyges::isolation {

// A file of a process: /proc/PROCESS/NAME or /proc/PROCESS/task/THREAD/NAME.
struct ProcessPath {
  std::uint32_t process = 0;
  std::uint32_t thread = 0;  // 0: not by way of task/
  std::string name;
};

// From an absolute path without links.
std::optional<ProcessPath> process_path(std::string_view path);

// Not thread-safe. `tid` is a thread's number as the supervisor sees it.
class CallerPaths {
 public:
  // The NUL-terminated text at that address; nothing where it cannot be read or is too long.
  static std::optional<std::string> text(pid_t tid, std::uint64_t address);

  // The target of the last component where it is a link, and nothing otherwise. Costs a few
  // microseconds; does not follow /proc/self.
  std::optional<std::string> link(pid_t tid, int directory, const std::string& path);

  // Absolute, as seen inside, without links; names of /proc that mean the caller are resolved.
  // Nothing where that cannot be told.
  std::optional<std::string> resolve(pid_t tid, int directory, std::string_view path);

  // As resolve() from the caller's directory, for what is there, in directories that the caller may
  // enter; nothing where that is not certain.
  std::optional<std::string> existing(pid_t tid, const std::string& path);

  // Whether a path leads into directories of programs that nobody inside can change: what it names
  // is no file of procfs. Asks nobody.
  [[nodiscard]] bool is_program(std::string_view path) const;

  // Whether a process inside belongs to the caller's user, and has not closed itself to it.
  bool same_user(pid_t tid, std::uint32_t process);

  // The caller's number inside.
  std::optional<std::uint32_t> number(pid_t tid) const;

  // Before anything else: takes the caller's root, which is held for good, unless one is held.
  // `still_there` says afterwards whether the number is the caller's yet; false where it is not.
  template <typename StillThere>
  bool hold_root(pid_t tid, StillThere still_there) {
    if (root_) return true;
    UniqueFd found = root_of(tid);
    UniqueFd numbers = pid_namespace_of(tid);
    std::vector<std::string> programs = program_directories(tid);
    if (!still_there()) return false;
    root_ = std::move(found);
    pid_namespace_ = std::move(numbers);
    programs_ = std::move(programs);
    return true;
  }

  // The procfs inside, to read by descriptor; -1 while it is unknown.
  int procfs();

 private:
  struct Ids {
    std::uint32_t process = 0, thread = 0;
  };
  static UniqueFd root_of(pid_t tid);
  static UniqueFd pid_namespace_of(pid_t tid);
  static std::vector<std::string> program_directories(pid_t tid);
  bool may_enter_all(pid_t tid, const std::string& path);
  [[nodiscard]] UniqueFd look_at(const std::string& path, std::uint64_t resolve) const;
  std::optional<std::string> read_link(const std::string& path);
  static std::optional<std::string> base(pid_t tid, int directory);
  std::optional<Ids> ids(pid_t tid) const;
  // Where a link of a process leads that the caller may look into: "/proc/12/fd/3".
  std::optional<std::string> process_link(pid_t tid, std::string_view place);

  UniqueFd root_, procfs_, pid_namespace_;
  std::vector<std::string> programs_;  // "/usr/"
};

}  // namespace gyges::isolation
