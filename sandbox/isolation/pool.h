// Sandboxes prepared ahead of their use: namespaces, mounts, seed files and pid 1 are there, so
// that taking one costs a message and starting a command in it a fork (bench/isolation has the
// figures).
//
// All members are made from one spec; a sandbox serves one user and is never put back, so nothing
// passes from one to the next. Limits, the wall clock too, count from take().
//
// Every method may be called from any thread. A taken sandbox is the caller's and may outlive the
// pool. When the process dies the kernel kills all members; their cgroups are removed as those of
// any sandbox are (launch.h).
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include "base/error.h"
#include "sandbox/isolation/sandbox.h"

namespace gyges::isolation {

class SandboxPool {
 public:
  static constexpr std::uint32_t max_size = 256;

  struct Counts {
    std::uint32_t ready = 0;  // members waiting now
    std::uint64_t warm = 0;   // taken from the pool so far
    std::uint64_t cold = 0;   // started by take() because no member was ready
    // Members that died while waiting, killed from outside for example, or waited too long.
    std::uint64_t dead = 0;
  };

  // Starts the first member before it returns, so that a policy which cannot be had is an error
  // here; a thread makes the others, up to `size` (1 to max_size), and replaces what is taken.
  // spec.session must be null, spec.prepared is ignored.
  static Result<std::unique_ptr<SandboxPool>> create(SandboxSpec spec, std::uint32_t size);

  // One sandbox, started while its user is still busy with something else; the pool is not filled
  // again. Returns at once. take() waits for the sandbox, and starts another where it could not be
  // had, has died, or has waited for longer than `longest_wait`: inside, its age shows in the start
  // time of pid 1, in what the files' change times say and in the uptime.
  static std::unique_ptr<SandboxPool> ahead(SandboxSpec spec,
                                            std::chrono::milliseconds longest_wait);

  // Kills the members that wait.
  ~SandboxPool();
  SandboxPool(const SandboxPool&) = delete;
  SandboxPool& operator=(const SandboxPool&) = delete;

  // A sandbox that records into `session` (borrowed; null: nothing is recorded). Without a member
  // ready it is started here and now; such a sandbox lives only as long as the calling thread.
  Result<std::unique_ptr<Sandbox>> take(recorder::Session* session);

  [[nodiscard]] Counts counts() const;

 private:
  class Members;
  explicit SandboxPool(std::shared_ptr<Members> members);
  std::shared_ptr<Members> members_;
};

}  // namespace gyges::isolation
