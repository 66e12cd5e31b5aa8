#include "sandbox/network/network_policy.h"
#include "base/json.h"

#include <gtest/gtest.h>

#include "sandbox/isolation/policy.h"

namespace gyges::network {
namespace {

using nlohmann::json;

Result<NetworkPolicy> read(const json& network) {
  json document = {{"$schema", "gyges/policy.schema.json"},
                   {"version", 1},
                   {"name", "test"},
                   {"network", network}};
  auto policy = isolation::policy_from_json(document, "test");
  if (!policy) return tl::unexpected<Error>(policy.error());
  return policy->network;
}

Endpoint endpoint(std::string_view address, std::uint16_t port) {
  return {*parse_address(address), port};
}

RuleAction action(const NetworkPolicy& policy, const Endpoint& to,
                  const std::vector<std::string>& names = {},
                  Transport transport = Transport::tcp) {
  return decide(policy, transport, to, names).action;
}

TEST(NetworkPolicy, NothingMatchesMeansRefuse) {
  auto policy = read({{"mode", "gateway"}});
  ASSERT_TRUE(policy) << policy.error().line();
  EXPECT_EQ(action(*policy, endpoint("192.0.2.1", 443)), RuleAction::refuse);
  EXPECT_EQ(action(*policy, endpoint("127.0.0.1", 443)), RuleAction::refuse);
}

TEST(NetworkPolicy, TheDemandForCaptureIsReadAndWritten) {
  EXPECT_EQ(read({{"mode", "gateway"}})->capture, CaptureDemand::best);
  for (const char* word : {"all", "best", "ports"}) {
    auto policy = read({{"mode", "gateway"}, {"capture", word}});
    ASSERT_TRUE(policy) << policy.error().line();
    EXPECT_EQ(to_string(policy->capture), word);
    auto again = network_policy_from_json(network_policy_to_json(*policy), "test");
    EXPECT_EQ(again->capture, policy->capture);
  }
  EXPECT_FALSE(read({{"mode", "gateway"}, {"capture", "some"}}));
}

TEST(NetworkPolicy, TheFirstRuleThatMatchesDecides) {
  auto policy = read({{"mode", "gateway"},
                      {"refuse", "timeout"},
                      {"rules",
                       {{{"to", {"bad.example.com"}}, {"action", "refuse"}, {"refuse", "reset"}},
                        {{"to", {"*.example.com", "203.0.113.0/24"}},
                         {"ports", {443, "8000-8010"}},
                         {"protocol", "tcp"},
                         {"action", "simulate"}},
                        {{"to", {"2001:db8::/32"}}, {"action", "sink"}}}}});
  ASSERT_TRUE(policy) << policy.error().line();
  Endpoint https = endpoint("192.0.2.1", 443);
  EXPECT_EQ(action(*policy, https, {"www.example.com"}), RuleAction::simulate);
  EXPECT_EQ(action(*policy, https, {"example.com"}), RuleAction::refuse);
  EXPECT_EQ(action(*policy, https, {"notexample.com"}), RuleAction::refuse);
  EXPECT_EQ(action(*policy, https, {"bad.example.com"}), RuleAction::refuse);
  EXPECT_EQ(decide(*policy, Transport::tcp, https, {"bad.example.com"}).style, RefuseStyle::reset);
  EXPECT_EQ(decide(*policy, Transport::tcp, https, {}).style, RefuseStyle::timeout);
  EXPECT_EQ(action(*policy, endpoint("192.0.2.1", 8005), {"www.example.com"}),
            RuleAction::simulate);
  EXPECT_EQ(action(*policy, endpoint("192.0.2.1", 8011), {"www.example.com"}), RuleAction::refuse);
  EXPECT_EQ(action(*policy, https, {"www.example.com"}, Transport::udp), RuleAction::refuse);
  EXPECT_EQ(action(*policy, endpoint("203.0.113.9", 443)), RuleAction::simulate);
  EXPECT_EQ(action(*policy, endpoint("::ffff:203.0.113.9", 443)), RuleAction::simulate);
  EXPECT_EQ(action(*policy, endpoint("2001:db8::7", 1), {}, Transport::udp), RuleAction::sink);
}

TEST(NetworkPolicy, NamesAreAnsweredWhereSomeRuleNamesThem) {
  auto policy = read({{"mode", "gateway"},
                      {"rules",
                       {{{"to", {"no.example.com"}}, {"action", "refuse"}},
                        {{"to", {"*.example.com"}}, {"ports", {443}}, {"action", "relay"}},
                        {{"to", {"203.0.113.0/24"}}, {"action", "simulate"}}}}});
  ASSERT_TRUE(policy) << policy.error().line();
  EXPECT_EQ(decide_name(*policy, "a.example.com").action, RuleAction::relay);
  EXPECT_EQ(decide_name(*policy, "no.example.com").action, RuleAction::refuse);
  EXPECT_EQ(decide_name(*policy, "example.org").action, RuleAction::refuse);
}

TEST(NetworkPolicy, ThereAndBack) {
  json network = {{"mode", "gateway"},
                  {"interface", {{"name", "ens3"}, {"address", "192.168.7.20/24"}}},
                  {"resolvers", {"192.168.7.1"}},
                  {"echo", "drop"},
                  {"rules",
                   {{{"name", "web"}, {"to", {"Example.COM"}}, {"ports", {80}}, {"action", "sink"}},
                    {{"to", {"192.0.2.0/24"}}, {"action", "relay"}, {"hash", false}}}}};
  auto policy = read(network);
  ASSERT_TRUE(policy) << policy.error().line();
  EXPECT_EQ(to_string(policy->interface.gateway), "192.168.7.1");
  EXPECT_FALSE(policy->interface.has_v6);
  EXPECT_EQ(policy->rules[0].domains[0], "example.com");
  EXPECT_TRUE(policy->rules[0].hash);
  EXPECT_FALSE(policy->rules[1].hash);
  json written = network_policy_to_json(*policy);
  auto again = read(written);
  ASSERT_TRUE(again) << again.error().line();
  EXPECT_EQ(network_policy_to_json(*again), written);
}

TEST(NetworkPolicy, RefusesWhatCannotBeMeant) {
  const std::pair<json, const char*> rows[] = {
      {{{"mode", "open"}}, "mode"},
      {{{"mode", "none"}, {"rules", {{{"action", "sink"}}}}}, "no effect"},
      {{{"mode", "gateway"}, {"rules", {{{"action", "relay"}}}}}, "every address"},
      {{{"mode", "gateway"}, {"rules", {{{"action", "sink"}, {"to", json::array()}}}}}, "/to"},
      {{{"mode", "gateway"}, {"rules", {{{"action", "sink"}, {"to", {"a..b"}}}}}}, "host name"},
      {{{"mode", "gateway"}, {"rules", {{{"action", "sink"}, {"to", {"10.1.2.3/8"}}}}}}, "prefix"},
      {{{"mode", "gateway"}, {"rules", {{{"action", "sink"}, {"ports", {"9-3"}}}}}}, "range"},
      {{{"mode", "gateway"}, {"rules", {{{"action", "sink"}, {"hash", false}}}}}, "hash"},
      {{{"mode", "gateway"},
        {"rules",
         {{{"action", "relay"}, {"to", {"192.0.2.1"}}, {"protocol", "udp"}, {"hash", false}}}}},
       "`hash`"},
      {{{"mode", "gateway"}, {"interface", {{"address", "10.0.2.15/24"}, {"gateway", "10.9.9.9"}}}},
       "gateway"},
  };
  for (const auto& [network, word] : rows) {
    auto policy = read(network);
    ASSERT_FALSE(policy) << network;
    EXPECT_NE(policy.error().line().find(word), std::string::npos) << policy.error().line();
  }
}

}  // namespace
}  // namespace gyges::network
