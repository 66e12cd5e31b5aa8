#include "sandbox/recorder/capture/ring_set.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

namespace gyges::recorder {
namespace {

constexpr std::size_t window_bytes = 256U << 10U;

std::size_t whole_pages(std::size_t bytes) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

}  // namespace

RingSet::~RingSet() {
  if (areas_ != nullptr) munmap(areas_, areas_bytes_);
}

Status RingSet::map(int areas_fd, std::uint32_t cpus, std::uint32_t ring_bytes) {
  areas_fd_ = areas_fd;
  ring_bytes_ = ring_bytes;
  const std::size_t stride = sizeof(wire::cpu_area) + ring_bytes + wire::record_limit;
  areas_bytes_ = whole_pages(cpus * stride);
  void* const areas =
      mmap(nullptr, areas_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (areas == MAP_FAILED) return fail_errno("map rings", "areas");
  areas_ = static_cast<std::byte*>(areas);
  mapped_.resize((areas_bytes_ + window_bytes - 1) / window_bytes);
  rings_.resize(cpus);
  for (std::uint32_t cpu = 0; cpu < cpus; ++cpu) {
    GYGES_CHECK(reach(cpu * stride, cpu * stride + sizeof(wire::cpu_area)));
    std::byte* const area = areas_ + cpu * stride;
    rings_[cpu].area = reinterpret_cast<wire::cpu_area*>(area);
    rings_[cpu].data = area + sizeof(wire::cpu_area);
    wire::ring_control& control = rings_[cpu].area->control;
    rings_[cpu].tail = rings_[cpu].head = __atomic_load_n(&control.head, __ATOMIC_ACQUIRE);
    rings_[cpu].freed = rings_[cpu].tail;
    __atomic_store_n(&control.tail, rings_[cpu].tail, __ATOMIC_RELEASE);
  }
  return ok();
}

Status RingSet::reach(std::size_t from, std::size_t to) {
  for (std::size_t window = from / window_bytes; window * window_bytes < to; ++window) {
    if (mapped_[window]) continue;
    const std::size_t at = window * window_bytes;
    const std::size_t size = std::min(window_bytes, areas_bytes_ - at);
    if (mmap(areas_ + at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, areas_fd_,
             static_cast<off_t>(at)) == MAP_FAILED)
      return fail_errno("map rings", "records", errno,
                        "raise the limits of memory and of mappings (vm.max_map_count) of Gyges");
    mapped_[window] = true;
  }
  return ok();
}

// From tail to head, in one piece or, around the end of the ring, in two. A record that begins
// before the end goes on into the slack behind it.
Status RingSet::reach_records(const Ring& ring) {
  const auto data = static_cast<std::size_t>(ring.data - areas_);
  const auto count = std::min<std::uint64_t>(ring.head - ring.tail, ring_bytes_);
  const std::size_t from = ring.tail & (ring_bytes_ - 1);
  const std::size_t to = from + count;
  const std::size_t end = ring_bytes_ + wire::record_limit;
  GYGES_CHECK(reach(data + from, data + std::min(to, end)));
  return to > ring_bytes_ ? reach(data, data + to - ring_bytes_) : ok();
}

std::size_t RingSet::mapped_bytes() const {
  return static_cast<std::size_t>(std::count(mapped_.begin(), mapped_.end(), true)) * window_bytes;
}

bool RingSet::ask_for_bell(std::uint64_t enough) {
  for (Ring& ring : rings_) __atomic_store_n(&ring.area->control.asleep, 1U, __ATOMIC_SEQ_CST);
  return fullest() < enough;
}

void RingSet::awake() {
  for (Ring& ring : rings_) __atomic_store_n(&ring.area->control.asleep, 0U, __ATOMIC_RELAXED);
}

std::uint64_t RingSet::look() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  for (Ring& ring : rings_) {
    ring.head = __atomic_load_n(&ring.area->control.head, __ATOMIC_ACQUIRE);
    if (ring.head == ring.tail) continue;
    if (Status reached = reach_records(ring); !reached) {
      if (status_) status_ = std::move(reached);
      ring.head = ring.tail;
    }
  }
  return static_cast<std::uint64_t>(now.tv_sec) * 1000000000U +
         static_cast<std::uint64_t>(now.tv_nsec);
}

std::uint64_t RingSet::fullest() const {
  std::uint64_t most = 0;
  for (const Ring& ring : rings_)
    most = std::max(most, __atomic_load_n(&ring.area->control.head, __ATOMIC_ACQUIRE) - ring.tail);
  return most;
}

}  // namespace gyges::recorder
