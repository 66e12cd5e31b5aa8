// A TCP listener of the gateway's network namespace. Shared by pid 1, which has no C library, and
// by the processes that make listeners on single ports: nothing here allocates.
#pragma once

#include <linux/filter.h>

#include <cstdint>

namespace gyges::init {

// Of AF_INET or AF_INET6, for every address (IP_TRANSPARENT, which needs CAP_NET_ADMIN in the
// namespace), non-blocking and close-on-exec; with `filter`, unless it is null, from before the
// first segment could come. The caller's to close; -1 with errno.
int make_gateway_listener(int family, std::uint16_t port, const sock_fprog* filter);

}  // namespace gyges::init
