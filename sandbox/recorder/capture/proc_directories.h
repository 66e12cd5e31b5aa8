// The directories /proc/TID of traced threads, kept open: a look at a descriptor, the working
// directory or the root of a thread is then one short system call of the tracer.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <optional>
#include <string>
#include <unordered_map>

#include "base/fd.h"

namespace gyges::recorder {

// Not thread-safe. Keeps at most 64 descriptors, however many threads there are.
class ProcDirectories {
 public:
  // Where the link `name` of the thread leads, as the host's kernel prints it; empty: nowhere.
  std::string target(pid_t tid, const std::string& name);
  // The same below the thread's root; empty when it has no name there.
  std::string target_inside(pid_t tid, const std::string& name);
  // Number, devices, kind and mode of what the link leads to, the rest zero: as the kernel knows
  // them, because the server of a file system that is asked may be the agent's and take its time.
  std::optional<struct stat> status(pid_t tid, const std::string& name);

  // The thread ended, or has another number from now on.
  void forget(pid_t tid) { entries_.erase(tid); }
  // Some thread has, or may have, another root.
  void roots_changed();

 private:
  struct Entry {
    UniqueFd directory;
    std::optional<std::string> root;  // read when first needed
  };

  Entry& entry(pid_t tid);

  std::unordered_map<pid_t, Entry> entries_;
};

}  // namespace gyges::recorder
