#include "sandbox/recorder/capture/ring_set.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

namespace gyges::recorder {
namespace {

std::size_t whole_pages(std::size_t bytes) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

}  // namespace

RingSet::~RingSet() {
  if (areas_ != nullptr) munmap(areas_, areas_bytes_);
}

Status RingSet::map(int areas_fd, std::uint32_t cpus, std::uint32_t ring_bytes) {
  ring_bytes_ = ring_bytes;
  const std::size_t stride = sizeof(wire::cpu_area) + ring_bytes + wire::record_limit;
  areas_bytes_ = whole_pages(cpus * stride);
  void* const areas = mmap(nullptr, areas_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, areas_fd, 0);
  if (areas == MAP_FAILED) return fail_errno("map rings", "areas");
  areas_ = areas;
  rings_.resize(cpus);
  for (std::uint32_t cpu = 0; cpu < cpus; ++cpu) {
    std::byte* const area = static_cast<std::byte*>(areas_) + cpu * stride;
    rings_[cpu].area = reinterpret_cast<wire::cpu_area*>(area);
    rings_[cpu].data = area + sizeof(wire::cpu_area);
    wire::ring_control& control = rings_[cpu].area->control;
    rings_[cpu].tail = rings_[cpu].head = __atomic_load_n(&control.head, __ATOMIC_ACQUIRE);
    __atomic_store_n(&control.tail, rings_[cpu].tail, __ATOMIC_RELEASE);
  }
  return ok();
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
  for (Ring& ring : rings_) ring.head = __atomic_load_n(&ring.area->control.head, __ATOMIC_ACQUIRE);
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
