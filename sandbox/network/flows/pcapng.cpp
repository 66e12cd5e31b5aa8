#include "sandbox/network/flows/pcapng.h"

#include <algorithm>

#include "base/json.h"
#include "sandbox/network/address.h"
#include "sandbox/network/flows/flow_reader.h"

namespace gyges::network {
namespace {

using nlohmann::json;

constexpr std::uint32_t linktype_raw = 101;
constexpr std::size_t segment_bytes = 1400;
constexpr std::uint8_t tcp = 6;
constexpr std::uint8_t udp = 17;
constexpr std::uint8_t fin = 1, syn = 2, rst = 4, psh = 8, ack = 16;

void little(std::string& out, std::uint64_t value, unsigned bytes) {
  for (unsigned i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 0xffU);
}
void big(std::string& out, std::uint64_t value, unsigned bytes) {
  for (unsigned i = bytes; i > 0; --i) out += static_cast<char>(value >> (8 * (i - 1)) & 0xffU);
}

// RFC 1071 over several parts, each of even length but the last.
std::uint16_t checksum(std::initializer_list<std::string_view> parts) {
  std::uint32_t sum = 0;
  for (std::string_view part : parts)
    for (std::size_t i = 0; i < part.size(); ++i)
      sum += static_cast<std::uint32_t>(static_cast<std::uint8_t>(part[i])) << (i % 2 == 0 ? 8 : 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

void block(std::string& out, std::uint32_t type, std::string body) {
  body.resize((body.size() + 3) / 4 * 4, '\0');
  std::uint32_t size = static_cast<std::uint32_t>(body.size()) + 12;
  little(out, type, 4);
  little(out, size, 4);
  out += body;
  little(out, size, 4);
}

class Capture {
 public:
  explicit Capture(std::int64_t epoch_ns) : epoch_ns_(epoch_ns) {
    std::string section;
    little(section, 0x1a2b3c4d, 4);
    little(section, 1, 2);
    little(section, 0, 2);
    little(section, ~std::uint64_t{0}, 8);
    block(out_, 0x0a0d0d0a, section);
    std::string interface;
    little(interface, linktype_raw, 2);
    little(interface, 0, 2);
    little(interface, 0, 4);
    little(interface, 9, 2);  // if_tsresol: nanoseconds
    little(interface, 1, 2);
    little(interface, 9, 4);
    little(interface, 0, 4);
    block(out_, 1, interface);
  }

  void packet(std::int64_t time_ns, const Endpoint& from, const Endpoint& to, std::uint8_t protocol,
              std::string transport, std::size_t checksum_at) {
    auto bytes = [](const IpAddress& address) {
      return std::string(address.bytes.begin(), address.bytes.begin() + (address.v6 ? 16 : 4));
    };
    std::string addresses = bytes(from.address) + bytes(to.address);
    std::string pseudo = addresses;
    if (from.address.v6) {
      big(pseudo, transport.size(), 4);
      big(pseudo, protocol, 4);
    } else {
      big(pseudo, protocol, 2);
      big(pseudo, transport.size(), 2);
    }
    std::uint16_t sum = checksum({pseudo, transport});
    transport[checksum_at] = static_cast<char>(sum >> 8U);
    transport[checksum_at + 1] = static_cast<char>(sum & 0xffU);
    std::string ip;
    if (from.address.v6) {
      big(ip, 0x60000000, 4);
      big(ip, transport.size(), 2);
      big(ip, protocol, 1);
      big(ip, 64, 1);
      ip += addresses;
    } else {
      big(ip, 0x4500, 2);
      big(ip, 20 + transport.size(), 2);
      big(ip, 0x00004000, 4);
      big(ip, 64, 1);
      big(ip, protocol, 1);
      big(ip, 0, 2);
      ip += addresses;
      std::uint16_t header = checksum({ip});
      ip[10] = static_cast<char>(header >> 8U);
      ip[11] = static_cast<char>(header & 0xffU);
    }
    ip += transport;
    auto time = static_cast<std::uint64_t>(std::max<std::int64_t>(epoch_ns_ + time_ns, 0));
    std::string body;
    little(body, 0, 4);
    little(body, time >> 32U, 4);
    little(body, time & 0xffffffffU, 4);
    little(body, ip.size(), 4);
    little(body, ip.size(), 4);
    block(out_, 6, body + ip);
  }

  void segment(std::int64_t time_ns, const Endpoint& from, const Endpoint& to,
               std::uint32_t sequence, std::uint32_t acknowledged, std::uint8_t flags,
               std::string_view data) {
    std::string transport;
    big(transport, from.port, 2);
    big(transport, to.port, 2);
    big(transport, sequence, 4);
    big(transport, (flags & ack) != 0 ? acknowledged : 0, 4);
    big(transport, 0x5000U | flags, 2);
    big(transport, 65535, 2);
    big(transport, 0, 4);
    packet(time_ns, from, to, tcp, transport + std::string(data), 16);
  }

  void datagram(std::int64_t time_ns, const Endpoint& from, const Endpoint& to,
                std::string_view data) {
    std::string transport;
    big(transport, from.port, 2);
    big(transport, to.port, 2);
    big(transport, 8 + data.size(), 2);
    big(transport, 0, 2);
    packet(time_ns, from, to, udp, transport + std::string(data), 6);
  }

  std::string take() { return std::move(out_); }

 private:
  std::int64_t epoch_ns_;
  std::string out_;
};

void add_connection(Capture& capture, const json& flow, const Endpoint& inside,
                    const Endpoint& outside, std::string_view sent, std::string_view received) {
  std::int64_t time = flow.at("time_ns").get<std::int64_t>();
  std::int64_t end = time + flow.at("duration_ns").get<std::int64_t>();
  std::uint32_t ours = 1000;
  std::uint32_t theirs = 5000;
  capture.segment(time, inside, outside, ours++, 0, syn, {});
  if (flow.at("verdict") == "refused" && sent.empty() && received.empty()) {
    if (flow.at("reason").get<std::string>().find("timeout") == std::string::npos)
      capture.segment(end, outside, inside, 0, ours, rst | ack, {});
    return;
  }
  capture.segment(time, outside, inside, theirs++, ours, syn | ack, {});
  capture.segment(time, inside, outside, ours, theirs, ack, {});
  for (; !sent.empty(); sent.remove_prefix(std::min(segment_bytes, sent.size()))) {
    std::string_view part = sent.substr(0, segment_bytes);
    capture.segment(time, inside, outside, ours, theirs, psh | ack, part);
    ours += static_cast<std::uint32_t>(part.size());
  }
  for (; !received.empty(); received.remove_prefix(std::min(segment_bytes, received.size()))) {
    std::string_view part = received.substr(0, segment_bytes);
    capture.segment(end, outside, inside, theirs, ours, psh | ack, part);
    theirs += static_cast<std::uint32_t>(part.size());
  }
  capture.segment(end, inside, outside, ours++, theirs, fin | ack, {});
  capture.segment(end, outside, inside, theirs++, ours, fin | ack, {});
  capture.segment(end, inside, outside, ours, theirs, ack, {});
}

}  // namespace

Result<std::string> flows_to_pcapng(const std::vector<json>& flows,
                                    const std::filesystem::path& bundle, std::int64_t epoch_ns) {
  Capture capture(epoch_ns);
  for (const json& flow : flows) {
    auto protocol = flow.at("protocol").get<std::string>();
    if (protocol != "tcp" && protocol != "udp") continue;
    Endpoint inside;
    Endpoint outside;
    GYGES_TRY(inside.address, parse_address(flow.at("source").get<std::string>()));
    GYGES_TRY(outside.address, parse_address(flow.at("destination").get<std::string>()));
    if (inside.address.v6 != outside.address.v6) continue;
    inside.port = flow.at("source_port").get<std::uint16_t>();
    outside.port = flow.at("port").get<std::uint16_t>();
    GYGES_TRY(std::string sent, read_body(bundle, flow.value("sent", json::object())));
    GYGES_TRY(std::string received, read_body(bundle, flow.value("received", json::object())));
    if (protocol == "tcp") {
      add_connection(capture, flow, inside, outside, sent, received);
      continue;
    }
    std::int64_t time = flow.at("time_ns").get<std::int64_t>();
    constexpr std::size_t largest = 65000;
    capture.datagram(time, inside, outside, std::string_view(sent).substr(0, largest));
    if (!received.empty())
      capture.datagram(time + flow.at("duration_ns").get<std::int64_t>(), outside, inside,
                       std::string_view(received).substr(0, largest));
  }
  return capture.take();
}

}  // namespace gyges::network
