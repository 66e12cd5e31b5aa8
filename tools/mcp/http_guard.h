// Who may speak to an MCP server over HTTP. A page in the user's browser can send requests to
// 127.0.0.1, and by DNS rebinding under a name of its own (CVE-2025-66414 and others): so the names
// in Host and Origin are checked, before anything else of a request is read.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gyges::mcp {

// Immutable; thread-safe.
class HttpGuard {
 public:
  // Names without port that Host and Origin may have beside localhost, 127.0.0.1 and [::1]; whole
  // origins ("https://app.example.com"); a bearer token, empty: none is asked for.
  HttpGuard(std::vector<std::string> hosts, std::vector<std::string> origins, std::string token);

  [[nodiscard]] bool host_allowed(std::string_view host) const;
  // Absent for programs that are no browsers.
  [[nodiscard]] bool origin_allowed(std::optional<std::string_view> origin) const;
  // `authorization` is the header's value. Takes the same time whatever the token.
  [[nodiscard]] bool token_allowed(std::optional<std::string_view> authorization) const;

 private:
  std::vector<std::string> hosts_;
  std::vector<std::string> origins_;
  std::string token_;
};

}  // namespace gyges::mcp
