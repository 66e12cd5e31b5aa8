// Threads that answer the system calls of a sandbox's commands (emulation.h).
#pragma once

#include <atomic>
#include <list>
#include <memory>
#include <mutex>

#include "base/error.h"
#include "base/fd.h"
#include "sandbox/isolation/emulation.h"

namespace gyges::isolation {

class CallAnswers;

// Answers until the processes are gone: destroy it after them, as it waits for the last to end.
// Robust against callers that die, are interrupted or lie: a notification that is no longer valid
// is forgotten.
class Emulator {
 public:
  Emulator(std::shared_ptr<const Emulation> emulation, std::shared_ptr<const SharedUse> use);
  ~Emulator();
  Emulator(const Emulator&) = delete;
  Emulator& operator=(const Emulator&) = delete;

  // The listener of a command's filter; a thread of its own answers it, which waits in the kernel
  // for nothing else: one hand-over less than by a set of descriptors. Thread-safe.
  Status add(UniqueFd listener);

  // A directory in a file system of Gyges's own, in which generated files are made; without one
  // the kernel's are opened. Before the first add().
  void make_files_in(UniqueFd directory);

 private:
  struct Worker;
  void join_ended();

  std::unique_ptr<CallAnswers> answers_;
  std::mutex mutex_;  // of the workers
  std::list<std::unique_ptr<Worker>> workers_;
};

}  // namespace gyges::isolation
