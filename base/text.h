// Text for people, made from bytes that may be hostile.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gyges {

// Valid, printable UTF-8: control characters, escapes, bidi controls and invalid bytes become
// \xNN or \u{N} escapes, so that nothing from inside a sandbox can drive a terminal or forge a
// line.
std::string printable(std::string_view bytes);

// As printable(), in double quotes with " and \ escaped, in the manner of strace.
std::string quoted(std::string_view bytes);
// For strings and literals by name, so that std::quoted is not found instead through the argument.
inline std::string quoted(const std::string& bytes) {
  return quoted(std::string_view(bytes));
}
inline std::string quoted(std::string& bytes) {
  return quoted(std::string_view(bytes));
}
inline std::string quoted(const char* text) {
  return quoted(std::string_view(text));
}

// The bytes as valid UTF-8 for a JSON string: invalid sequences become U+FFFD, all else stays.
std::string valid_utf8(std::string_view bytes);

std::vector<std::string> split(std::string_view text, char separator);
std::string join(const std::vector<std::string>& parts, std::string_view separator);

}  // namespace gyges
