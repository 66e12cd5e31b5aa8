// The two network namespaces of a sandbox and what joins them: the agent's, with an ordinary
// interface, and the gateway's, in which every address is local and nothing leads anywhere.
//
// The gateway's namespace has a route that makes every destination local (AnyIP) and nftables rules
// (kernel 4.19, tproxy in an inet table) that let only three things in: TCP segments that belong to
// connections, neighbour discovery, and on the loopback interface the SYN packets which the gateway
// has approved and sent there. Everything else the gateway reads from a packet socket, decides and
// answers itself, so that a refusal looks like one.
#pragma once

#include <sys/types.h>

#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "sandbox/network/network_policy.h"

namespace gyges::network {

// Made by pid 1 inside the namespaces, in this order (init::Op::hand_gateway).
struct GatewaySockets {
  enum Index {
    gateway_route,
    gateway_filter,
    tcp4,
    tcp6,
    tap,
    raw4,
    raw6,
    agent_diag,
    agent_route,
    count
  };
  std::vector<UniqueFd> fds;
};

// Name of the gateway's end, in its namespace.
inline constexpr const char* gateway_link = "gw0";

// Needs CAP_NET_ADMIN over both namespaces, which the user who made their user namespace has.
// `agent` is a process in the agent's namespace, as this process sees it.
Status build_topology(const NetworkPolicy& policy, const GatewaySockets& sockets, pid_t agent);

}  // namespace gyges::network
