// A control group for one sandbox, where the host lets us have one: cgroup v2, v1 or both.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace gyges::isolation {

struct CgroupLimits {
  std::uint64_t processes = 0;  // 0: no limit
  std::uint64_t memory_bytes = 0;
  bool processor = false;  // wanted where it can be had: a group with the cpu controller
};

// Owns the directories it made; removes them on destruction.
class Cgroup {
 public:
  // Nothing when this host offers no writable hierarchy with the pids controller; an error when it
  // does and a group cannot be had all the same.
  static Result<std::optional<Cgroup>> create(const CgroupLimits& limits);
  Cgroup(Cgroup&& other) noexcept : directories_(std::move(other.directories_)) {
    other.directories_.clear();
  }
  Cgroup& operator=(Cgroup&& other) noexcept {
    std::swap(directories_, other.directories_);
    return *this;
  }
  Cgroup(const Cgroup&) = delete;
  Cgroup& operator=(const Cgroup&) = delete;
  ~Cgroup();

  // Files through which a process enters the group by writing "0", once for each hierarchy. They
  // are opened by the supervisor and written by the process itself, which makes the move cheap:
  // moving another process locks every fork and exit of the host, 13 ms on Linux 6.18 with cgroup
  // v1, and a process alone in its thread group that writes "0" to `tasks` takes no such lock
  // (since 5.5).
  [[nodiscard]] Result<std::vector<UniqueFd>> entrances() const;
  [[nodiscard]] bool limits_memory() const;
  // The file that limits processor time, open for writing; nothing where there is none.
  struct Quota {
    UniqueFd file;
    bool v2 = false;
  };
  [[nodiscard]] std::optional<Quota> quota() const;

  // The same of the groups that this process is in, one for each hierarchy: through them pid 1
  // leaves the group while it ends. Empty where one cannot be opened.
  [[nodiscard]] std::vector<UniqueFd> exits() const;

  // Whether a limit was hit since the start.
  [[nodiscard]] bool processes_hit() const;
  [[nodiscard]] bool memory_hit() const;

 private:
  struct Directory {
    std::string path;
    std::string home;  // the group that this process is in
    bool pids = false;
    bool memory = false;
    bool v2 = false;
    bool processor = false;
  };
  Cgroup() = default;
  static Result<std::optional<Cgroup>> make(const CgroupLimits& limits);
  [[nodiscard]] Result<std::vector<UniqueFd>> open_entrances() const;
  std::vector<Directory> directories_;
};

}  // namespace gyges::isolation
