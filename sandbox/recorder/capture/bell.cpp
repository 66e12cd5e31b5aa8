#include "sandbox/recorder/capture/bell.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

namespace gyges::recorder {
namespace {

std::size_t page() {
  return static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

Bell::~Bell() {
  if (consumer_page_ != nullptr) munmap(consumer_page_, page());
  if (producer_page_ != nullptr) munmap(producer_page_, page());
}

Status Bell::map(int ring_buffer) {
  ring_buffer_ = ring_buffer;
  event_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event_) return fail_errno("open recorder", "bell");
  // Of a ring buffer the kernel shows a page with the reader's position, to be written, then one
  // with the writer's, to be read only.
  void* const consumer = mmap(nullptr, page(), PROT_READ | PROT_WRITE, MAP_SHARED, ring_buffer, 0);
  if (consumer == MAP_FAILED) return fail_errno("open recorder", "bell");
  consumer_page_ = consumer;
  void* const producer =
      mmap(nullptr, page(), PROT_READ, MAP_SHARED, ring_buffer, static_cast<off_t>(page()));
  if (producer == MAP_FAILED) return fail_errno("open recorder", "bell");
  producer_page_ = producer;
  return ok();
}

void Bell::silence() {
  const std::uint64_t written =
      __atomic_load_n(static_cast<std::uint64_t*>(producer_page_), __ATOMIC_ACQUIRE);
  __atomic_store_n(static_cast<std::uint64_t*>(consumer_page_), written, __ATOMIC_RELEASE);
  std::uint64_t count = 0;
  static_cast<void>(!read(event_.get(), &count, sizeof(count)));
}

void Bell::wait(int limit_ms) {
  pollfd waits[2] = {{ring_buffer_, POLLIN, 0}, {event_.get(), POLLIN, 0}};
  poll(waits, 2, limit_ms);
  silence();
}

void Bell::ring() {
  const std::uint64_t one = 1;
  static_cast<void>(!write(event_.get(), &one, sizeof(one)));
}

}  // namespace gyges::recorder
