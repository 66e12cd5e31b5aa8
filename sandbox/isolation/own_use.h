// What a sandbox's own processes use of the machine. Files and calls that tell what a machine does
// count it in: a machine that is idle while a compiler runs on it is none.
#pragma once

#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <mutex>

namespace gyges::isolation {

struct OwnUse {
  double user_seconds = 0;  // of processors, since the sandbox's start
  double system_seconds = 0;
  std::array<double, 3> load{};  // as /proc/loadavg has it: over 1, 5 and 15 minutes
};

// Between who looks and who answers. Thread-safe.
class SharedUse {
 public:
  [[nodiscard]] OwnUse get() const {
    const std::lock_guard lock(mutex_);
    return use_;
  }
  void set(const OwnUse& use) {
    const std::lock_guard lock(mutex_);
    use_ = use;
  }

 private:
  mutable std::mutex mutex_;
  OwnUse use_;
};

// Adds up a process and all below it, by the host's /proc. What has ended counts with who waited
// for it; what nobody waited for is lost. Of more than 4096 processes some are left out. Not
// thread-safe.
class UseMeter {
 public:
  // `first`: pid 1 of the sandbox, by the host's number.
  explicit UseMeter(pid_t first) : first_(first) {}
  OwnUse look();

 private:
  struct Sum {
    std::uint64_t user_ticks = 0, system_ticks = 0;
    unsigned running = 0;
    unsigned seen = 0;
  };
  static void add(pid_t process, int depth, Sum& sum);

  pid_t first_;
  OwnUse use_;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

}  // namespace gyges::isolation
