// A request to stop waiting, from another thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace gyges::model {

// Thread-safe. Once cancelled, always cancelled.
class Cancellation {
 public:
  void cancel();
  [[nodiscard]] bool cancelled() const;
  // Waits; true when it was cancelled meanwhile.
  bool wait_for(std::chrono::milliseconds time) const;

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  bool cancelled_ = false;
};

}  // namespace gyges::model
