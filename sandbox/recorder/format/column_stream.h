// The bytes of one column of a trace block, as they are written and read: varints, zigzags, bytes
// (docs/trace_format.md).
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

namespace gyges::recorder {

inline std::uint64_t zigzag_of(std::int64_t value) {
  return (static_cast<std::uint64_t>(value) << 1U) ^ static_cast<std::uint64_t>(value >> 63U);
}

inline std::int64_t of_zigzag(std::uint64_t value) {
  return static_cast<std::int64_t>((value >> 1U) ^ (~(value & 1U) + 1));
}

struct ColumnStream {
  std::vector<std::uint8_t> bytes;
  std::size_t used = 0;

  std::uint8_t* room(std::size_t count) {
    if (bytes.size() - used < count) bytes.resize(bytes.size() * 2 + count);
    return bytes.data() + used;
  }
  void byte(std::uint8_t value) {
    *room(1) = value;
    ++used;
  }
  // Nearly all numbers are below 128.
  void varint(std::uint64_t value) {
    if (value < 0x80 && used < bytes.size())
      bytes[used++] = static_cast<std::uint8_t>(value);
    else
      long_varint(value);
  }
  [[gnu::noinline]] void long_varint(std::uint64_t value) {
    std::uint8_t* at = room(10);
    while (value >= 0x80) {
      *at++ = static_cast<std::uint8_t>(value | 0x80U);
      value >>= 7U;
    }
    *at++ = static_cast<std::uint8_t>(value);
    used = static_cast<std::size_t>(at - bytes.data());
  }
  void zigzag(std::int64_t value) { varint(zigzag_of(value)); }
  void append(std::string_view text) {
    if (text.empty()) return;
    std::memcpy(room(text.size()), text.data(), text.size());
    used += text.size();
  }
  [[nodiscard]] std::string_view view() const {
    return {reinterpret_cast<const char*>(bytes.data()), used};
  }
};

// Reads what a stranger may have written: false where the bytes end.
struct ColumnCursor {
  const std::uint8_t* at = nullptr;
  const std::uint8_t* end = nullptr;

  // Nearly all numbers are below 128.
  bool varint(std::uint64_t& value) {
    if (at == end || *at >= 0x80) return long_varint(value);
    value = *at++;
    return true;
  }
  bool zigzag(std::int64_t& value) {
    std::uint64_t raw = 0;
    if (!varint(raw)) return false;
    value = of_zigzag(raw);
    return true;
  }
  bool byte(std::uint8_t& value) {
    if (at == end) return false;
    value = *at++;
    return true;
  }
  [[nodiscard]] std::size_t left() const { return static_cast<std::size_t>(end - at); }
  bool take(std::size_t count, std::string_view& bytes) {
    if (left() < count) return false;
    bytes = {reinterpret_cast<const char*>(at), count};
    at += count;
    return true;
  }
  // Its first `count` bytes become a cursor of their own.
  bool split(std::uint64_t count, ColumnCursor& first) {
    if (left() < count) return false;
    first = {at, at + count};
    at += count;
    return true;
  }

 private:
  [[gnu::noinline]] bool long_varint(std::uint64_t& value) {
    value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (at == end) return false;
      const std::uint8_t byte = *at++;
      value |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }
};

}  // namespace gyges::recorder
