// Which socket of the sandbox a packet came from, as the sandbox's own kernel knows it: the number
// by which the recorder knows the socket too. Asked before the packet is answered, while whoever
// sent it still waits; it cannot be forged from inside, and two processes that use one port in turn
// are told apart.
#pragma once

#include <cstdint>

#include "sandbox/network/address.h"

namespace gyges::network {

// `diag`: a netlink socket of family NETLINK_SOCK_DIAG, made in the sandbox's network namespace
// (Linux 3.3; option INET_DIAG). `protocol`: IPPROTO_TCP or IPPROTO_UDP. The socket's inode; 0: it
// was closed meanwhile, or the kernel does not tell.
std::uint32_t socket_inode(int diag, std::uint8_t protocol, const Endpoint& source,
                           const Endpoint& destination);

}  // namespace gyges::network
