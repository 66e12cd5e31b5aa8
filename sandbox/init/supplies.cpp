#include "sandbox/init/supplies.h"

#include <unistd.h>

#include <cstring>

#include "sandbox/init/channel.h"
#include "sandbox/init/setup.h"

namespace gyges::init {
namespace {

CgroupSettings settings;
bool entered = false;
std::uint32_t answered = 0;  // a bit for each Hand

std::uint32_t bit_of(std::uint32_t hand) {
  return 1U << (hand & 31U);
}

void take(const Received& received) {
  const int fd = received.fds[0];
  switch (received.request.ask) {
    case Ask::proceed:
      answered |= bit_of(received.request.id);
      return;
    case Ask::take_mount:
      take_mount(fd);
      return;
    case Ask::enter_cgroup:
      must(::write(fd, "0", 1) == 1, OwnStep::cgroup);
      ::close(fd);
      return;
    case Ask::entered:
      if (received.size != sizeof(settings)) ::_exit(1);
      std::memcpy(&settings, received.payload, sizeof(settings));
      entered = true;
      return;
    default:
      ::_exit(1);
  }
}

}  // namespace

int await_answer(Hand what) {
  const std::uint32_t bit = bit_of(static_cast<std::uint32_t>(what));
  while ((answered & bit) == 0) take(receive());
  answered &= ~bit;
  return 0;
}

int hand(int fd, Hand what) {
  return offer(fd, what) != 0 ? -1 : await_answer(what);
}

int await_cgroup() {
  while (!entered) take(receive());
  return 0;
}

const CgroupSettings& cgroup_settings() {
  return settings;
}

}  // namespace gyges::init
