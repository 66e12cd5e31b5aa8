#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>

#include "base/fd.h"
#include "sandbox/network/gateway/gateway.h"

namespace gyges::network {
namespace {

bool holds(const std::vector<IpNetwork>& networks, const IpAddress& address) {
  IpAddress meant = unmapped(address);
  return std::any_of(networks.begin(), networks.end(),
                     [&](const IpNetwork& network) { return network.names(meant); });
}

}  // namespace

bool names_network(const NetworkRule& rule, const IpAddress& address) {
  return holds(rule.networks, address);
}

std::string why_not_dialled(const NetworkRule& rule, const IpAddress& address) {
  if (names_network(rule, address) || holds(rule.within, address)) return {};
  if (!rule.within.empty())
    return fmt::format("{} is in no network of the rule's `within`", to_string(address));
  AddressScope scope = scope_of(address);
  if (scope == AddressScope::global) return {};
  return fmt::format("{} is a {} address and no network of the rule holds it", to_string(address),
                     to_string(scope));
}

// Asked of the kernel's routes, by a datagram socket that sends nothing: to an address of its own a
// host speaks from that very address.
bool is_on_this_host(const Endpoint& endpoint) {
  sockaddr_storage there{};
  sockaddr_storage here{};
  socklen_t length = to_sockaddr(endpoint, there);
  const UniqueFd socket(::socket(there.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket || ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&there), length) != 0)
    return false;
  length = sizeof(here);
  return ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&here), &length) == 0 &&
         endpoint_from(here).address == endpoint.address;
}

}  // namespace gyges::network
