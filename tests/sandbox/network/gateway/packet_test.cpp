#include "sandbox/network/gateway/packet.h"

#include <gtest/gtest.h>

#include <string>

namespace gyges::network {
namespace {

// A whole IPv4 packet of so much life to a receiver, with `fragment` in its flags and offset.
std::string packet4(unsigned protocol, std::string_view to, std::string transport,
                    unsigned fragment = 0) {
  std::string head(20, '\0');
  head[0] = 0x45;
  head[2] = static_cast<char>((transport.size() + 20) >> 8U);
  head[3] = static_cast<char>(transport.size() + 20);
  head[6] = static_cast<char>(fragment >> 8U);
  head[7] = static_cast<char>(fragment);
  head[8] = 1;
  head[9] = static_cast<char>(protocol);
  const IpAddress source = *parse_address("10.0.2.15");
  const IpAddress destination = *parse_address(to);
  for (std::size_t i = 0; i < 4; ++i) {
    head[12 + i] = static_cast<char>(source.bytes[i]);
    head[16 + i] = static_cast<char>(destination.bytes[i]);
  }
  return head + transport;
}

std::string packet6(unsigned protocol, std::string_view to, std::string transport) {
  std::string head(40, '\0');
  head[0] = 0x60;
  head[4] = static_cast<char>(transport.size() >> 8U);
  head[5] = static_cast<char>(transport.size());
  head[6] = static_cast<char>(protocol);
  head[7] = 1;
  const IpAddress source = *parse_address("fd17:625c:f037:2::15");
  const IpAddress destination = *parse_address(to);
  for (std::size_t i = 0; i < 16; ++i) {
    head[8 + i] = static_cast<char>(source.bytes[i]);
    head[24 + i] = static_cast<char>(destination.bytes[i]);
  }
  return head + transport;
}

std::string message(unsigned type) {
  std::string bytes(16, '\0');
  bytes[0] = static_cast<char>(type);
  return bytes;
}

bool answerable(const std::string& bytes) {
  auto packet = read_packet(bytes);
  EXPECT_TRUE(packet);
  return packet && packet->answerable;
}

// RFC 1122, 3.2.2: no error about an error, nor about what went to several or came in pieces.
TEST(Packet, ErrorsAnswerOnlyWhatTheyMay) {
  for (unsigned type : {3U, 4U, 5U, 11U, 12U})
    EXPECT_FALSE(answerable(packet4(1, "192.0.2.1", message(type)))) << type;
  EXPECT_TRUE(answerable(packet4(1, "192.0.2.1", message(8))));
  EXPECT_TRUE(answerable(packet4(17, "192.0.2.1", message(3))));
  EXPECT_FALSE(answerable(packet4(17, "224.0.0.251", message(0))));
  EXPECT_FALSE(answerable(packet4(17, "255.255.255.255", message(0))));
  constexpr unsigned more = 0x2000;
  EXPECT_TRUE(answerable(packet4(17, "192.0.2.1", message(0), more)));
  EXPECT_FALSE(answerable(packet4(17, "192.0.2.1", message(0), 185)));
}

TEST(Packet, ErrorsOfIpv6AnswerOnlyWhatTheyMay) {
  for (unsigned type : {2U, 4U, 127U})
    EXPECT_FALSE(answerable(packet6(58, "2001:db8::1", message(type)))) << type;
  EXPECT_TRUE(answerable(packet6(58, "2001:db8::1", message(128))));
  EXPECT_TRUE(answerable(packet6(17, "2001:db8::1", message(1))));
  EXPECT_FALSE(answerable(packet6(17, "ff02::fb", message(0))));
  std::string fragment = message(17);
  EXPECT_TRUE(answerable(packet6(44, "2001:db8::1", fragment)));
  fragment[3] = 8;
  EXPECT_FALSE(answerable(packet6(44, "2001:db8::1", fragment)));
}

}  // namespace
}  // namespace gyges::network
