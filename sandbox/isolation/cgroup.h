// A control group for one sandbox, where the host lets us have one: cgroup v2, v1 or both.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"

namespace gyges::isolation {

struct CgroupLimits {
  std::uint64_t processes = 0;  // 0: no limit
  std::uint64_t memory_bytes = 0;
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

  Status add(pid_t pid) const;
  [[nodiscard]] bool limits_memory() const;

  // Whether a limit was hit since the start.
  [[nodiscard]] bool processes_hit() const;
  [[nodiscard]] bool memory_hit() const;

 private:
  struct Directory {
    std::string path;
    bool pids = false;
    bool memory = false;
    bool v2 = false;
  };
  Cgroup() = default;
  std::vector<Directory> directories_;
};

}  // namespace gyges::isolation
