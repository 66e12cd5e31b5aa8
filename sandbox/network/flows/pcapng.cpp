#include "sandbox/network/flows/pcapng.h"

#include <algorithm>
#include <iterator>
#include <map>

#include "base/json.h"
#include "sandbox/network/address.h"
#include "sandbox/network/flows/base64.h"
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
    if (protocol == udp && sum == 0) sum = 0xffff;  // 0 would say that there is none (RFC 768)
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

// One that was said, and when.
struct Said {
  std::int64_t time_ns = 0;
  bool inside = false;  // by the sandbox
  std::string bytes;
};

Result<std::string> message_of(const json& exchange, const char* key) {
  if (!exchange.contains(key)) return std::string();
  auto bytes = from_base64(exchange.at(key).get_ref<const std::string&>());
  if (!bytes) return fail("export flows", std::string("dns.") + key, "it is no base64", "");
  return std::move(*bytes);
}

// What a flow of protocol "dns" holds of its messages.
Status add_dns(const std::filesystem::path& bundle, const json& flow, bool stream,
               std::vector<Said>& all) {
  std::string asked;
  std::string answered;
  if (flow.contains("dns")) {
    GYGES_TRY(asked, message_of(flow.at("dns"), "query"));
    GYGES_TRY(answered, message_of(flow.at("dns"), "response"));
    if (stream)
      for (std::string* message : {&asked, &answered}) {
        std::string length;
        big(length, message->size(), 2);
        if (!message->empty()) message->insert(0, length);
      }
  } else {  // what is no question, as it was on the wire
    GYGES_TRY(asked, read_body(bundle, flow.value("sent", json::object())));
    GYGES_TRY(answered, read_body(bundle, flow.value("received", json::object())));
  }
  const auto time = flow.at("time_ns").get<std::int64_t>();
  const auto duration = flow.at("duration_ns").get<std::int64_t>();
  if (!asked.empty()) all.push_back({time, true, std::move(asked)});
  if (!answered.empty()) all.push_back({time + duration, false, std::move(answered)});
  return ok();
}

// A connection of which everything is there; `said` in the order of time.
void add_connection(Capture& capture, const json& flow, const Endpoint& inside,
                    const Endpoint& outside, const std::vector<Said>& said) {
  std::int64_t time = flow.at("time_ns").get<std::int64_t>();
  std::int64_t end = time + flow.at("duration_ns").get<std::int64_t>();
  std::uint32_t ours = 1000;
  std::uint32_t theirs = 5000;
  capture.segment(time, inside, outside, ours++, 0, syn, {});
  if (flow.at("verdict") == "refused" && said.empty()) {
    if (flow.at("reason").get<std::string>().find("timeout") == std::string::npos)
      capture.segment(end, outside, inside, 0, ours, rst | ack, {});
    return;
  }
  capture.segment(time, outside, inside, theirs++, ours, syn | ack, {});
  capture.segment(time, inside, outside, ours, theirs, ack, {});
  for (const Said& one : said) {
    const std::int64_t then = std::clamp(one.time_ns, time, std::max(time, end));
    for (std::string_view rest = one.bytes; !rest.empty();
         rest.remove_prefix(std::min(segment_bytes, rest.size()))) {
      std::string_view part = rest.substr(0, segment_bytes);
      if (one.inside)
        capture.segment(then, inside, outside, ours, theirs, psh | ack, part);
      else
        capture.segment(then, outside, inside, theirs, ours, psh | ack, part);
      (one.inside ? ours : theirs) += static_cast<std::uint32_t>(part.size());
    }
  }
  capture.segment(end, inside, outside, ours++, theirs, fin | ack, {});
  capture.segment(end, outside, inside, theirs++, ours, fin | ack, {});
  capture.segment(end, inside, outside, ours, theirs, ack, {});
}

}  // namespace

Result<std::string> flows_to_pcapng(const std::vector<json>& flows,
                                    const std::filesystem::path& bundle, std::int64_t epoch_ns) {
  Capture capture(epoch_ns);
  // Exchanges of DNS are flows of their own: on TCP part of their connection, whose line comes when
  // it has ended.
  std::map<std::uint64_t, std::vector<Said>> streams;
  for (const json& flow : flows)
    if (flow.at("protocol") == "tcp") streams[flow.at("connection").get<std::uint64_t>()];
  for (const json& flow : flows)
    if (flow.at("protocol") == "dns")
      if (auto stream = streams.find(flow.at("connection").get<std::uint64_t>());
          stream != streams.end())
        GYGES_CHECK(add_dns(bundle, flow, true, stream->second));
  for (const json& flow : flows) {
    auto protocol = flow.at("protocol").get<std::string>();
    if (protocol != "tcp" && protocol != "udp" && protocol != "dns") continue;
    Endpoint inside;
    Endpoint outside;
    GYGES_TRY(inside.address, parse_address(flow.at("source").get<std::string>()));
    GYGES_TRY(outside.address, parse_address(flow.at("destination").get<std::string>()));
    if (inside.address.v6 != outside.address.v6) continue;
    inside.port = flow.at("source_port").get<std::uint16_t>();
    outside.port = flow.at("port").get<std::uint16_t>();
    const auto connection = flow.at("connection").get<std::uint64_t>();
    if (protocol == "dns" && streams.contains(connection)) continue;
    std::vector<Said> said;
    if (protocol == "dns") {
      GYGES_CHECK(add_dns(bundle, flow, false, said));
    } else {
      const auto time = flow.at("time_ns").get<std::int64_t>();
      GYGES_TRY(std::string sent, read_body(bundle, flow.value("sent", json::object())));
      GYGES_TRY(std::string received, read_body(bundle, flow.value("received", json::object())));
      // A datagram without a byte is one as well.
      const bool datagram = protocol == "udp" && flow.at("sent_bytes") == 0;
      if (!sent.empty() || datagram) said.push_back({time, true, std::move(sent)});
      if (!received.empty())
        said.push_back(
            {time + flow.at("duration_ns").get<std::int64_t>(), false, std::move(received)});
    }
    if (protocol == "tcp") {
      std::vector<Said>& exchanges = streams[connection];
      std::move(exchanges.begin(), exchanges.end(), std::back_inserter(said));
      exchanges.clear();
      std::stable_sort(said.begin(), said.end(),
                       [](const Said& a, const Said& b) { return a.time_ns < b.time_ns; });
      add_connection(capture, flow, inside, outside, said);
      continue;
    }
    constexpr std::size_t largest = 65000;
    for (const Said& one : said)
      capture.datagram(one.time_ns, one.inside ? inside : outside, one.inside ? outside : inside,
                       std::string_view(one.bytes).substr(0, largest));
  }
  return capture.take();
}

}  // namespace gyges::network
