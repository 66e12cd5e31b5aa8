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

}  // namespace gyges::init
