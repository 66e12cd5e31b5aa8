// The seats of labels (kernel/labels.h) as user space sees them.
//
// Thread-safety: counting is safe from any thread and process; the rest is for one thread.
#pragma once

#include <cstdint>

#include "base/error.h"
#include "sandbox/recorder/capture/kernel/record.h"

namespace gyges::recorder {

class SeatMap {
 public:
  SeatMap() = default;
  ~SeatMap();
  SeatMap(const SeatMap&) = delete;
  SeatMap& operator=(const SeatMap&) = delete;

  // `map` may be closed afterwards.
  Status map(int map);
  // Only while no program is attached: nobody has a seat, and labels set before are none any more.
  void empty();
  [[nodiscard]] std::uint16_t generation() const { return seating_->generation; }
  // A label that is to be set; before it is.
  void expect_label() { __atomic_fetch_add(&seating_->arriving, 1U, __ATOMIC_SEQ_CST); }
  // It will not be set, or nobody will take a seat for it.
  void expect_no_label() { __atomic_fetch_sub(&seating_->arriving, 1U, __ATOMIC_SEQ_CST); }

 private:
  wire::seating* seating_ = nullptr;
};

}  // namespace gyges::recorder
