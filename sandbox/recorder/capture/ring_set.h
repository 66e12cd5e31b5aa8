// The rings of all CPUs as the consumer sees them, read in place and merged by time. Memory is
// mapped as far as records have come: all of it at once would take a millisecond for each 8 MiB,
// and as long again when it is given back, of which a short run needs little.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/error.h"
#include "sandbox/recorder/capture/kernel/record.h"

namespace gyges::recorder {

// Not thread-safe: one reader at a time.
class RingSet {
 public:
  RingSet() = default;
  ~RingSet();
  RingSet(const RingSet&) = delete;
  RingSet& operator=(const RingSet&) = delete;

  // Maps the areas of `cpus` CPUs; `areas_fd` is borrowed for as long as this lives. `ring_bytes`
  // is a power of two. What the rings hold, of somebody who had them before, is passed over.
  Status map(int areas_fd, std::uint32_t cpus, std::uint32_t ring_bytes);

  [[nodiscard]] std::uint32_t count() const { return static_cast<std::uint32_t>(rings_.size()); }
  [[nodiscard]] wire::cpu_area& area(std::uint32_t cpu) { return *rings_[cpu].area; }
  [[nodiscard]] const wire::cpu_area& area(std::uint32_t cpu) const { return *rings_[cpu].area; }

  // Asks the kernel side to ring the bell once a ring holds enough; false if one does already.
  bool ask_for_bell(std::uint64_t enough);
  void awake();

  // Hands every record that was complete when the call began, up to about `byte_limit` bytes, to
  // `visit` in the order of time; frees the room as it goes. Returns the bytes read.
  //
  // Whatever caused a record is visible before it: the time limit is taken before the heads are
  // read, so that a record newer than some head is left for the next call.
  template <class Visit>
  std::uint64_t drain(std::uint64_t byte_limit, Visit&& visit);

  // Bytes in the fullest ring.
  [[nodiscard]] std::uint64_t fullest() const;

  // An error once the kernel refused to map more: what was recorded since cannot be read.
  [[nodiscard]] const Status& status() const { return status_; }
  [[nodiscard]] std::size_t mapped_bytes() const;

 private:
  struct Ring {
    wire::cpu_area* area = nullptr;
    const std::byte* data = nullptr;
    std::uint64_t head = 0;
    std::uint64_t tail = 0;
    std::uint64_t freed = 0;  // the tail that the kernel side knows
  };

  [[nodiscard]] const wire::record& record_of(const Ring& ring) const {
    return *reinterpret_cast<const wire::record*>(ring.data + (ring.tail & (ring_bytes_ - 1)));
  }
  // Producers look at the tail in every call: while it stays, it is in their cache.
  static void free_read(Ring& ring) {
    if (ring.freed == ring.tail) return;
    ring.freed = ring.tail;
    __atomic_store_n(&ring.area->control.tail, ring.tail, __ATOMIC_RELEASE);
  }
  // Reads the heads and returns the time before that.
  std::uint64_t look();
  // Maps what of the areas is not mapped yet.
  Status reach(std::size_t from, std::size_t to);
  Status reach_records(const Ring& ring);

  std::vector<Ring> rings_;
  std::uint32_t ring_bytes_ = 0;
  int areas_fd_ = -1;
  std::byte* areas_ = nullptr;  // reserved, mapped window by window
  std::size_t areas_bytes_ = 0;
  std::vector<bool> mapped_;  // windows
  Status status_;
};

template <class Visit>
std::uint64_t RingSet::drain(std::uint64_t byte_limit, Visit&& visit) {
  constexpr std::uint64_t free_every = 65536;
  constexpr std::uint64_t never = ~std::uint64_t{0};
  const std::uint64_t limit = look();
  std::uint64_t bytes = 0;
  while (bytes < byte_limit) {
    // The ring whose next record is the oldest is read until another one has an older record.
    Ring* oldest = nullptr;
    std::uint64_t oldest_time = never;
    std::uint64_t next_time = never;
    for (Ring& ring : rings_) {
      if (ring.tail == ring.head) continue;
      const std::uint64_t time = record_of(ring).time;
      if (time < oldest_time) {
        next_time = oldest_time;
        oldest_time = time;
        oldest = &ring;
      } else if (time < next_time) {
        next_time = time;
      }
    }
    if (oldest == nullptr || oldest_time > limit) break;
    if (next_time > limit) next_time = limit;
    while (oldest->tail != oldest->head) {
      const wire::record& record = record_of(*oldest);
      if (record.time > next_time) break;
      const std::uint32_t size = record.size;
      visit(record);
      oldest->tail += size;
      bytes += size;
      if (oldest->tail - oldest->freed >= free_every) {
        free_read(*oldest);
        if (bytes >= byte_limit) break;
      }
    }
  }
  for (Ring& ring : rings_) free_read(ring);
  return bytes;
}

}  // namespace gyges::recorder
