// A person's wish to end an episode now: a descriptor that polls readable, watched by a thread so
// that a model that is waited for is waited for no longer.
#pragma once

#include <thread>

#include "agent_runtime/model/cancellation.h"
#include "base/fd.h"

namespace gyges::episode {

class Interruption {
 public:
  // `fd` is borrowed; -1: nobody interrupts, and there is no thread.
  explicit Interruption(int fd);
  ~Interruption();
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;

  // Whether it has come. Quick.
  [[nodiscard]] bool come() const;
  // For requests to a model; cancelled soon after it has come.
  [[nodiscard]] const model::Cancellation& cancellation() const { return cancellation_; }
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
  UniqueFd over_;  // an eventfd
  model::Cancellation cancellation_;
  std::thread watcher_;
};

// How such an episode ends, in words.
inline constexpr const char* interrupted_words = "it was interrupted by a signal";

}  // namespace gyges::episode
