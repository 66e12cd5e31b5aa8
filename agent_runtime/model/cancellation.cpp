#include "agent_runtime/model/cancellation.h"

namespace gyges::model {

void Cancellation::cancel() {
  {
    std::scoped_lock lock(mutex_);
    cancelled_ = true;
  }
  changed_.notify_all();
}

bool Cancellation::cancelled() const {
  std::scoped_lock lock(mutex_);
  return cancelled_;
}

bool Cancellation::wait_for(std::chrono::milliseconds time) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, time, [this] { return cancelled_; });
}

}  // namespace gyges::model
