#include "sandbox/network/flow.h"

#include <fmt/format.h>

#include <cstring>
#include <type_traits>

namespace gyges::network {

std::string_view to_string(FlowProtocol protocol) {
  constexpr std::array<std::string_view, 9> names{"tcp",  "udp",  "icmp", "dns",  "tls",
                                                  "http", "smtp", "ntp",  "other"};
  return names[static_cast<std::size_t>(protocol)];
}

std::string_view to_string(FlowVerdict verdict) {
  constexpr std::array<std::string_view, 4> names{"refused", "simulated", "relayed", "sunk"};
  return names[static_cast<std::size_t>(verdict)];
}

namespace {

constexpr std::uint32_t max_items = 4096;  // of any list

// One description of the layout serves both directions: Writer and Reader are called with the same
// fields in the same order.
class Writer {
 public:
  template <class Number>
  requires std::is_arithmetic_v<Number>
  void operator()(Number& value) {
    bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  void operator()(std::string& text) {
    auto size = static_cast<std::uint32_t>(text.size());
    (*this)(size);
    bytes += text;
  }
  template <class Item>
  void list(std::vector<Item>& items) {
    auto size = static_cast<std::uint32_t>(std::min<std::size_t>(items.size(), max_items));
    (*this)(size);
  }
  [[maybe_unused]] static constexpr bool reading = false;
  std::string bytes;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  template <class Number>
  requires std::is_arithmetic_v<Number>
  void operator()(Number& value) {
    if (bytes_.size() < sizeof(value)) return refuse();
    std::memcpy(&value, bytes_.data(), sizeof(value));
    bytes_.remove_prefix(sizeof(value));
  }
  void operator()(std::string& text) {
    std::uint32_t size = 0;
    (*this)(size);
    if (size > bytes_.size()) return refuse();
    text.assign(bytes_.substr(0, size));
    bytes_.remove_prefix(size);
  }
  template <class Item>
  void list(std::vector<Item>& items) {
    std::uint32_t size = 0;
    (*this)(size);
    // Every item has at least its own length field of four bytes.
    if (size > max_items || size > bytes_.size() / 4) return refuse();
    items.resize(size);
  }
  [[nodiscard]] bool whole() const { return !broken_ && bytes_.empty(); }
  [[maybe_unused]] static constexpr bool reading = true;

 private:
  void refuse() {
    broken_ = true;
    bytes_ = {};
  }
  std::string_view bytes_;
  bool broken_ = false;
};

template <class Codec>
void fields(Codec& codec, Endpoint& endpoint) {
  auto v6 = static_cast<std::uint8_t>(endpoint.address.v6 ? 1 : 0);
  codec(v6);
  endpoint.address.v6 = v6 == 1;
  for (std::uint8_t& byte : endpoint.address.bytes) codec(byte);
  codec(endpoint.port);
}

template <class Codec>
void fields(Codec& codec, FlowBody& body) {
  codec(body.head);
  codec(body.size);
  codec(body.sha256);
}

template <class Codec>
void fields(Codec& codec, std::vector<std::pair<std::string, std::string>>& headers) {
  codec.list(headers);
  std::size_t count = 0;
  for (auto& [name, value] : headers) {
    if (++count > max_items) break;
    codec(name);
    codec(value);
  }
}

template <class Codec>
void fields(Codec& codec, HttpExchange& http) {
  codec(http.version);
  codec(http.method);
  codec(http.url);
  fields(codec, http.request_headers);
  fields(codec, http.request_body);
  codec(http.status);
  fields(codec, http.response_headers);
  fields(codec, http.response_body);
}

template <class Codec>
void fields(Codec& codec, DnsExchange& dns) {
  codec(dns.name);
  codec(dns.type);
  codec(dns.code);
  codec.list(dns.answers);
  std::size_t count = 0;
  for (std::string& answer : dns.answers)
    if (++count <= max_items) codec(answer);
  codec(dns.query);
  codec(dns.response);
}

template <class Codec>
void fields(Codec& codec, std::vector<CanaryHit>& hits) {
  codec.list(hits);
  std::size_t count = 0;
  for (CanaryHit& hit : hits) {
    if (++count > max_items) break;
    codec(hit.canary);
    codec(hit.encoding);
    codec(hit.place);
    codec(hit.evidence);
  }
}

template <class Codec, class Enum>
void enumerator(Codec& codec, Enum& value, Enum last) {
  auto number = static_cast<std::uint8_t>(value);
  codec(number);
  value = number <= static_cast<std::uint8_t>(last) ? static_cast<Enum>(number) : last;
}

template <class Codec, class Value>
void optional(Codec& codec, std::optional<Value>& value) {
  auto there = static_cast<std::uint8_t>(value ? 1 : 0);
  codec(there);
  if (there != 1) return;
  if (!value) value.emplace();
  fields(codec, *value);
}

template <class Codec>
void fields(Codec& codec, Flow& flow) {
  codec(flow.time_ns);
  codec(flow.duration_ns);
  codec(flow.connection);
  codec(flow.socket);
  enumerator(codec, flow.protocol, FlowProtocol::other);
  fields(codec, flow.source);
  fields(codec, flow.destination);
  codec(flow.name);
  enumerator(codec, flow.verdict, FlowVerdict::sunk);
  codec(flow.rule);
  codec(flow.reason);
  fields(codec, flow.dialled);
  codec(flow.sni);
  codec(flow.alpn);
  codec(flow.tls);
  codec(flow.sent_bytes);
  codec(flow.received_bytes);
  codec(flow.attempts);
  optional(codec, flow.http);
  optional(codec, flow.dns);
  fields(codec, flow.sent);
  fields(codec, flow.received);
  fields(codec, flow.canaries);
}

}  // namespace

std::string encode_flow(const Flow& flow) {
  Writer writer;
  fields(writer, const_cast<Flow&>(flow));  // the codec takes references for both directions
  return std::move(writer.bytes);
}

Result<Flow> decode_flow(std::string_view bytes) {
  if (bytes.size() > max_flow_bytes)
    return fail("read flow", "", fmt::format("{} bytes are more than a flow has", bytes.size()));
  Flow flow;
  Reader reader(bytes);
  fields(reader, flow);
  if (!reader.whole()) return fail("read flow", "", "the record is malformed");
  return flow;
}

}  // namespace gyges::network
