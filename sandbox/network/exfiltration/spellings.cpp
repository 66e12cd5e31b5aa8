#include "sandbox/network/exfiltration/spellings.h"

#include <algorithm>
#include <cstdint>
#include <string>

namespace gyges::network {
namespace {

constexpr std::string_view base64_alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view base64url_alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::string_view base32_alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
constexpr std::string_view base32_lower = "abcdefghijklmnopqrstuvwxyz234567";

// The digits that `offset` unknown bytes before the token leave fully determined.
std::string aligned(std::string_view token, std::size_t offset, std::string_view alphabet,
                    unsigned bits_per_digit) {
  std::string out;
  std::size_t first_bit = offset * 8;
  std::size_t last_bit = first_bit + token.size() * 8;
  std::size_t digit = (first_bit + bits_per_digit - 1) / bits_per_digit;
  for (; (digit + 1) * bits_per_digit <= last_bit; ++digit) {
    unsigned value = 0;
    for (unsigned bit = 0; bit < bits_per_digit; ++bit) {
      std::size_t at = digit * bits_per_digit + bit - first_bit;
      value = value << 1U | ((static_cast<std::uint8_t>(token[at / 8]) >> (7 - at % 8)) & 1U);
    }
    out += alphabet[value];
  }
  return out;
}

std::string hex(std::string_view token, std::string_view digits) {
  std::string out;
  for (char c : token) {
    out += digits[static_cast<std::uint8_t>(c) >> 4U];
    out += digits[static_cast<std::uint8_t>(c) & 15U];
  }
  return out;
}

template <class F>
std::string mapped(std::string_view token, F&& change) {
  std::string out(token);
  std::transform(out.begin(), out.end(), out.begin(), change);
  return out;
}

char upper(char c) {
  return c >= 'a' && c <= 'z' ? static_cast<char>(c - ('a' - 'A')) : c;
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

char rot13(char c) {
  char base = lower(c);
  if (base < 'a' || base > 'z') return c;
  return static_cast<char>(base <= 'm' ? c + 13 : c - 13);
}

// The code of each byte in decimal, one after the other: what lists of them are when separators are
// left out.
std::string decimal(std::string_view token) {
  std::string out;
  for (char c : token) out += std::to_string(static_cast<std::uint8_t>(c));
  return out;
}

// Of either byte order: from the first byte of the token to its last.
std::string utf16(std::string_view token) {
  std::string out;
  for (char c : token) out.append({c, '\0'});
  out.pop_back();
  return out;
}

}  // namespace

std::vector<std::pair<const char*, std::string>> spellings_of(std::string_view token) {
  std::vector<std::pair<const char*, std::string>> list;
  list.emplace_back("plain", token);
  list.emplace_back("lower case", mapped(token, lower));
  list.emplace_back("upper case", mapped(token, upper));
  list.emplace_back("reversed", std::string(token.rbegin(), token.rend()));
  list.emplace_back("rot13", mapped(token, rot13));
  list.emplace_back("utf-16", utf16(token));
  list.emplace_back("decimal", decimal(token));
  for (std::size_t offset = 0; offset < 3; ++offset) {
    list.emplace_back("base64", aligned(token, offset, base64_alphabet, 6));
    list.emplace_back("base64url", aligned(token, offset, base64url_alphabet, 6));
    // In a DNS name case is lost; it leaves 35 bits of 48 in eight digits.
    list.emplace_back("base64 in lower case",
                      mapped(aligned(token, offset, base64url_alphabet, 6), lower));
  }
  for (std::size_t offset = 0; offset < 5; ++offset) {
    list.emplace_back("base32", aligned(token, offset, base32_alphabet, 5));
    list.emplace_back("base32", aligned(token, offset, base32_lower, 5));
  }
  list.emplace_back("hex", hex(token, "0123456789abcdef"));
  list.emplace_back("hex", hex(token, "0123456789ABCDEF"));
  return list;
}

}  // namespace gyges::network
