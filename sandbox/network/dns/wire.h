// Reading numbers and names of DNS messages with bounds. Internal to the codec.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace gyges::network::dns {

class WireReader {
 public:
  WireReader(std::string_view message, std::size_t at) : message_(message), at_(at) {}

  [[nodiscard]] std::size_t at() const { return at_; }
  [[nodiscard]] bool at_end() const { return at_ == message_.size(); }
  bool u8(std::uint8_t& value);
  bool u16(std::uint16_t& value);
  bool u32(std::uint32_t& value);
  bool bytes(std::size_t count, std::string_view& value);
  // Text form of Question::name. With `pointers` false a compression pointer is a fault.
  bool name(std::string& text, bool pointers);
  // The name in wire form without compression; case is kept.
  bool raw_name(std::string& wire);

 private:
  template <class F>
  bool labels(bool pointers, F&& label);
  std::string_view message_;
  std::size_t at_;
};

void put_u16(std::string& out, std::uint16_t value);
void put_u32(std::string& out, std::uint32_t value);

}  // namespace gyges::network::dns
