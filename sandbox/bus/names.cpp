#include "sandbox/bus/names.h"

#include <fmt/format.h>

#include <cctype>

namespace gyges::bus {

std::string escaped(std::string_view name) {
  if (name.empty()) return "_";
  std::string label;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const auto c = static_cast<unsigned char>(name[i]);
    const bool plain = (c < 128 && std::isalpha(c) != 0) || (i > 0 && c >= '0' && c <= '9');
    label += plain ? std::string(1, name[i]) : fmt::format("_{:02x}", c);
  }
  return label;
}

std::optional<std::string> unescaped(std::string_view label) {
  if (label == "_") return std::string();
  std::string name;
  for (std::size_t i = 0; i < label.size(); ++i) {
    if (label[i] != '_') {
      name += label[i];
      continue;
    }
    unsigned value = 0;
    for (int digit = 0; digit < 2; ++digit) {
      if (++i >= label.size() || std::isxdigit(static_cast<unsigned char>(label[i])) == 0)
        return std::nullopt;
      const char c = label[i];
      value = value * 16 + static_cast<unsigned>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    name += static_cast<char>(value);
  }
  return name;
}

}  // namespace gyges::bus
