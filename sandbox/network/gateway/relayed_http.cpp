#include "sandbox/network/gateway/relayed_http.h"

#include <boost/beast/core/string.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <limits>

#include "sandbox/network/http/web_record.h"

namespace gyges::network {
namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;
using boost::beast::string_view;

constexpr std::size_t most_head_bytes = 65536;
constexpr std::size_t most_line_bytes = 4096;  // between chunks
constexpr std::size_t most_fields = 200;

}  // namespace

class RelayedHttp::Parser : public http::basic_parser<false> {
 public:
  Parser(HttpExchange& exchange, BodyRecord& body) : exchange_(exchange), body_(body) {
    header_limit(static_cast<std::uint32_t>(most_head_bytes));
    // Not boost::none: Beast 1.74 compares a length with the optional, and no limit is below all.
    body_limit(std::numeric_limits<std::uint64_t>::max());
    eager(true);
    skip(exchange.method == "HEAD");
  }

 private:
  void on_request_impl(http::verb, string_view, string_view, int, error_code&) override {}
  void on_response_impl(int status, string_view, int, error_code&) override {
    exchange_.status = status;
  }
  void on_field_impl(http::field, string_view name, string_view value, error_code&) override {
    if (exchange_.response_headers.size() < most_fields)
      exchange_.response_headers.emplace_back(std::string(name), std::string(value));
  }
  void on_header_impl(error_code&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t keep(string_view body) {
    std::vector<CanaryHit> none;
    body_.feed({body.data(), body.size()}, none);
    return body.size();
  }
  std::size_t on_body_impl(string_view body, error_code&) override { return keep(body); }
  void on_chunk_header_impl(std::uint64_t, string_view, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, string_view body, error_code&) override {
    return keep(body);
  }
  void on_finish_impl(error_code&) override {}

  HttpExchange& exchange_;
  BodyRecord& body_;
};

RelayedHttp::RelayedHttp(std::function<void(Flow)> record, std::uint64_t body_bytes, Search search,
                         const TlsFacts* tls, BodyRecord::Hash hash)
    : record_(std::move(record)), body_bytes_(body_bytes), search_(search), hash_(hash) {
  if (tls != nullptr) tls_ = *tls;
}
RelayedHttp::~RelayedHttp() = default;

Flow RelayedHttp::flow_of(const RequestHead& head, std::int64_t now_ns) {
  Flow flow;
  flow.time_ns = now_ns;
  flow.protocol = FlowProtocol::http;
  flow.verdict = FlowVerdict::relayed;
  flow.name = head.authority.host.text;
  flow.http.emplace();
  flow.http->version = head.version;
  flow.http->method = head.method;
  flow.http->request_headers = head.headers;
  if (tls_) {
    flow.sni = tls_->sni;
    flow.alpn = tls_->alpn;
    flow.tls = tls_->version;
  }
  std::string host = head.authority.host.text;
  if (host.empty() && tls_) host = tls_->sni;
  if (host.find(':') != std::string::npos) host = "[" + host + "]";
  if (head.authority.port) host += ":" + std::to_string(*head.authority.port);
  flow.http->url =
      head.method == "CONNECT" ? head.target : (tls_ ? "https://" : "http://") + host + head.target;
  search_request(search_.canaries, search_.split, head, flow.canaries);
  return flow;
}

bool RelayedHttp::request(const RequestHead& head, std::int64_t now_ns) {
  if (pending_.size() >= most_pending) return false;
  pending_.push_back({flow_of(head, now_ns),
                      BodyRecord(body_bytes_, &search_.canaries, "http request body", hash_),
                      BodyRecord(body_bytes_, nullptr, {}, hash_)});
  return true;
}

void RelayedHttp::refused(const RequestHead& head, const std::string& reason, std::int64_t now_ns) {
  Flow flow = flow_of(head, now_ns);
  flow.verdict = FlowVerdict::refused;
  flow.reason = reason;
  record_(std::move(flow));
}

void RelayedHttp::passed() {
  for (Exchange& exchange : pending_) exchange.passed = true;
}

void RelayedHttp::request_trailer(std::string_view name, std::string_view value) {
  if (pending_.empty()) return;
  Flow& flow = pending_.back().flow;
  flow.http->request_headers.emplace_back(name, value);
  search_trailer(search_.canaries, name, value, flow.canaries);
}

void RelayedHttp::request_extension(std::string_view text) {
  if (!pending_.empty()) search_extension(search_.canaries, text, pending_.back().flow.canaries);
}

void RelayedHttp::request_body(std::string_view bytes) {
  if (pending_.empty()) return;
  Exchange& last = pending_.back();
  last.flow.sent_bytes += bytes.size();
  last.sent.feed(bytes, last.flow.canaries);
}

void RelayedHttp::response(std::string_view bytes, std::int64_t now_ns) {
  if (lost_ || pending_.empty()) return;
  buffer_ += bytes;
  while (!buffer_.empty() && !pending_.empty()) {
    if (!parser_ && buffer_.find("\r\n\r\n") == std::string::npos &&
        buffer_.size() < most_head_bytes)
      return;
    if (!parser_)
      parser_ = std::make_unique<Parser>(*pending_.front().flow.http, pending_.front().received);
    error_code code;
    std::size_t used = parser_->put(boost::asio::buffer(buffer_.data(), buffer_.size()), code);
    buffer_.erase(0, used);
    bool waits = code == http::error::need_more || (!code && used == 0);
    if ((code && !waits) || (waits && buffer_.size() > most_line_bytes)) {
      lost_ = true;
      pending_.front().flow.reason = "the answer is no HTTP that could be read";
      buffer_ = {};
      return;
    }
    if (parser_->is_done()) {
      parser_.reset();
      HttpExchange& exchange = *pending_.front().flow.http;
      constexpr int switching = 101;
      if (exchange.status >= 200) {
        complete(now_ns, true);
      } else if (exchange.status == switching) {  // what follows is another protocol
        lost_ = true;
        complete(now_ns, true);
        buffer_ = {};
        return;
      } else {  // an interim answer: the true one follows
        exchange.status = 0;
        exchange.response_headers.clear();
      }
    } else if (waits) {
      return;
    }
  }
}

void RelayedHttp::server_ended(std::int64_t now_ns) {
  if (!parser_ || pending_.empty()) return;
  error_code code;
  parser_->put_eof(code);
  const bool whole = !code && parser_->is_done();
  parser_.reset();
  if (whole) complete(now_ns, true);
}

void RelayedHttp::complete(std::int64_t now_ns, bool whole) {
  Exchange& first = pending_.front();
  Flow flow = std::move(first.flow);
  flow.duration_ns = now_ns - flow.time_ns;
  flow.received_bytes = first.received.size();
  flow.http->request_body = first.sent.finish(whole);
  flow.http->response_body = first.received.finish(whole);
  pending_.pop_front();
  record_(std::move(flow));
}

void RelayedHttp::finish(std::int64_t now_ns, const std::string& reason) {
  parser_.reset();
  while (!pending_.empty()) {
    Exchange& first = pending_.front();
    if (!first.passed) first.flow.verdict = FlowVerdict::refused;
    if (first.flow.reason.empty()) first.flow.reason = reason;
    complete(now_ns, false);
  }
}

}  // namespace gyges::network
