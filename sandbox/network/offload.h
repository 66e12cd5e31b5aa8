// What an interface may leave for hardware to do.
#pragma once

#include "base/error.h"

namespace gyges::network {

// Has the kernel cut datagrams that a program sends many of in one call (UDP_SEGMENT, as QUIC
// libraries do) before the interface gets them. A virtual link passes them on in one piece to a
// reader who cannot tell it from one long datagram. `socket` is one of the interface's namespace.
// Kernels before 4.18 have no such datagrams.
Status cut_datagrams(int socket, const char* interface);

}  // namespace gyges::network
