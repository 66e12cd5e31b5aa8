#include "base/crc32c.h"

#include <nmmintrin.h>

#include <array>
#include <cstring>

namespace gyges {
namespace {

using Table = std::array<std::uint32_t, 256>;

constexpr Table make_table() {
  constexpr std::uint32_t polynomial = 0x82F63B78;  // bits reversed
  Table table{};
  for (std::uint32_t i = 0; i < table.size(); ++i) {
    std::uint32_t rest = i;
    for (int bit = 0; bit < 8; ++bit) rest = (rest >> 1U) ^ ((rest & 1U) != 0 ? polynomial : 0);
    table[i] = rest;
  }
  return table;
}

constexpr Table table = make_table();

// The upper byte of each entry is another one, so it tells the entry.
constexpr std::array<std::uint8_t, 256> make_entry_of_upper_byte() {
  std::array<std::uint8_t, 256> entries{};
  for (std::size_t i = 0; i < table.size(); ++i)
    entries[table[i] >> 24U] = static_cast<std::uint8_t>(i);
  return entries;
}

constexpr std::array<std::uint8_t, 256> entry_of_upper_byte = make_entry_of_upper_byte();

__attribute__((target("sse4.2"))) std::uint32_t by_instruction(std::string_view bytes) {
  std::uint64_t crc = ~std::uint32_t{0};
  while (bytes.size() >= sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data(), sizeof(word));
    crc = _mm_crc32_u64(crc, word);
    bytes.remove_prefix(sizeof(word));
  }
  auto rest = static_cast<std::uint32_t>(crc);
  for (char byte : bytes) rest = _mm_crc32_u8(rest, static_cast<std::uint8_t>(byte));
  return ~rest;
}

std::uint32_t by_table(std::string_view bytes) {
  std::uint32_t crc = ~std::uint32_t{0};
  for (char byte : bytes)
    crc = table[(crc ^ static_cast<std::uint8_t>(byte)) & 0xFFU] ^ (crc >> 8U);
  return ~crc;
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  static const bool has_instruction = __builtin_cpu_supports("sse4.2") != 0;
  return has_instruction ? by_instruction(bytes) : by_table(bytes);
}

// The check value is linear: the difference is that of the wrong byte, moved on by each byte behind
// it. So it is moved back, byte by byte from the end, until it is that of one byte.
std::optional<ByteError> single_byte_error(std::uint32_t difference, std::size_t size) {
  for (std::size_t behind = 0; behind < size && difference != 0; ++behind) {
    const std::uint8_t entry = entry_of_upper_byte[difference >> 24U];
    if (table[entry] == difference) return ByteError{size - 1 - behind, entry};
    difference = ((difference ^ table[entry]) << 8U) | entry;
  }
  return std::nullopt;
}

}  // namespace gyges
