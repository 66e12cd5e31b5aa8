#include "sandbox/network/dns/wire.h"

namespace gyges::network::dns {
namespace {

constexpr std::size_t longest_wire_name = 255;
constexpr std::uint8_t pointer_bits = 0xc0;

void append_label(std::string& text, std::string_view label) {
  for (char c : label) {
    auto byte = static_cast<unsigned char>(c);
    if (byte >= 'A' && byte <= 'Z') {
      text += static_cast<char>(byte + ('a' - 'A'));
    } else if (byte > 0x20 && byte < 0x7f && byte != '.' && byte != '\\') {
      text += c;
    } else {
      text += '\\';
      text += static_cast<char>('0' + byte / 100);
      text += static_cast<char>('0' + byte / 10 % 10);
      text += static_cast<char>('0' + byte % 10);
    }
  }
}

}  // namespace

void put_u16(std::string& out, std::uint16_t value) {
  out += static_cast<char>(value >> 8U);
  out += static_cast<char>(value & 0xffU);
}

void put_u32(std::string& out, std::uint32_t value) {
  put_u16(out, static_cast<std::uint16_t>(value >> 16U));
  put_u16(out, static_cast<std::uint16_t>(value & 0xffffU));
}

bool WireReader::u8(std::uint8_t& value) {
  if (at_ >= message_.size()) return false;
  value = static_cast<std::uint8_t>(message_[at_++]);
  return true;
}

bool WireReader::u16(std::uint16_t& value) {
  std::uint8_t high = 0;
  std::uint8_t low = 0;
  if (!u8(high) || !u8(low)) return false;
  value = static_cast<std::uint16_t>(high << 8U | low);
  return true;
}

bool WireReader::u32(std::uint32_t& value) {
  std::uint16_t high = 0;
  std::uint16_t low = 0;
  if (!u16(high) || !u16(low)) return false;
  value = static_cast<std::uint32_t>(high) << 16U | low;
  return true;
}

bool WireReader::bytes(std::size_t count, std::string_view& value) {
  if (message_.size() - at_ < count) return false;
  value = message_.substr(at_, count);
  at_ += count;
  return true;
}

template <class F>
bool WireReader::labels(bool pointers, F&& label) {
  std::size_t cursor = at_;
  std::size_t barrier = at_;  // pointers must go below it, so that no chain is endless
  std::size_t after = 0;      // where reading goes on; 0 until the first pointer
  std::size_t total = 1;
  while (true) {
    if (cursor >= message_.size()) return false;
    auto length = static_cast<std::uint8_t>(message_[cursor]);
    if ((length & pointer_bits) == pointer_bits) {
      if (!pointers || cursor + 1 >= message_.size()) return false;
      std::size_t target = static_cast<std::size_t>(length & 0x3fU) << 8U |
                           static_cast<std::uint8_t>(message_[cursor + 1]);
      if (target >= barrier || target < 12) return false;
      if (after == 0) after = cursor + 2;
      barrier = cursor = target;
      continue;
    }
    if ((length & pointer_bits) != 0) return false;
    if (length == 0) break;
    total += length + 1U;
    if (total > longest_wire_name || message_.size() - cursor - 1 < length) return false;
    label(message_.substr(cursor + 1, length));
    cursor += length + 1U;
  }
  at_ = after == 0 ? cursor + 1 : after;
  return true;
}

bool WireReader::name(std::string& text, bool pointers) {
  text.clear();
  bool good = labels(pointers, [&text](std::string_view label) {
    if (!text.empty()) text += '.';
    append_label(text, label);
  });
  if (good && text.empty()) text = ".";
  return good;
}

bool WireReader::raw_name(std::string& wire) {
  wire.clear();
  bool good = labels(true, [&wire](std::string_view label) {
    wire += static_cast<char>(label.size());
    wire += label;
  });
  wire += '\0';
  return good;
}

}  // namespace gyges::network::dns
