// The network of a sandbox without network: its own loopback interface.
#pragma once

#include "base/error.h"
#include "base/fd.h"

namespace gyges::network {

// Brings up the loopback interface of the network namespace in which `route_socket` (NETLINK_ROUTE)
// was opened. The caller needs CAP_NET_ADMIN over that namespace, which the user who made its user
// namespace has.
Status bring_up_loopback(UniqueFd route_socket);

}  // namespace gyges::network
