// The two network namespaces of a sandbox and what joins them: the agent's, with an ordinary
// interface, and the gateway's, in which every address is local and nothing leads anywhere.
//
// The gateway's namespace has a route that makes every destination local (AnyIP) and nftables rules
// (kernel 4.19, tproxy in an inet table) that let only three things in: TCP segments that belong to
// connections, neighbour discovery, and on the loopback interface the SYN packets which the gateway
// has approved and sent there. Everything else the gateway reads from a packet socket, decides and
// answers itself, so that a refusal looks like one. Without packet rules policy routing and
// listeners on single ports take their place (port_listeners.h): TCP is let in on those alone.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "sandbox/network/network_policy.h"
#include "sandbox/network/port_listeners.h"

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

// On which TCP ports connections can be let in.
struct Capture {
  // Empty: on all, by packet rules. Otherwise on these alone; sorted.
  std::vector<std::uint16_t> ports;
  std::vector<PortListener> listeners;
  std::string words;  // which these are, and why, for the record; empty: on all
};

// Needs CAP_NET_ADMIN over both namespaces, which the user who made their user namespace has.
// `agent` is a process in the agent's namespace, as this process sees it. `packed_world` is looked
// at for its ports where the host has no packet rules.
Result<Capture> build_topology(const NetworkPolicy& policy, const GatewaySockets& sockets,
                               pid_t agent, std::string_view packed_world = "");

}  // namespace gyges::network
