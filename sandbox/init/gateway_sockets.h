// The network namespace of the egress gateway, made by pid 1 because it holds the privileges for
// it.
#pragma once

namespace gyges::init {

// Makes the namespace, hands the sockets over that were opened in it, and returns to the agent's.
// The namespace lives as long as these sockets. `ping_groups` ("low high", ids inside) may open
// ICMP sockets in the agent's namespace, so that ping needs no privilege. -1 with errno.
int hand_gateway(const char* ping_groups, bool v6);

}  // namespace gyges::init
