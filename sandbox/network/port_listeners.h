// Without packet rules: listeners on single ports of the gateway's namespace, and policy routing
// (Linux 4.17, rules by protocol and port) in place of what the packet rules drop.
//
// A listener takes SYN packets from the loopback interface alone, by a socket filter: there the
// gateway sends what it has approved. So nothing is let in here either that was not decided before.
#pragma once

#include <cstdint>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace gyges::network {

struct PortListener {
  std::uint16_t port = 0;
  UniqueFd socket;
};

// Listeners of both families (IPv4 alone without `v6`) in the network namespace of `socket`, which
// belongs to a user namespace of the caller's. Settings of the namespace that the packet rules make
// needless are set as well: interfaces made afterwards take no routes from packets, and the kernel
// answers no ping.
Result<std::vector<PortListener>> make_port_listeners(int socket,
                                                      const std::vector<std::uint16_t>& ports,
                                                      bool v6);

// The filter of those listeners, for one that was made elsewhere.
Status filter_listener(int listener);

// By `route`, a NETLINK_ROUTE socket: TCP that arrives on the gateway's link goes to these ports,
// and nothing else of what a sandbox can send is delivered to the kernel, which would answer it.
Status route_ports(int route, const std::vector<std::uint16_t>& ports, bool v6);

}  // namespace gyges::network
