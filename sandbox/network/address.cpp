#include "sandbox/network/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "base/text.h"

namespace gyges::network {
namespace {

struct SpecialNetwork {
  bool v6;
  std::array<std::uint8_t, 16> bytes;
  unsigned prefix;
  AddressScope scope;
};

// RFC 6890 with RFC 6666, 7526, 8215, 9637; the first match decides.
constexpr std::array special_networks{
    SpecialNetwork{false, {255, 255, 255, 255}, 32, AddressScope::multicast},
    SpecialNetwork{false, {0}, 8, AddressScope::unspecified},
    SpecialNetwork{false, {10}, 8, AddressScope::private_use},
    SpecialNetwork{false, {100, 64}, 10, AddressScope::private_use},
    SpecialNetwork{false, {127}, 8, AddressScope::loopback},
    SpecialNetwork{false, {168, 63, 129, 16}, 32, AddressScope::link_local},  // Azure's host
    SpecialNetwork{false, {169, 254}, 16, AddressScope::link_local},
    SpecialNetwork{false, {172, 16}, 12, AddressScope::private_use},
    SpecialNetwork{false, {192, 0, 0}, 24, AddressScope::reserved},
    SpecialNetwork{false, {192, 0, 2}, 24, AddressScope::documentation},
    SpecialNetwork{false, {192, 88, 99}, 24, AddressScope::reserved},
    SpecialNetwork{false, {192, 168}, 16, AddressScope::private_use},
    SpecialNetwork{false, {198, 18}, 15, AddressScope::reserved},
    SpecialNetwork{false, {198, 51, 100}, 24, AddressScope::documentation},
    SpecialNetwork{false, {203, 0, 113}, 24, AddressScope::documentation},
    SpecialNetwork{false, {224}, 4, AddressScope::multicast},
    SpecialNetwork{false, {240}, 4, AddressScope::reserved},
    SpecialNetwork{true, {0}, 128, AddressScope::unspecified},
    SpecialNetwork{
        true, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128, AddressScope::loopback},
    SpecialNetwork{true, {0}, 8, AddressScope::translated},  // mapped, compatible, ::ffff:0:0:0/96
    SpecialNetwork{true, {0x00, 0x64, 0xff, 0x9b}, 32, AddressScope::translated},
    SpecialNetwork{true, {0x01}, 8, AddressScope::reserved},
    SpecialNetwork{true, {0x20, 0x01, 0x0d, 0xb8}, 32, AddressScope::documentation},
    SpecialNetwork{true, {0x3f, 0xff, 0x00}, 20, AddressScope::documentation},
    SpecialNetwork{true, {0x20, 0x01, 0x00}, 23, AddressScope::translated},  // Teredo and others
    SpecialNetwork{true, {0x20, 0x02}, 16, AddressScope::translated},
    SpecialNetwork{true, {0xfc}, 7, AddressScope::private_use},
    SpecialNetwork{true, {0xfe, 0x80}, 10, AddressScope::link_local},
    SpecialNetwork{true, {0xff}, 8, AddressScope::multicast},
    SpecialNetwork{true, {0x20}, 3, AddressScope::global},
    SpecialNetwork{true, {0}, 0, AddressScope::reserved},
};

bool same_prefix(const std::array<std::uint8_t, 16>& x, const std::array<std::uint8_t, 16>& y,
                 unsigned prefix) {
  unsigned whole = prefix / 8;
  if (!std::equal(x.begin(), x.begin() + whole, y.begin())) return false;
  unsigned rest = prefix % 8;
  if (rest == 0) return true;
  auto mask = static_cast<std::uint8_t>(0xffU << (8 - rest));
  return (x[whole] & mask) == (y[whole] & mask);
}

// Null: none holds it.
const SpecialNetwork* special_network_of(const IpAddress& address) {
  for (const SpecialNetwork& special : special_networks)
    if (special.v6 == address.v6 && same_prefix(special.bytes, address.bytes, special.prefix))
      return &special;
  return nullptr;
}

}  // namespace

Result<IpAddress> parse_address(std::string_view text) {
  IpAddress address;
  std::string copy(text);  // both calls below want a NUL
  if (copy.find('\0') == std::string::npos) {
    if (::inet_pton(AF_INET, copy.c_str(), address.bytes.data()) == 1) return address;
    address.v6 = true;
    if (::inet_pton(AF_INET6, copy.c_str(), address.bytes.data()) == 1) return address;
  }
  return fail("read address", quoted(text), "it is no IPv4 or IPv6 address",
              "write it like 192.0.2.1 or 2001:db8::1");
}

std::string to_string(const IpAddress& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(address.v6 ? AF_INET6 : AF_INET, address.bytes.data(), text.data(), text.size());
  return text.data();
}

IpAddress unmapped(const IpAddress& address) {
  constexpr std::array<std::uint8_t, 16> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (!address.v6 || !same_prefix(address.bytes, mapped, 96)) return address;
  IpAddress v4;
  std::copy(address.bytes.begin() + 12, address.bytes.end(), v4.bytes.begin());
  return v4;
}

AddressScope scope_of(const IpAddress& address) {
  const SpecialNetwork* special = special_network_of(address);
  return special == nullptr ? AddressScope::global : special->scope;
}

std::string_view to_string(AddressScope scope) {
  switch (scope) {
    case AddressScope::global:
      return "global";
    case AddressScope::unspecified:
      return "unspecified";
    case AddressScope::loopback:
      return "loopback";
    case AddressScope::private_use:
      return "private";
    case AddressScope::link_local:
      return "link-local";
    case AddressScope::multicast:
      return "multicast";
    case AddressScope::documentation:
      return "documentation";
    case AddressScope::translated:
      return "IPv4 inside IPv6";
    case AddressScope::reserved:
      break;
  }
  return "reserved";
}

bool IpNetwork::contains(const IpAddress& other) const {
  return other.v6 == address.v6 && same_prefix(address.bytes, other.bytes, prefix);
}

bool IpNetwork::names(const IpAddress& other) const {
  if (!contains(other)) return false;
  const SpecialNetwork* special = special_network_of(other);
  return special == nullptr || special->scope == AddressScope::global || prefix >= special->prefix;
}

Result<IpNetwork> parse_network(std::string_view text) {
  IpNetwork network;
  auto slash = text.find('/');
  GYGES_TRY(network.address, parse_address(text.substr(0, slash)));
  unsigned most = network.address.v6 ? 128 : 32;
  network.prefix = most;
  if (slash != std::string_view::npos) {
    std::string_view digits = text.substr(slash + 1);
    auto [end, code] =
        std::from_chars(digits.data(), digits.data() + digits.size(), network.prefix);
    if (code != std::errc() || end != digits.data() + digits.size() || network.prefix > most)
      return fail("read network", quoted(text), "the prefix length is no number in range",
                  fmt::format("write 0 to {} after the slash", most));
  }
  for (unsigned bit = network.prefix; bit < most; ++bit)
    if ((network.address.bytes[bit / 8] >> (7 - bit % 8) & 1U) != 0)
      return fail("read network", quoted(text), "the address has bits past the prefix",
                  "clear them, or make the prefix longer");
  return network;
}

std::string to_string(const IpNetwork& network) {
  return fmt::format("{}/{}", to_string(network.address), network.prefix);
}

std::string to_string(const Endpoint& endpoint) {
  std::string address = to_string(endpoint.address);
  if (endpoint.address.v6) address = "[" + address + "]";
  return fmt::format("{}:{}", address, endpoint.port);
}

Endpoint endpoint_from(const sockaddr_storage& storage) {
  Endpoint endpoint;
  if (storage.ss_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &storage, sizeof(v4));
    std::memcpy(endpoint.address.bytes.data(), &v4.sin_addr, 4);
    endpoint.port = ntohs(v4.sin_port);
  } else if (storage.ss_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &storage, sizeof(v6));
    endpoint.address.v6 = true;
    std::memcpy(endpoint.address.bytes.data(), &v6.sin6_addr, 16);
    endpoint.port = ntohs(v6.sin6_port);
  }
  return endpoint;
}

unsigned to_sockaddr(const Endpoint& endpoint, sockaddr_storage& storage) {
  storage = {};
  if (!endpoint.address.v6) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(endpoint.port);
    std::memcpy(&v4.sin_addr, endpoint.address.bytes.data(), 4);
    std::memcpy(&storage, &v4, sizeof(v4));
    return sizeof(v4);
  }
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(endpoint.port);
  std::memcpy(&v6.sin6_addr, endpoint.address.bytes.data(), 16);
  std::memcpy(&storage, &v6, sizeof(v6));
  return sizeof(v6);
}

}  // namespace gyges::network
