// IP packets as the gateway reads them from its packet socket and writes them to its raw sockets.
// Reading is bounded by the bytes given and trusts none of them. Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "sandbox/network/address.h"

namespace gyges::network {

inline constexpr std::size_t echo_head = 8;  // bytes of a ping before what it carries

struct Packet {
  enum class Kind {
    tcp_syn,  // opens a connection
    udp,
    echo_request,
    fragment,  // of any protocol
    routed,    // says itself by which way it is to go
    other,     // anything else, malformed ones included
  };
  Kind kind = Kind::other;
  std::uint8_t protocol = 0;  // of the transport, as in the IP header
  std::uint8_t hops = 0;      // what is left of its life: TTL or hop limit
  // Whether an ICMP error may answer it: it is none itself, no later fragment, and was sent to one
  // receiver (RFC 1122, 3.2.2; RFC 4443, 2.4).
  bool answerable = true;
  Endpoint source;  // ports are 0 where the transport has none
  Endpoint destination;
  std::string_view transport;  // from the transport header on
  std::string_view payload;    // of UDP and TCP; of all others what follows the IP header
};

// `bytes` begin with the IP header. Nothing: no IPv4 or IPv6 packet, or neighbour discovery and
// multicast housekeeping, which are nobody's attempt.
std::optional<Packet> read_packet(std::string_view bytes);

// Whole packets, IP header included, to the source of the packet that they answer; from its
// destination unless said otherwise.
std::string make_reset(const Packet& syn);
std::string make_unreachable(const Packet& packet, std::string_view original, bool port);
// As the router at `router` says that the packet's life ended there.
std::string make_time_exceeded(const Packet& packet, std::string_view original,
                               const IpAddress& router);
std::string make_echo_reply(const Packet& request);
std::string make_datagram(const Endpoint& from, const Endpoint& to, std::string_view payload);

// What a router does to a packet that it passes on: one hop less is left of it. `packet` is whole,
// of either family.
void take_hop(std::string& packet);

// The SYN itself once more, with its options but without data, and with a checksum that is whole:
// on a virtual link senders leave it to hardware which does not exist.
std::string make_approved(const Packet& syn);

}  // namespace gyges::network
