// IP addresses, networks and endpoints as values, one form for both families.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

struct sockaddr;
struct sockaddr_storage;

namespace gyges::network {

// In network byte order; IPv4 uses the first four bytes and the rest are zero.
struct IpAddress {
  bool v6 = false;
  std::array<std::uint8_t, 16> bytes{};

  friend auto operator<=>(const IpAddress&, const IpAddress&) = default;
  friend bool operator==(const IpAddress&, const IpAddress&) = default;
};

// "192.0.2.1", "2001:db8::1"; nothing else: no zone, no brackets, no octal or short forms.
Result<IpAddress> parse_address(std::string_view text);
std::string to_string(const IpAddress& address);

// ::ffff:a.b.c.d as the IPv4 address that the kernel would talk to; others unchanged.
IpAddress unmapped(const IpAddress& address);

// Where an address belongs, by the registries of special addresses (RFC 6890 and its updates).
// Anything but `global` is reached through relay only where a rule names it.
enum class AddressScope {
  global,
  unspecified,    // 0.0.0.0/8, ::
  loopback,       // 127.0.0.0/8, ::1
  private_use,    // 10/8, 172.16/12, 192.168/16, 100.64/10, fc00::/7
  link_local,     // 169.254/16 and 168.63.129.16 with the metadata services of clouds, fe80::/10
  multicast,      // 224/4, ff00::/8, 255.255.255.255
  documentation,  // 192.0.2/24, 198.51.100/24, 203.0.113/24, 2001:db8::/32
  translated,     // IPv4 inside IPv6: mapped, compatible, 64:ff9b::/96, 2002::/16, 2001::/32
  reserved,       // everything else that is not global
};
AddressScope scope_of(const IpAddress& address);
std::string_view to_string(AddressScope scope);

struct IpNetwork {
  IpAddress address;  // bits past the prefix are zero
  unsigned prefix = 0;

  [[nodiscard]] bool contains(const IpAddress& other) const;
  // Whether somebody who wrote the network meant this address: it is a global one, or the network
  // lies within the block that gives the address its scope. 0.0.0.0/0 does not mean 127.0.0.1.
  [[nodiscard]] bool names(const IpAddress& other) const;
  friend bool operator==(const IpNetwork&, const IpNetwork&) = default;
};

// "192.0.2.0/24", or an address alone for the network of just that address. Bits set past the
// prefix are an error: the writer meant something else.
Result<IpNetwork> parse_network(std::string_view text);
std::string to_string(const IpNetwork& network);

struct Endpoint {
  IpAddress address;
  std::uint16_t port = 0;

  friend auto operator<=>(const Endpoint&, const Endpoint&) = default;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

// "192.0.2.1:443", "[2001:db8::1]:443".
std::string to_string(const Endpoint& endpoint);

// AF_INET or AF_INET6; any other family gives 0.0.0.0:0.
Endpoint endpoint_from(const sockaddr_storage& storage);

// Fills `storage` and returns the length of the address in it.
unsigned to_sockaddr(const Endpoint& endpoint, sockaddr_storage& storage);

}  // namespace gyges::network
