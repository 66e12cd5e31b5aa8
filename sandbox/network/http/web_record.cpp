#include "sandbox/network/http/web_record.h"

#include <algorithm>
#include <ctime>

namespace gyges::network {
namespace {

constexpr std::size_t most_recorded_head = 4096;

// The parts of a target that a client fills with data: the last segment of the path and the values
// of the query.
std::string data_of(std::string_view target) {
  std::size_t mark = target.find('?');
  std::string_view path = target.substr(0, mark);
  std::string data(path.substr(path.rfind('/') + 1));
  if (mark == std::string_view::npos) return data;
  for (std::string_view query = target.substr(mark + 1); !query.empty();) {
    std::string_view pair = query.substr(0, query.find('&'));
    std::size_t equals = pair.find('=');
    data += equals == std::string_view::npos ? pair : pair.substr(equals + 1);
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
  }
  return data;
}

// What every client sends, and what has no data of the sandbox's.
bool is_usual(std::string_view name) {
  static constexpr std::string_view all[] = {
      "host",         "user-agent", "accept",          "connection",      "content-length",
      "content-type", "expect",     "accept-encoding", "accept-language", "transfer-encoding"};
  return std::any_of(std::begin(all), std::end(all),
                     [name](std::string_view usual) { return same_field(usual, name); });
}

}  // namespace

void search_request(const CanarySet& canaries, SplitCanaries& split, const RequestHead& head,
                    std::vector<CanaryHit>& hits) {
  if (canaries.empty()) return;
  const std::size_t before = hits.size();
  find_canaries(canaries, head.target, "http url", hits);
  find_canaries(canaries, head.method, "http method", hits);
  std::string own;  // the fields that say something of the client's choice, one after the other
  for (const auto& [name, value] : head.headers) {
    find_canaries(canaries, value, "http header " + name, hits);
    // A name can carry data as well as a value.
    find_canaries(canaries, name, "http header name", hits);
    if (!is_usual(name)) own += value;
  }
  if (hits.size() > before) return;
  const std::string& host = head.authority.host.text;
  split.feed("url of " + host, data_of(head.target), "http urls", hits);
  if (hits.size() == before) split.feed("headers to " + host, own, "http headers", hits);
  if (hits.size() > before) return;
  find_canaries(canaries, own, "http headers", hits);
  for (std::size_t i = before; i < hits.size(); ++i)
    hits[i].encoding = "split over headers, " + hits[i].encoding;
}

void search_trailer(const CanarySet& canaries, std::string_view name, std::string_view value,
                    std::vector<CanaryHit>& hits) {
  find_canaries(canaries, value, "http trailer " + std::string(name), hits);
  find_canaries(canaries, name, "http trailer name", hits);
}

void search_extension(const CanarySet& canaries, std::string_view text,
                      std::vector<CanaryHit>& hits) {
  find_canaries(canaries, text, "http chunk extension", hits);
}

WebRecord::WebRecord(const WebShared& shared, const TlsFacts* tls)
    : shared_(shared), body_(shared.body_bytes, &shared.canaries, "http request body") {
  flow_.protocol = FlowProtocol::http;
  flow_.verdict = FlowVerdict::simulated;
  if (tls == nullptr) return;
  flow_.sni = tls->sni;
  flow_.alpn = tls->alpn;
  flow_.tls = tls->version;
}

void WebRecord::request(const RequestHead& head, std::int64_t now_ns) {
  has_request_ = true;
  flow_.time_ns = now_ns;
  flow_.http.emplace();
  flow_.http->version = head.version;
  flow_.http->method = head.method;
  flow_.http->request_headers = head.headers;
  if (!head.authority.host.text.empty()) flow_.name = head.authority.host.text;
  std::string host = head.authority.host.text;
  if (head.authority.host.address && head.authority.host.address->v6) host = "[" + host + "]";
  if (head.authority.port) host += ":" + std::to_string(*head.authority.port);
  flow_.http->url = head.method == "CONNECT"
                        ? head.target
                        : (flow_.tls.empty() ? "http://" : "https://") + host + head.target;
  search_request(shared_.canaries, shared_.split, head, flow_.canaries);
}

void WebRecord::trailer(std::string_view name, std::string_view value) {
  if (!flow_.http) return;
  flow_.http->request_headers.emplace_back(name, value);
  search_trailer(shared_.canaries, name, value, flow_.canaries);
}

void WebRecord::extension(std::string_view text) {
  search_extension(shared_.canaries, text, flow_.canaries);
}

void WebRecord::body(std::string_view bytes) {
  body_.feed(bytes, flow_.canaries);
}

void WebRecord::request_ended(bool whole) {
  if (!flow_.http) return;
  constexpr std::size_t most_piece = 4096;
  if (flow_.canaries.empty() && body_.size() > 0 && body_.size() <= most_piece)
    shared_.split.feed("body to " + flow_.name, body_.head(), "http request bodies",
                       flow_.canaries);
  flow_.sent_bytes = body_.size();
  flow_.http->request_body = body_.finish(whole);
}

void WebRecord::response(const WebResponse& response, std::string_view sent_body) {
  answer(response.status, response.headers);
  answer_body(sent_body);
  answer_ended(true);
  if (!response.reason.empty()) {
    flow_.reason = response.reason;
    flow_.verdict = FlowVerdict::refused;
  }
}

void WebRecord::answer(int status, const Headers& headers) {
  if (!flow_.http) flow_.http.emplace();
  flow_.http->status = status;
  flow_.http->response_headers = headers;
  answer_.emplace(shared_.body_bytes, nullptr, std::string());
}

void WebRecord::answer_body(std::string_view bytes) {
  if (!answer_) return;
  std::vector<CanaryHit> none;
  answer_->feed(bytes, none);
  flow_.received_bytes += bytes.size();
}

void WebRecord::answer_ended(bool whole) {
  if (!answer_ || !flow_.http) return;
  flow_.http->response_body = answer_->finish(whole);
  answer_.reset();
}

std::string_view WebRecord::refused(std::string_view bytes, std::string reason) {
  flow_.verdict = FlowVerdict::refused;
  flow_.reason = std::move(reason);
  flow_.sent.head = bytes.substr(0, most_recorded_head);
  flow_.sent.size = bytes.size();
  // Nobody knows what it is, so it is looked into like a body.
  if (!bytes.empty())
    CanaryStream(shared_.canaries, "malformed http request").feed(bytes, flow_.canaries);
  return bytes.substr(flow_.sent.head.size());
}

void WebRecord::left(std::string reason) {
  flow_.reason = std::move(reason);
}

Flow WebRecord::finish(std::int64_t now_ns) {
  if (flow_.time_ns != 0) flow_.duration_ns = now_ns - flow_.time_ns;
  return std::move(flow_);
}

const std::string& http_date() {
  static std::time_t last = 0;
  static std::string text;
  std::time_t now = std::time(nullptr);
  if (now == last) return text;
  last = now;
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char buffer[64];
  std::size_t size = std::strftime(buffer, sizeof buffer, "%a, %d %b %Y %H:%M:%S GMT", &parts);
  text.assign(buffer, size);
  return text;
}

}  // namespace gyges::network
