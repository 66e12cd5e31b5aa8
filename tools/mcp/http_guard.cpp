#include "tools/mcp/http_guard.h"

#include <algorithm>
#include <cctype>

namespace gyges::mcp {
namespace {

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

// "name", "name:80", "[::1]", "[::1]:80" without the port; empty where it is none of these.
std::string_view without_port(std::string_view host) {
  std::size_t end = host.starts_with('[') ? host.find(']') : host.find(':');
  if (host.starts_with('[')) {
    if (end == std::string_view::npos) return {};
    ++end;
  }
  std::string_view port = end < host.size() ? host.substr(end) : std::string_view();
  if (!port.empty() &&
      (port[0] != ':' || port.size() > 6 ||
       !std::all_of(port.begin() + 1, port.end(), [](char c) { return c >= '0' && c <= '9'; })))
    return {};
  return host.substr(0, end);
}

}  // namespace

HttpGuard::HttpGuard(std::vector<std::string> hosts, std::vector<std::string> origins,
                     std::string token)
    : hosts_(std::move(hosts)), origins_(std::move(origins)), token_(std::move(token)) {
  for (const char* name : {"localhost", "127.0.0.1", "[::1]"}) hosts_.emplace_back(name);
  for (std::string& host : hosts_) host = lower(host);
}

bool HttpGuard::host_allowed(std::string_view host) const {
  std::string name = lower(without_port(host));
  return !name.empty() && std::find(hosts_.begin(), hosts_.end(), name) != hosts_.end();
}

bool HttpGuard::origin_allowed(std::optional<std::string_view> origin) const {
  if (!origin) return true;
  if (std::find(origins_.begin(), origins_.end(), *origin) != origins_.end()) return true;
  for (std::string_view scheme : {"http://", "https://"})
    if (origin->starts_with(scheme)) return host_allowed(origin->substr(scheme.size()));
  return false;
}

bool HttpGuard::token_allowed(std::optional<std::string_view> authorization) const {
  if (token_.empty()) return true;
  if (!authorization) return false;
  constexpr std::string_view scheme = "bearer ";
  if (lower(authorization->substr(0, scheme.size())) != scheme) return false;
  std::string_view given = authorization->substr(scheme.size());
  unsigned difference = given.size() == token_.size() ? 0 : 1;
  for (std::size_t i = 0; i < token_.size(); ++i)
    difference |= static_cast<unsigned char>(token_[i]) ^
                  static_cast<unsigned char>(i < given.size() ? given[i] : '\0');
  return difference == 0;
}

}  // namespace gyges::mcp
