#include "sandbox/network/names/punycode.h"

#include <cstdint>

namespace gyges::network {
namespace {

// The parameters of RFC 3492 section 5.
constexpr std::uint32_t base = 36;
constexpr std::uint32_t t_min = 1;
constexpr std::uint32_t t_max = 26;
constexpr std::uint32_t skew = 38;
constexpr std::uint32_t damp = 700;
constexpr std::uint32_t initial_bias = 72;
constexpr std::uint32_t initial_n = 0x80;

std::uint32_t digit_value(char c) {
  if (c >= 'a' && c <= 'z') return static_cast<std::uint32_t>(c - 'a');
  if (c >= '0' && c <= '9') return static_cast<std::uint32_t>(c - '0') + 26;
  return base;
}

std::uint32_t adapt(std::uint32_t delta, std::uint32_t points, bool first) {
  delta = first ? delta / damp : delta / 2;
  delta += delta / points;
  std::uint32_t k = 0;
  for (; delta > ((base - t_min) * t_max) / 2; k += base) delta /= base - t_min;
  return k + (base - t_min + 1) * delta / (delta + skew);
}

}  // namespace

bool is_punycode(std::string_view digits) {
  std::size_t hyphen = digits.rfind('-');
  std::uint32_t points = hyphen == std::string_view::npos ? 0 : static_cast<std::uint32_t>(hyphen);
  // A label has at most 59 bytes after the prefix, and 64 bits hold every value that fits below.
  if (digits.size() > 59) return false;
  std::string_view rest = hyphen == std::string_view::npos ? digits : digits.substr(hyphen + 1);
  if (rest.empty()) return false;
  std::uint64_t n = initial_n;
  std::uint64_t i = 0;
  std::uint32_t bias = initial_bias;
  for (std::size_t at = 0; at < rest.size();) {
    const std::uint64_t old = i;
    std::uint64_t weight = 1;
    for (std::uint32_t k = base;; k += base) {
      if (at == rest.size()) return false;
      std::uint32_t digit = digit_value(rest[at++]);
      if (digit >= base) return false;
      i += digit * weight;
      std::uint32_t t = k <= bias ? t_min : (k >= bias + t_max ? t_max : k - bias);
      if (digit < t) break;
      weight *= base - t;
      if (weight > 0xffffffffU || i > 0xffffffffU) return false;
    }
    if (i > 0xffffffffU) return false;
    ++points;
    bias = adapt(static_cast<std::uint32_t>(i - old), points, old == 0);
    n += i / points;
    i %= points;
    if (n > 0x10ffff || (n >= 0xd800 && n <= 0xdfff)) return false;
    ++i;
  }
  return true;
}

}  // namespace gyges::network
