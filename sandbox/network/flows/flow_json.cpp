#include "sandbox/network/flows/flow_json.h"

#include <algorithm>
#include <charconv>
#include <concepts>

#include "base/text.h"
#include "sandbox/network/flows/base64.h"

namespace gyges::network {
namespace {

using Headers = std::vector<std::pair<std::string, std::string>>;

class LineWriter {
 public:
  void open(char bracket) {
    separate();
    line_ += bracket;
    first_ = true;
  }
  void close(char bracket) {
    line_ += bracket;
    first_ = false;
  }
  void key(std::string_view name) {
    separate();
    line_ += '"';
    line_ += name;
    line_ += "\":";
    first_ = true;  // its value follows without a comma
  }
  void text(std::string_view bytes) {
    separate();
    line_ += '"';
    bool plain = std::all_of(bytes.begin(), bytes.end(), [](unsigned char c) {
      return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
    });
    if (plain)
      line_ += bytes;
    else
      escape(valid_utf8(bytes));
    line_ += '"';
  }
  void number(std::integral auto value) {
    separate();
    char digits[24];
    line_.append(digits, std::to_chars(digits, digits + sizeof(digits), value).ptr);
  }
  void member(std::string_view name, std::string_view value) {
    key(name);
    text(value);
  }
  void member(std::string_view name, std::integral auto value) {
    key(name);
    number(value);
  }
  [[nodiscard]] std::string take() { return std::move(line_); }

 private:
  void separate() {
    if (!first_) line_ += ',';
    first_ = false;
  }
  void escape(const std::string& bytes) {
    constexpr char digits[] = "0123456789abcdef";
    for (char c : bytes) {
      auto byte = static_cast<unsigned char>(c);
      if (c == '"' || c == '\\') {
        line_ += '\\';
        line_ += c;
      } else if (byte < 0x20 || byte == 0x7f) {
        line_ += "\\u00";
        line_ += digits[byte >> 4U];
        line_ += digits[byte & 15U];
      } else {
        line_ += c;
      }
    }
  }
  std::string line_;
  bool first_ = true;
};

void write_headers(LineWriter& line, std::string_view name, const Headers& headers) {
  line.key(name);
  line.open('[');
  for (const auto& [key, value] : headers) {
    line.open('[');
    line.text(key);
    line.text(value);
    line.close(']');
  }
  line.close(']');
}

Status write_body(LineWriter& line, std::string_view name, const FlowBody& body,
                  const StoreBody& store) {
  if (body.size == 0 && body.head.empty()) return ok();
  line.key(name);
  line.open('{');
  line.member("size", body.size);
  if (!body.sha256.empty()) line.member("sha256", body.sha256);
  if (!body.head.empty()) {
    GYGES_TRY(std::string blob, store(body.head));
    line.member("blob", blob);
    line.member("stored", body.head.size());
  }
  line.close('}');
  return ok();
}

void write_endpoints(LineWriter& line, const Flow& flow) {
  line.member("source", to_string(flow.source.address));
  line.member("source_port", flow.source.port);
  line.member("destination", to_string(flow.destination.address));
  line.member("port", flow.destination.port);
  line.member("name", flow.name);
}

Status write_http(LineWriter& line, const HttpExchange& http, const StoreBody& store) {
  line.key("http");
  line.open('{');
  line.member("version", http.version);
  line.member("method", http.method);
  line.member("url", http.url);
  write_headers(line, "request_headers", http.request_headers);
  line.member("status", std::clamp(http.status, 0, 999));
  write_headers(line, "response_headers", http.response_headers);
  GYGES_CHECK(write_body(line, "request_body", http.request_body, store));
  GYGES_CHECK(write_body(line, "response_body", http.response_body, store));
  line.close('}');
  return ok();
}

void write_dns(LineWriter& line, const DnsExchange& dns) {
  line.key("dns");
  line.open('{');
  line.member("name", dns.name);
  line.member("type", dns.type);
  line.member("code", dns.code);
  line.key("answers");
  line.open('[');
  for (const std::string& answer : dns.answers) line.text(answer);
  line.close(']');
  if (!dns.query.empty()) line.member("query", to_base64(dns.query));
  if (!dns.response.empty()) line.member("response", to_base64(dns.response));
  line.close('}');
}

void write_canaries(LineWriter& line, const std::vector<CanaryHit>& canaries) {
  if (canaries.empty()) return;
  line.key("canaries");
  line.open('[');
  for (const CanaryHit& hit : canaries) {
    line.open('{');
    line.member("canary", hit.canary);
    line.member("encoding", hit.encoding);
    line.member("place", hit.place);
    line.member("evidence", hit.evidence);
    line.close('}');
  }
  line.close(']');
}

}  // namespace

Result<std::string> flow_line(const Flow& flow, const StoreBody& store) {
  LineWriter line;
  line.open('{');
  line.member("time_ns", std::max<std::int64_t>(flow.time_ns, 0));
  line.member("duration_ns", std::max<std::int64_t>(flow.duration_ns, 0));
  line.member("connection", flow.connection);
  if (flow.socket != 0) line.member("socket", flow.socket);
  line.member("protocol", to_string(flow.protocol));
  write_endpoints(line, flow);
  line.member("verdict", to_string(flow.verdict));
  line.member("rule", flow.rule);
  line.member("reason", flow.reason);
  line.member("pid", flow.pid);
  line.member("tool_call", flow.tool_call);
  line.member("attribution", flow.attribution.empty() ? std::string_view("none")
                                                      : std::string_view(flow.attribution));
  line.member("attempts", flow.attempts);
  line.member("sent_bytes", flow.sent_bytes);
  line.member("received_bytes", flow.received_bytes);
  if (flow.dialled.port != 0) line.member("dialled", to_string(flow.dialled));
  if (!flow.sni.empty()) line.member("sni", flow.sni);
  if (!flow.alpn.empty()) line.member("alpn", flow.alpn);
  if (!flow.tls.empty()) line.member("tls", flow.tls);
  if (flow.http) GYGES_CHECK(write_http(line, *flow.http, store));
  if (flow.dns) write_dns(line, *flow.dns);
  GYGES_CHECK(write_body(line, "sent", flow.sent, store));
  GYGES_CHECK(write_body(line, "received", flow.received, store));
  write_canaries(line, flow.canaries);
  line.close('}');
  std::string text = line.take();
  text += '\n';
  return text;
}

}  // namespace gyges::network
