// What a recorder's reader sleeps on: a ring buffer of the kernel that the programs write to when
// there is work, and an event that threads of this process write to.
#pragma once

#include <cstdint>

#include "base/error.h"
#include "base/fd.h"

namespace gyges::recorder {

// wait() is for one thread; ring() for any.
class Bell {
 public:
  Bell() = default;
  ~Bell();
  Bell(const Bell&) = delete;
  Bell& operator=(const Bell&) = delete;

  // `ring_buffer` is a BPF_MAP_TYPE_RINGBUF and must outlive the bell.
  Status map(int ring_buffer);
  // Until somebody rings, or `limit_ms` milliseconds have passed; at once if somebody rang before.
  void wait(int limit_ms);
  void ring();

 private:
  void silence();

  int ring_buffer_ = -1;
  UniqueFd event_;
  void* consumer_page_ = nullptr;
  void* producer_page_ = nullptr;
};

}  // namespace gyges::recorder
