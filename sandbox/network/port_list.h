// The TCP ports on which connections can be let in where the host has no packet rules.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "sandbox/network/network_policy.h"

namespace gyges::network {

// Each is a socket of either family, which the gateway holds.
inline constexpr std::size_t most_listed_ports = 192;

struct PortList {
  std::vector<std::uint16_t> ports;  // sorted, each once
  // Ports that rules or the world name are not in the list: ranges are long, or they are many.
  bool lacks_named = false;
  bool lacks_usual = false;  // nor are all ports on which services usually listen
};

// Single ports that rules name which let something in, then what the persona's world listens on,
// then what services usually listen on, then the ranges of such rules: as many as there is room
// for. `packed_world` as of pack_world(), or empty.
Result<PortList> port_list(const NetworkPolicy& policy, std::string_view packed_world);

}  // namespace gyges::network
