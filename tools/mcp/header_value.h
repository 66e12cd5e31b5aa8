// Values of Mcp-Name and Mcp-Param-*: plain ASCII, or =?base64?...?= around the UTF-8 bytes
// (2026-07-28, transports, value encoding).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace gyges::mcp {

// nullopt where the marks of base64 are there but what stands between is not base64.
std::optional<std::string> decode_header_value(std::string_view value);

// Standard alphabet, with padding.
std::string base64(std::string_view bytes);

}  // namespace gyges::mcp
