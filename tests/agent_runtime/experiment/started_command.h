// A command that runs beside the test, with its output in a file, and what descends from it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace gyges::experiment {

struct CommandEnd {
  int exit_status = -1;  // -1: ended by a signal
  int signal = 0;
  std::string output;  // standard output and error
};

class StartedCommand {
 public:
  // `uid` 0: as this process. Otherwise as that user and group, without further groups.
  StartedCommand(const std::vector<std::string>& argv, std::filesystem::path output,
                 unsigned uid = 0);
  ~StartedCommand();  // kills it, if it still runs
  StartedCommand(const StartedCommand&) = delete;
  StartedCommand& operator=(const StartedCommand&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  void signal(int number) const;
  CommandEnd wait();

 private:
  pid_t pid_ = -1;
  std::filesystem::path output_;
};

// A process, told apart from a later one of the same number by its start time.
struct ProcessId {
  pid_t pid = 0;
  std::string started;
  auto operator<=>(const ProcessId&) const = default;
};

// Children, their children and so on.
std::vector<ProcessId> descendants(pid_t pid);

// Waits until none of them runs any more (zombies do not run); those that still do after
// `patience`.
std::vector<ProcessId> survivors(const std::vector<ProcessId>& processes,
                                 std::chrono::milliseconds patience);

}  // namespace gyges::experiment
