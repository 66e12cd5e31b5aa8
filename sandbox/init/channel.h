// Messages with descriptors over the control socket, from inside pid 1.
#pragma once

#include "sandbox/init/protocol.h"

namespace gyges::init {

// Sends one reply, with a descriptor unless fd is -1. The process ends when the supervisor is gone:
// a sandbox without supervisor must not go on.
void tell(const Reply& reply, int fd = -1);

struct Received {
  Request request;
  int fds[4] = {-1, -1, -1, -1};
};

// Waits for one request. Ends the process when the supervisor is gone.
Received receive();

// Sends `fd` as `what`, closes it and waits until the supervisor has dealt with it. -1 where there
// is no descriptor; errno is then the caller's.
int hand(int fd, Hand what);

}  // namespace gyges::init
