#include "sandbox/recorder/capture/seat_map.h"

#include <sys/mman.h>

#include <cstring>

namespace gyges::recorder {

SeatMap::~SeatMap() {
  if (seating_ != nullptr) munmap(seating_, sizeof(*seating_));
}

Status SeatMap::map(int map) {
  if (seating_ != nullptr) return ok();
  void* const at = mmap(nullptr, sizeof(wire::seating), PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
  if (at == MAP_FAILED) return fail_errno("open recorder", "seats of labels");
  seating_ = static_cast<wire::seating*>(at);
  return ok();
}

void SeatMap::empty() {
  const auto next = static_cast<std::uint16_t>(seating_->generation + 1);
  std::memset(static_cast<void*>(seating_), 0, sizeof(*seating_));
  seating_->generation = next;
}

}  // namespace gyges::recorder
