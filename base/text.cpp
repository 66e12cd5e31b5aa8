#include "base/text.h"

#include <fmt/format.h>

#include <cstdint>

namespace gyges {
namespace {

struct Decoded {
  char32_t point = 0;
  std::size_t length = 0;  // 0: the first byte starts no valid sequence
};

// One UTF-8 sequence at the start of `bytes`; overlong forms, surrogates and values past U+10FFFF
// are invalid.
Decoded decode(std::string_view bytes) {
  auto at = [&](std::size_t i) { return static_cast<std::uint8_t>(bytes[i]); };
  std::uint8_t lead = at(0);
  if (lead < 0x80) return {lead, 1};
  std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 0;
  if (length == 0 || lead > 0xF4 || bytes.size() < length) return {};
  char32_t point = lead & (0xFFU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xC0U) != 0x80U) return {};
    point = (point << 6U) | (at(i) & 0x3FU);
  }
  static constexpr char32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (point < smallest[length] || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF))
    return {};
  return {point, length};
}

bool drives_terminal(char32_t point) {
  return point < 0x20 || (point >= 0x7F && point < 0xA0) || (point >= 0x200B && point <= 0x200F) ||
         (point >= 0x2028 && point <= 0x202E) || (point >= 0x2060 && point <= 0x206F) ||
         point == 0xFEFF || (point >= 0xFFF9 && point <= 0xFFFB) || (point >= 0xE0000);
}

std::string escaped(std::string_view bytes, bool in_quotes) {
  std::string text;
  text.reserve(bytes.size() + 2);
  while (!bytes.empty()) {
    Decoded next = decode(bytes);
    if (next.length == 0) {
      text += fmt::format("\\x{:02x}", static_cast<std::uint8_t>(bytes[0]));
      bytes.remove_prefix(1);
      continue;
    }
    if (next.point == '\n') {
      text += "\\n";
    } else if (next.point == '\t') {
      text += "\\t";
    } else if (next.point == '\r') {
      text += "\\r";
    } else if (in_quotes && (next.point == '"' || next.point == '\\')) {
      text += '\\';
      text += static_cast<char>(next.point);
    } else if (drives_terminal(next.point)) {
      text += next.point < 0x80 ? fmt::format("\\x{:02x}", static_cast<unsigned>(next.point))
                                : fmt::format("\\u{{{:x}}}", static_cast<unsigned>(next.point));
    } else {
      text += bytes.substr(0, next.length);
    }
    bytes.remove_prefix(next.length);
  }
  return text;
}

}  // namespace

std::string printable(std::string_view bytes) {
  return escaped(bytes, false);
}

std::string quoted(std::string_view bytes) {
  return "\"" + escaped(bytes, true) + "\"";
}

std::string valid_utf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    Decoded next = decode(bytes);
    if (next.length == 0) {
      text += "\xEF\xBF\xBD";
      bytes.remove_prefix(1);
    } else {
      text += bytes.substr(0, next.length);
      bytes.remove_prefix(next.length);
    }
  }
  return text;
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (;;) {
    auto at = text.find(separator);
    parts.emplace_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string text;
  for (const auto& part : parts) {
    if (!text.empty()) text += separator;
    text += part;
  }
  return text;
}

}  // namespace gyges
