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
  // Of what rules name, ports that are not in the list: their ranges are long, or they are many.
  bool lacks_named = false;
};

// What services usually listen on, then what the persona's world listens on, then what rules name
// that let something in: as many as there is room for. `packed_world` as of pack_world(), or empty.
Result<PortList> port_list(const NetworkPolicy& policy, std::string_view packed_world);

}  // namespace gyges::network
