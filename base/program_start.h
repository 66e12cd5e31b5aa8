// Starts a program from a descriptor without standing by while it is executed.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace gyges {

struct ProgramStartRequest {
  int executable = -1;                 // borrowed until start() returns
  std::vector<std::string> arguments;  // argv; the environment is empty
  // Borrowed until start() returns; they become 3, 4, ... -1: that number is closed. 0 to 2 are
  // /dev/null.
  std::vector<int> descriptors;
  // CLONE_NEW* flags, and SIGCHLD or 0 for what tells the parent of the end.
  std::uint64_t clone_flags = 0;
  bool keep_capabilities = false;  // into the ambient set: those of a fresh user namespace
};

// A child that executes a program. All its signals are blocked. It uses this process's memory until
// then, which is why the object waits for it: the exec takes some 0.3 ms, in which the caller has
// better things to do. Not thread-safe; the child's parent is the process, and what
// PR_SET_PDEATHSIG is about is the thread that calls start().
class StartedProgram {
 public:
  // Fails with the errno of clone(2): a namespace that this host does not give, too many processes.
  static Result<StartedProgram> start(ProgramStartRequest request);
  StartedProgram();
  StartedProgram(StartedProgram&&) noexcept;
  StartedProgram& operator=(StartedProgram&&) noexcept;
  // Waits until the child has executed the program or ended, which takes no longer than that; it is
  // the caller's to end and to reap.
  ~StartedProgram();

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] UniqueFd& pidfd() { return pidfd_; }

  // Waits until the program is being executed; else why not, once (the child ends then, and is the
  // caller's to reap). `name`: for the message.
  Status executed(std::string_view name);

 private:
  struct Birth;
  std::unique_ptr<Birth> birth_;  // what the child uses of our memory; gone once it does not
  pid_t pid_ = -1;
  UniqueFd pidfd_;
};

}  // namespace gyges
