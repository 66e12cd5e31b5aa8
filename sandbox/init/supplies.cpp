#include "sandbox/init/supplies.h"

#include <unistd.h>

#include <cstring>

#include "sandbox/init/channel.h"
#include "sandbox/init/setup.h"

namespace gyges::init {
namespace {

CgroupSettings settings;
bool entered = false;

void take(const Received& received) {
  const int fd = received.fds[0];
  switch (received.request.ask) {
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

int await_answer() {
  for (Received received = receive(); received.request.ask != Ask::proceed; received = receive())
    take(received);
  return 0;
}

int hand(int fd, Hand what) {
  return offer(fd, what) != 0 ? -1 : await_answer();
}

int await_cgroup() {
  while (!entered) take(receive());
  return 0;
}

const CgroupSettings& cgroup_settings() {
  return settings;
}

}  // namespace gyges::init
