#include "sandbox/network/http/head_rules.h"

#include <algorithm>

namespace gyges::network {
namespace {

using Fault = RequestReader::Fault;

constexpr std::size_t longest_target = 8192;
constexpr std::size_t longest_method = 32;

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

bool is_digits(std::string_view text) {
  return !text.empty() && text.size() <= 18 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::optional<Fault> check_request_line(std::string_view line, RequestHead& out) {
  std::size_t first = line.find(' ');
  std::size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last)
    return Fault{400, "the request line has not three parts"};
  std::string_view method = line.substr(0, first);
  std::string_view target = line.substr(first + 1, last - first - 1);
  std::string_view version = line.substr(last + 1);
  if (!is_token(method) || method.size() > longest_method)
    return Fault{400, "the method is no token"};
  if (target.size() > longest_target) return Fault{414, "the target is over 8192 bytes"};
  for (char c : target)
    if (static_cast<unsigned char>(c) <= 0x20 || static_cast<unsigned char>(c) >= 0x7f)
      return Fault{400, "the target has a space, a control byte or a byte beyond ASCII"};
  if (version != "HTTP/1.1" && version != "HTTP/1.0")
    return Fault{version.starts_with("HTTP/") ? 505 : 400, "the version is not HTTP/1.1 or 1.0"};
  out.method = method;
  out.target = target;
  out.version = version.substr(5);
  return std::nullopt;
}

std::optional<Fault> check_field(std::string_view line, RequestHead& out) {
  if (line.front() == ' ' || line.front() == '\t') return Fault{400, "a header line is folded"};
  std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return Fault{400, "a header line has no colon"};
  std::string_view name = line.substr(0, colon);
  std::string_view value = trimmed(line.substr(colon + 1));
  if (!is_token(name)) return Fault{400, "a header name is no token"};
  for (char c : value)
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f)
      return Fault{400, "a header value has a control byte"};
  if (out.headers.size() == RequestReader::most_fields)
    return Fault{431, "there are more than 100 header fields"};
  out.headers.emplace_back(name, value);
  return std::nullopt;
}

std::optional<Fault> check_target(RequestHead& out) {
  if (out.method == "CONNECT") return std::nullopt;  // answered, never tunnelled
  if (out.target.starts_with('/') || (out.target == "*" && out.method == "OPTIONS"))
    return std::nullopt;
  auto url = parse_url(out.target);
  if (!url || (url->scheme != "http" && url->scheme != "https"))
    return Fault{400, "the target is neither a path nor a URL of http"};
  if (!(url->authority.host == out.authority.host))
    return Fault{400, "the target names another host than the Host header"};
  std::uint16_t usual = url->scheme == "https" ? 443 : 80;
  if (url->authority.port.value_or(usual) != out.authority.port.value_or(usual))
    return Fault{400, "the target names another port than the Host header"};
  out.target = url->target;
  return std::nullopt;
}

std::optional<Fault> check_framing(RequestHead& out) {
  std::size_t lengths = 0;
  std::size_t codings = 0;
  std::size_t hosts = 0;
  std::string_view host;
  for (const auto& [name, value] : out.headers) {
    if (same_field(name, "Content-Length")) {
      ++lengths;
      if (!is_digits(value)) return Fault{400, "Content-Length is no number"};
      out.has_body = value.find_first_not_of('0') != std::string::npos;
    } else if (same_field(name, "Transfer-Encoding")) {
      ++codings;
      if (!same_field(value, "chunked"))
        return Fault{501, "the transfer coding is not chunked alone"};
      out.has_body = true;
    } else if (same_field(name, "Host")) {
      ++hosts;
      host = value;
    } else if (same_field(name, "Expect")) {
      if (!same_field(value, "100-continue")) return Fault{417, "the expectation is unknown"};
      out.expects_continue = true;
    }
  }
  if (lengths > 1) return Fault{400, "Content-Length is there twice"};
  if (codings > 1) return Fault{400, "Transfer-Encoding is there twice"};
  if (lengths > 0 && codings > 0)
    return Fault{400, "there are both Content-Length and Transfer-Encoding"};
  if (codings > 0 && out.version == "1.0") return Fault{400, "HTTP/1.0 has no transfer coding"};
  if (hosts > 1) return Fault{400, "Host is there twice"};
  if (hosts == 0) {
    if (out.version == "1.1") return Fault{400, "there is no Host"};
    return std::nullopt;
  }
  auto authority = parse_authority(host);
  if (!authority) return Fault{400, "Host is no host"};
  out.authority = std::move(*authority);
  return std::nullopt;
}

}  // namespace

std::optional<Fault> check_head(std::string_view head, RequestHead& out) {
  head.remove_suffix(2);  // the empty line
  for (bool first = true; !head.empty(); first = false) {
    std::size_t end = head.find('\n');
    if (end == 0 || end == std::string_view::npos || head[end - 1] != '\r')
      return Fault{400, "a line ends with LF alone"};
    std::string_view line = head.substr(0, end - 1);
    head.remove_prefix(end + 1);
    if (line.find('\r') != std::string_view::npos) return Fault{400, "a line has a CR in it"};
    if (line.empty()) return Fault{400, "there is an empty line in the head"};
    auto fault = first ? check_request_line(line, out) : check_field(line, out);
    if (fault) return fault;
  }
  if (auto fault = check_framing(out)) return fault;
  return check_target(out);
}

}  // namespace gyges::network
