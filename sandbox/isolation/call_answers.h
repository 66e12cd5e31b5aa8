// What the supervisor answers to one system call of the sandbox (emulation.h).
#pragma once

#include <linux/seccomp.h>

#include <cstdint>
#include <memory>
#include <mutex>

#include "base/fd.h"
#include "sandbox/isolation/caller_memory.h"
#include "sandbox/isolation/caller_path.h"
#include "sandbox/isolation/emulation.h"
#include "sandbox/isolation/process_files.h"

namespace gyges::isolation {

struct Answer {
  bool by_kernel = false;  // the kernel executes the call
  std::int64_t value = 0;
  int error = 0;               // errno value
  UniqueFd file = UniqueFd();  // the caller gets it, and its number for an answer
  bool close_on_exec = false;
};

// Thread-safe, but for make_files_in().
class CallAnswers {
 public:
  CallAnswers(std::shared_ptr<const Emulation> emulation, std::shared_ptr<const SharedUse> use);

  // Before the first answer.
  void make_files_in(UniqueFd directory);

  // `listener` is that of the call, `memory` that listener's.
  Answer to(const seccomp_notif& call, int listener, CallerMemory& memory);

 private:
  Answer with_paths(const seccomp_notif& call, int listener, CallerMemory& memory);

  std::shared_ptr<const Emulation> emulation_;
  std::shared_ptr<const SharedUse> use_;
  std::mutex mutex_;  // of what follows
  CallerPaths paths_;
  std::unique_ptr<ProcessFiles> files_;  // null: no place for them
};

}  // namespace gyges::isolation
