#include "sandbox/network/gateway/packet.h"

#include <algorithm>
#include <array>

namespace gyges::network {
namespace {

constexpr std::uint8_t icmp = 1;
constexpr std::uint8_t tcp = 6;
constexpr std::uint8_t udp = 17;
constexpr std::uint8_t routing6 = 43;
constexpr std::uint8_t fragment6 = 44;
constexpr std::uint8_t icmp6 = 58;

std::uint8_t byte(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint8_t>(bytes[at]);
}

std::uint16_t word(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint16_t>(byte(bytes, at) << 8U | byte(bytes, at + 1));
}

void put_word(std::string& bytes, std::size_t at, std::uint32_t value) {
  bytes[at] = static_cast<char>(value >> 8U);
  bytes[at + 1] = static_cast<char>(value);
}

void put_address(std::string& bytes, std::size_t at, const IpAddress& address) {
  std::copy_n(address.bytes.begin(), address.v6 ? 16 : 4,
              bytes.begin() + static_cast<std::ptrdiff_t>(at));
}

// The Internet checksum (RFC 1071) with a start value, folded but not inverted.
std::uint32_t sum(std::string_view bytes, std::uint32_t start = 0) {
  std::uint64_t total = start;
  std::size_t at = 0;
  for (; at + 1 < bytes.size(); at += 2) total += word(bytes, at);
  if (at < bytes.size()) total += static_cast<std::uint32_t>(byte(bytes, at) << 8U);
  while (total > 0xffff) total = (total & 0xffff) + (total >> 16U);
  return static_cast<std::uint32_t>(total);
}

// IP header and transport in one packet, with checksums. `checksum_at`: where in the transport.
std::string make_packet(const IpAddress& from, const IpAddress& to, std::uint8_t protocol,
                        std::string transport, std::size_t checksum_at) {
  bool v6 = from.v6;
  std::string head(v6 ? 40 : 20, '\0');
  put_address(head, v6 ? 8 : 12, from);
  put_address(head, v6 ? 24 : 16, to);
  put_word(transport, checksum_at, 0);
  std::uint32_t pseudo = 0;
  if (protocol != icmp)
    pseudo = sum(std::string_view(head).substr(v6 ? 8 : 12),
                 static_cast<std::uint32_t>(transport.size()) + protocol);
  std::uint32_t checksum = ~sum(transport, pseudo) & 0xffffU;
  put_word(transport, checksum_at, checksum == 0 && protocol == udp ? 0xffff : checksum);
  if (v6) {
    head[0] = 0x60;
    put_word(head, 4, static_cast<std::uint32_t>(transport.size()));
    head[6] = static_cast<char>(protocol);
    head[7] = 64;
  } else {
    head[0] = 0x45;
    put_word(head, 2, static_cast<std::uint32_t>(transport.size() + 20));
    head[6] = 0x40;  // do not fragment
    head[8] = 64;
    head[9] = static_cast<char>(protocol);
    put_word(head, 10, ~sum(head) & 0xffffU);
  }
  return head + transport;
}

// An ICMP message about the packet, with as much of it as such a message holds.
std::string make_error(const Packet& packet, std::string_view original, const IpAddress& from,
                       char type, char code) {
  const bool v6 = packet.source.address.v6;
  std::string message(8, '\0');
  message[0] = type;
  message[1] = code;
  message += original.substr(0, v6 ? 1232 : 548);
  return make_packet(from, packet.source.address, v6 ? icmp6 : icmp, std::move(message), 2);
}

IpAddress address_at(std::string_view bytes, std::size_t at, bool v6) {
  IpAddress address;
  address.v6 = v6;
  for (std::size_t i = 0; i < (v6 ? 16U : 4U); ++i) address.bytes[i] = byte(bytes, at + i);
  return address;
}

// Whether the options of an IPv4 header hold a source route, loose or strict (RFC 791).
bool has_source_route(std::string_view options) {
  while (!options.empty()) {
    const std::uint8_t kind = byte(options, 0);
    if (kind == 0) return false;
    if (kind == 131 || kind == 137) return true;
    if (kind != 1 && (options.size() < 2 || byte(options, 1) < 2)) return false;
    options.remove_prefix(std::min<std::size_t>(options.size(), kind == 1 ? 1 : byte(options, 1)));
  }
  return false;
}

bool housekeeping(const Packet& packet) {
  if (packet.protocol == 2) return true;                              // IGMP
  if (packet.protocol == 0 && packet.source.address.v6) return true;  // hop-by-hop: MLD reports
  if (packet.protocol != icmp6 || packet.transport.empty()) return false;
  std::uint8_t type = byte(packet.transport, 0);
  return (type >= 130 && type <= 143) || type == 1 || type == 3;
}

bool is_icmp_error(const Packet& packet) {
  if (packet.transport.empty()) return false;
  const std::uint8_t type = byte(packet.transport, 0);
  if (packet.protocol == icmp6) return type < 128;
  return packet.protocol == icmp &&
         (type == 3 || type == 4 || type == 5 || type == 11 || type == 12);
}

bool for_several(const IpAddress& address) {
  if (address.v6) return address.bytes[0] == 0xff;
  return address.bytes[0] >= 224;  // multicast, and broadcast among what is reserved
}

}  // namespace

std::optional<Packet> read_packet(std::string_view bytes) {
  Packet packet;
  if (bytes.empty()) return std::nullopt;
  unsigned version = byte(bytes, 0) >> 4U;
  std::size_t header = 0;
  if (version == 4) {
    if (bytes.size() < 20) return std::nullopt;
    header = (byte(bytes, 0) & 15U) * 4U;
    std::size_t total = word(bytes, 2);
    if (header < 20 || bytes.size() < header) return std::nullopt;
    // 0: a packet larger than 64 KiB that segmentation offload has not cut yet
    if (total >= header && total < bytes.size()) bytes = bytes.substr(0, total);
    packet.hops = byte(bytes, 8);
    packet.protocol = byte(bytes, 9);
    packet.source.address = address_at(bytes, 12, false);
    packet.destination.address = address_at(bytes, 16, false);
    packet.transport = packet.payload = bytes.substr(header);
    const bool later = (word(bytes, 6) & 0x1fffU) != 0;
    packet.answerable =
        !later && !for_several(packet.destination.address) && !is_icmp_error(packet);
    if ((word(bytes, 6) & 0x3fffU) != 0) {
      packet.kind = Packet::Kind::fragment;
      return packet;
    }
    if (has_source_route(bytes.substr(20, header - 20))) {
      packet.kind = Packet::Kind::routed;
      packet.payload = bytes.substr(20);  // the route, too
      return packet;
    }
  } else if (version == 6) {
    header = 40;
    if (bytes.size() < header) return std::nullopt;
    packet.protocol = byte(bytes, 6);
    packet.hops = byte(bytes, 7);
    packet.source.address = address_at(bytes, 8, true);
    packet.destination.address = address_at(bytes, 24, true);
    packet.transport = packet.payload = bytes.substr(header);
    packet.answerable = !for_several(packet.destination.address) && !is_icmp_error(packet);
    if (packet.protocol == fragment6) {
      packet.kind = Packet::Kind::fragment;
      constexpr std::size_t fragment_header = 8;
      if (packet.payload.size() >= fragment_header && (word(packet.payload, 2) & 0xfff8U) != 0)
        packet.answerable = false;
      packet.payload.remove_prefix(std::min(fragment_header, packet.payload.size()));
      return packet;
    }
    if (packet.protocol == routing6) packet.kind = Packet::Kind::routed;
  } else {
    return std::nullopt;
  }
  std::string_view transport = packet.transport;
  if (housekeeping(packet)) return std::nullopt;
  auto ports = [&] {
    packet.source.port = word(transport, 0);
    packet.destination.port = word(transport, 2);
  };
  if (packet.protocol == tcp && transport.size() >= 20) {
    ports();
    std::size_t size = (byte(transport, 12) >> 4U) * 4U;
    if (size >= 20 && size <= transport.size() && (byte(transport, 13) & 0x12U) == 0x02) {
      packet.kind = Packet::Kind::tcp_syn;
      packet.payload = transport.substr(size);
    }
  } else if (packet.protocol == udp && transport.size() >= 8) {
    ports();
    packet.kind = Packet::Kind::udp;
    packet.payload = transport.substr(8);
  } else if (transport.size() >= 8 && ((packet.protocol == icmp && byte(transport, 0) == 8) ||
                                       (packet.protocol == icmp6 && byte(transport, 0) == 128))) {
    packet.kind = Packet::Kind::echo_request;
  }
  return packet;
}

std::string make_reset(const Packet& syn) {
  std::string transport(20, '\0');
  put_word(transport, 0, syn.destination.port);
  put_word(transport, 2, syn.source.port);
  std::uint32_t sequence =
      (static_cast<std::uint32_t>(word(syn.transport, 4)) << 16U) + word(syn.transport, 6) + 1;
  put_word(transport, 8, sequence >> 16U);
  put_word(transport, 10, sequence & 0xffffU);
  transport[12] = 0x50;
  transport[13] = 0x14;  // RST, ACK
  return make_packet(syn.destination.address, syn.source.address, tcp, std::move(transport), 16);
}

std::string make_unreachable(const Packet& packet, std::string_view original, bool port) {
  const bool v6 = packet.source.address.v6;
  const char code = v6 ? (port ? 4 : 3) : (port ? 3 : 1);
  return make_error(packet, original, packet.destination.address, v6 ? 1 : 3, code);
}

std::string make_time_exceeded(const Packet& packet, std::string_view original,
                               const IpAddress& router) {
  return make_error(packet, original, router, packet.source.address.v6 ? 3 : 11, 0);
}

void take_hop(std::string& packet) {
  const bool v6 = byte(packet, 0) >> 4U == 6;
  const std::size_t at = v6 ? 7 : 8;
  packet[at] = static_cast<char>(byte(packet, at) - 1);
  if (v6) return;
  constexpr std::size_t head = 20;  // as make_packet() writes it
  put_word(packet, 10, 0);
  put_word(packet, 10, ~sum(std::string_view(packet).substr(0, head)) & 0xffffU);
}

std::string make_echo_reply(const Packet& request) {
  std::string message(request.transport);
  message[0] = request.source.address.v6 ? static_cast<char>(129) : 0;
  return make_packet(request.destination.address, request.source.address, request.protocol,
                     std::move(message), 2);
}

std::string make_datagram(const Endpoint& from, const Endpoint& to, std::string_view payload) {
  std::string transport(8, '\0');
  put_word(transport, 0, from.port);
  put_word(transport, 2, to.port);
  put_word(transport, 4, static_cast<std::uint32_t>(payload.size() + 8));
  transport += payload;
  return make_packet(from.address, to.address, udp, std::move(transport), 6);
}

std::string make_approved(const Packet& syn) {
  std::size_t size = (byte(syn.transport, 12) >> 4U) * 4U;
  return make_packet(syn.source.address, syn.destination.address, tcp,
                     std::string(syn.transport.substr(0, size)), 16);
}

}  // namespace gyges::network
