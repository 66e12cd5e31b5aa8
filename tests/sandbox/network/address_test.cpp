#include "sandbox/network/address.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

namespace gyges::network {
namespace {

IpAddress address(std::string_view text) {
  auto parsed = parse_address(text);
  EXPECT_TRUE(parsed) << text;
  return parsed ? *parsed : IpAddress{};
}

TEST(Address, TextThereAndBack) {
  for (const char* text : {"192.0.2.1", "2001:db8::1", "::", "0.0.0.0", "fe80::1"})
    EXPECT_EQ(to_string(address(text)), text);
}

TEST(Address, RefusesEveryOtherSpelling) {
  using namespace std::string_view_literals;
  const std::string_view rows[] = {
      "",           "192.0.2", "0300.0.2.1",   "192.0.2.1 ",    "0x7f.1",
      "2130706433", "[::1]",   "fe80::1%eth0", "192.0.2.1\0"sv, "192.0.2.256"};
  for (std::string_view text : rows) EXPECT_FALSE(parse_address(text)) << text;
}

TEST(Address, ScopesFollowTheRegistries) {
  const std::pair<const char*, AddressScope> rows[] = {
      {"0.0.0.0", AddressScope::unspecified},
      {"10.1.2.3", AddressScope::private_use},
      {"100.64.0.1", AddressScope::private_use},
      {"127.9.9.9", AddressScope::loopback},
      {"169.254.169.254", AddressScope::link_local},
      {"172.32.0.1", AddressScope::global},
      {"192.0.2.7", AddressScope::documentation},
      {"198.19.0.1", AddressScope::reserved},
      {"224.0.0.1", AddressScope::multicast},
      {"255.255.255.255", AddressScope::multicast},
      {"8.8.8.8", AddressScope::global},
      {"::", AddressScope::unspecified},
      {"::1", AddressScope::loopback},
      {"::ffff:8.8.8.8", AddressScope::translated},
      {"64:ff9b::808:808", AddressScope::translated},
      {"2002:7f00:1::", AddressScope::translated},
      {"2001:db8::5", AddressScope::documentation},
      {"fd00::1", AddressScope::private_use},
      {"fe80::1", AddressScope::link_local},
      {"ff02::1", AddressScope::multicast},
      {"2606:4700::1111", AddressScope::global},
      {"4000::1", AddressScope::reserved},
  };
  for (const auto& [text, scope] : rows) EXPECT_EQ(scope_of(address(text)), scope) << text;
}

TEST(Address, MappedIsTheAddressInside) {
  EXPECT_EQ(to_string(unmapped(address("::ffff:192.0.2.1"))), "192.0.2.1");
  EXPECT_EQ(to_string(unmapped(address("2001:db8::1"))), "2001:db8::1");
}

TEST(Network, ContainsByPrefixAndFamily) {
  auto network = parse_network("192.0.2.128/25");
  ASSERT_TRUE(network);
  EXPECT_TRUE(network->contains(address("192.0.2.129")));
  EXPECT_FALSE(network->contains(address("192.0.2.127")));
  EXPECT_FALSE(network->contains(address("c000:280::")));
  EXPECT_EQ(parse_network("192.0.2.1")->prefix, 32U);
  EXPECT_FALSE(parse_network("192.0.2.1/24"));
  EXPECT_FALSE(parse_network("192.0.2.0/33"));
  EXPECT_FALSE(parse_network("192.0.2.0/"));
  EXPECT_TRUE(parse_network("::/0")->contains(address("2001:db8::1")));
}

TEST(Network, ANetworkNamesSpecialAddressesWithinTheirBlockOnly) {
  struct Row {
    const char* network;
    const char* address;
    bool named;
  };
  constexpr Row rows[] = {
      {"0.0.0.0/0", "8.8.8.8", true},        {"0.0.0.0/0", "127.0.0.1", false},
      {"0.0.0.0/0", "10.1.2.3", false},      {"0.0.0.0/0", "169.254.169.254", false},
      {"160.0.0.0/4", "169.254.1.1", false}, {"169.254.0.0/16", "169.254.169.254", true},
      {"10.0.0.0/8", "10.1.2.3", true},      {"8.0.0.0/6", "10.1.2.3", false},
      {"0.0.0.0/0", "168.63.129.16", false}, {"168.63.129.16/32", "168.63.129.16", true},
      {"::/0", "2606:4700::1111", true},     {"::/0", "::1", false},
      {"::/0", "fd00:ec2::254", false},      {"fd00:ec2::/32", "fd00:ec2::254", true},
      {"::/0", "64:ff9b::a9fe:a9fe", false}, {"2000::/3", "2002:7f00:1::", false},
      {"192.0.2.0/25", "192.0.2.7", true},   {"10.0.0.0/8", "11.0.0.1", false},
  };
  for (const Row& row : rows)
    EXPECT_EQ(parse_network(row.network)->names(address(row.address)), row.named)
        << row.network << " " << row.address;
}

TEST(Endpoint, SocketAddressThereAndBack) {
  for (const char* text : {"192.0.2.1", "2001:db8::1"}) {
    Endpoint endpoint{address(text), 443};
    sockaddr_storage storage{};
    to_sockaddr(endpoint, storage);
    EXPECT_EQ(endpoint_from(storage), endpoint);
  }
  EXPECT_EQ(to_string(Endpoint{address("2001:db8::1"), 53}), "[2001:db8::1]:53");
}

}  // namespace
}  // namespace gyges::network
