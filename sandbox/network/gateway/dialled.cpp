#include <fmt/format.h>

#include <algorithm>

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

}  // namespace gyges::network
