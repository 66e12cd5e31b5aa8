// Detached, id-mapped copies of host mounts (mount_setattr(2), "ID-mapped mounts").
#pragma once

#include <sys/types.h>

#include <utility>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "sandbox/isolation/plan.h"

namespace gyges::isolation {

// A process that has been killed and is waited for at the end of this object's life: its end takes
// a while, in which the caller has better things to do. It shares our memory for its stack.
class EndingProcess {
 public:
  EndingProcess(pid_t pid, std::vector<char> stack) : pid_(pid), stack_(std::move(stack)) {}
  ~EndingProcess();
  EndingProcess(EndingProcess&& other) noexcept
      : pid_(std::exchange(other.pid_, -1)), stack_(std::move(other.stack_)) {}
  EndingProcess& operator=(EndingProcess&&) = delete;

 private:
  pid_t pid_;
  std::vector<char> stack_;
};

struct MappedCopy {
  UniqueFd tree;
  EndingProcess carrier;  // of the user namespace, which the mount keeps
};

// A read-only copy of the mount at `source.path` in which the source's owner and group appear as
// the agent's and the agent's as theirs; all other ids below 65536 stay. Needs root.
Result<MappedCopy> mapped_copy(const MappedSource& source, const Identity& agent);

}  // namespace gyges::isolation
