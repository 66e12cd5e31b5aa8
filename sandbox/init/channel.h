// Messages with descriptors over the control socket, from inside pid 1.
#pragma once

#include <cstddef>

#include "sandbox/init/protocol.h"

namespace gyges::init {

// Sends one reply, with a descriptor unless fd is -1 and another unless `second` is. The process
// ends when the supervisor is gone: a sandbox without supervisor must not go on.
void tell(const Reply& reply, int fd = -1, int second = -1);

// Ends pid 1 with the step's name and errno, unless `done`. A sandbox that lacks one of these would
// look like a whole one.
void must(bool done, OwnStep step);

struct Received {
  Request request;
  int fds[4] = {-1, -1, -1, -1};
  // What follows the request; until the next receive().
  const char* payload = nullptr;
  std::size_t size = 0;
};

// Waits for one request. Ends the process when the supervisor is gone.
Received receive();

// Sends `fd` as `what` and closes it. -1 where there is no descriptor; errno is then the caller's.
int offer(int fd, Hand what);

}  // namespace gyges::init
