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
  if (controls_ != nullptr) munmap(controls_, controls_bytes_);
  if (data_ != nullptr) munmap(data_, data_bytes_);
}

Status RingSet::map(int controls_fd, int rings_fd, std::uint32_t cpus, std::uint32_t ring_bytes) {
  ring_bytes_ = ring_bytes;
  const std::size_t stride = std::size_t{ring_bytes} + wire::record_limit;
  controls_bytes_ = whole_pages(cpus * sizeof(wire::ring_control));
  data_bytes_ = whole_pages(cpus * stride);
  void* controls =
      mmap(nullptr, controls_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, controls_fd, 0);
  if (controls == MAP_FAILED) return fail_errno("map ring", "controls");
  controls_ = controls;
  void* data = mmap(nullptr, data_bytes_, PROT_READ, MAP_SHARED, rings_fd, 0);
  if (data == MAP_FAILED) return fail_errno("map ring", "data");
  data_ = data;
  rings_.resize(cpus);
  for (std::uint32_t cpu = 0; cpu < cpus; ++cpu) {
    rings_[cpu].control = static_cast<wire::ring_control*>(controls_) + cpu;
    rings_[cpu].data = static_cast<const std::byte*>(data_) + cpu * stride;
  }
  return ok();
}

std::uint64_t RingSet::look() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  for (Ring& ring : rings_) ring.head = __atomic_load_n(&ring.control->head, __ATOMIC_ACQUIRE);
  return static_cast<std::uint64_t>(now.tv_sec) * 1000000000U +
         static_cast<std::uint64_t>(now.tv_nsec);
}

std::uint64_t RingSet::fullest() const {
  std::uint64_t most = 0;
  for (const Ring& ring : rings_)
    most = std::max(most, __atomic_load_n(&ring.control->head, __ATOMIC_ACQUIRE) - ring.tail);
  return most;
}

}  // namespace gyges::recorder
