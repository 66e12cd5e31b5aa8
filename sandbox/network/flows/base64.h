// Base64 of RFC 4648 section 4, with padding. Without a library: libcrypto is loaded on demand.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace gyges::network {

std::string to_base64(std::string_view bytes);
// nullopt: it is none, to the last bit.
std::optional<std::string> from_base64(std::string_view text);

}  // namespace gyges::network
