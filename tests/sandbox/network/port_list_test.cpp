#include "sandbox/network/port_list.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <ctime>
#include <map>
#include <string>

#include "base/json.h"
#include "sandbox/network/world/pack.h"

namespace gyges::network {
namespace {

using nlohmann::json;

PortList list_of(const json& rules, std::string_view world = "") {
  auto policy = network_policy_from_json({{"mode", "gateway"}, {"rules", rules}}, "test");
  EXPECT_TRUE(policy);
  auto list = port_list(*policy, world);
  EXPECT_TRUE(list) << list.error().line();
  return list.value_or(PortList{});
}

bool has(const PortList& list, std::uint16_t port) {
  return std::binary_search(list.ports.begin(), list.ports.end(), port);
}

TEST(PortList, HoldsTheUsualOnesAndWhatRulesName) {
  const PortList usual = list_of(json::array());
  for (std::uint16_t port : {22, 25, 53, 80, 443, 853, 5432, 8080}) EXPECT_TRUE(has(usual, port));
  EXPECT_FALSE(has(usual, 54321));
  EXPECT_FALSE(usual.lacks_named || usual.lacks_usual);
  EXPECT_TRUE(std::is_sorted(usual.ports.begin(), usual.ports.end()));
  EXPECT_EQ(std::adjacent_find(usual.ports.begin(), usual.ports.end()), usual.ports.end());
  const PortList named = list_of({{{"ports", {54321, "60000-60003"}}, {"action", "sink"}},
                                  {{"ports", {7777}}, {"action", "refuse"}},
                                  {{"ports", {7778}}, {"protocol", "udp"}, {"action", "sink"}}});
  for (std::uint16_t port : {54321, 60000, 60003}) EXPECT_TRUE(has(named, port));
  EXPECT_FALSE(has(named, 60004));
  EXPECT_FALSE(has(named, 7777));
  EXPECT_FALSE(has(named, 7778));
  EXPECT_EQ(named.ports.size(), usual.ports.size() + 5);
}

TEST(PortList, HasItsEndAndSaysSo) {
  const PortList list = list_of(
      {{{"ports", {"1-65535"}}, {"action", "sink"}}, {{"ports", {54321}}, {"action", "sink"}}});
  EXPECT_EQ(list.ports.size(), most_listed_ports);
  EXPECT_TRUE(list.lacks_named);
  EXPECT_TRUE(has(list, 54321));  // single ports come before ranges
}

TEST(PortList, HoldsSinglePortsOfRulesBeforeTheUsualOnes) {
  json ports = json::array();
  for (int port = 30001; port <= 30150; ++port) ports.push_back(port);
  const PortList list = list_of({{{"ports", ports}, {"action", "sink"}}});
  EXPECT_EQ(list.ports.size(), most_listed_ports);
  EXPECT_FALSE(list.lacks_named);
  EXPECT_TRUE(list.lacks_usual);
  for (std::uint16_t port = 30001; port <= 30150; ++port) EXPECT_TRUE(has(list, port)) << port;
}

TEST(PortList, HoldsWhatTheWorldListensOn) {
  const json internet = json::parse(R"({
    "sites": [{"host": "web.example", "http_ports": [7001], "https_ports": [7002]}],
    "services": [{"protocol": "banner", "host": "web.example", "port": 7003, "banner": "hi"}]})");
  std::map<std::string, std::string> files;
  auto packed = pack_world({internet, files, 1, std::time(nullptr), "Example"});
  ASSERT_TRUE(packed) << packed.error().line();
  const PortList list = list_of(json::array(), packed->bytes);
  for (std::uint16_t port : {7001, 7002, 7003}) EXPECT_TRUE(has(list, port)) << port;
}

}  // namespace
}  // namespace gyges::network
