#include "tools/mcp/header_value.h"

#include <cstdint>

namespace gyges::mcp {
namespace {

constexpr std::string_view alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view opening = "=?base64?";
constexpr std::string_view closing = "?=";

}  // namespace

std::string base64(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t three = 0;
    std::size_t n = bytes.size() - i < 3 ? bytes.size() - i : 3;
    for (std::size_t k = 0; k < 3; ++k)
      three = (three << 8U) | (k < n ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    for (std::size_t k = 0; k < 4; ++k)
      text += k <= n ? alphabet[(three >> (18 - 6 * k)) & 63U] : '=';
  }
  return text;
}

std::optional<std::string> decode_header_value(std::string_view value) {
  if (!value.starts_with(opening) || !value.ends_with(closing) ||
      value.size() < opening.size() + closing.size())
    return std::string(value);
  value.remove_prefix(opening.size());
  value.remove_suffix(closing.size());
  if (value.size() % 4 != 0) return std::nullopt;
  std::size_t padding = value.ends_with("==") ? 2 : value.ends_with("=") ? 1 : 0;
  value.remove_suffix(padding);
  std::string bytes;
  std::uint32_t bits = 0;
  int held = 0;
  for (char c : value) {
    std::size_t digit = alphabet.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    bits = (bits << 6U) | static_cast<std::uint32_t>(digit);
    held += 6;
    if (held >= 8) {
      held -= 8;
      bytes += static_cast<char>((bits >> held) & 0xffU);
    }
  }
  if ((bits & ((1U << held) - 1U)) != 0) return std::nullopt;
  return bytes;
}

}  // namespace gyges::mcp
