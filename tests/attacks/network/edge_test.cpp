// Corners of the protocols (edge_attempts.cpp), behind a policy that sinks at one address and
// simulates everything else.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/text.h"
#include "gateway_fixture.h"

namespace gyges::isolation {
namespace {

using network::Flow;
using network::FlowProtocol;
using network::FlowVerdict;

constexpr const char* edge_key = "q7Jd0vXr2mLw9TzA";
constexpr const char* edge_other_key = "Zk3Qe8yBn5HsU1cF";

class EdgeTest : public SimulatedTest {
 protected:
  std::map<std::string, std::string> attempt(const char* what, const char* with) {
    Ran ran = run_argv({"/tmp/attempts", what, with});
    EXPECT_EQ(ran.end.exit_code, 0) << ran.output;
    std::map<std::string, std::string> outcomes;
    for (const std::string& line : split(ran.output, '\n'))
      if (auto space = line.find(' '); space != std::string::npos)
        outcomes[line.substr(0, space)] = line.substr(space + 1);
    return outcomes;
  }
  static inline const nlohmann::json canaries = {{{"name", "key"}, {"token", edge_key}}};
};

TEST_F(EdgeTest, PacketsAtTheEdgesAreRecordedAndGoNowhere) {
  start_world({{{"name", "pit"}, {"to", {"203.0.113.80", "2001:db8::80"}}, {"action", "sink"}}},
              canaries);
  auto outcomes = attempt("packets", edge_key);
  EXPECT_EQ(stop().network_failure, "");
  // What may be sent under any option comes to the pit and nowhere else, and is searched.
  for (const char* name : {"port_0", "ip_option_tcp", "one_hop_tcp", "least_segments"})
    EXPECT_EQ(outcomes[name], "worked") << name;
  for (const char* name : {"ip_option", "no_checksum", "one_hop", "empty"})
    EXPECT_EQ(outcomes[name], "sent") << name;
  for (std::uint16_t port : {0, 9301, 9302, 9303, 9305, 9306, 9309}) {
    std::size_t hits = 0;
    for (const Flow& flow : flows_to("203.0.113.80", port))
      if (flow.protocol == FlowProtocol::tcp || flow.protocol == FlowProtocol::udp) {
        EXPECT_EQ(flow.verdict, FlowVerdict::sunk) << port;
        EXPECT_EQ(flow.sent.head, edge_key) << port;
        hits += flow.canaries.size();
      }
    EXPECT_EQ(hits, 1U) << port;
  }
  ASSERT_EQ(flows_to("203.0.113.80", 9304).size(), 1U);
  EXPECT_EQ(flows_to("203.0.113.80", 9304)[0].sent.size, 0U);
  // The kernel that sends refuses these itself.
  EXPECT_EQ(outcomes["port_0_udp"], "EINVAL");
  EXPECT_EQ(outcomes["whole"], "EMSGSIZE");
  EXPECT_TRUE(flows_to("203.0.113.80", 9307).empty());
  EXPECT_NE(outcomes["broadcast_tcp"], "worked");
  // With TLS in the kernel, where there is some, it is a connection like others.
  EXPECT_EQ(outcomes["kernel_tls"] == "worked", flows_to("203.0.113.80", 9308).size() == 1);
  // Addresses that mean something to others.
  const std::pair<const char*, const char*> addresses[] = {{"class_e", "240.0.0.1"},
                                                           {"net_0", "0.1.2.3"},
                                                           {"nat64", "64:ff9b::cb00:7150"},
                                                           {"6to4", "2002:cb00:7150::1"},
                                                           {"compatible", "::203.0.113.80"}};
  for (const auto& [name, text] : addresses) {
    EXPECT_EQ(outcomes[name], "ECONNREFUSED") << name;
    auto found = flows_to(text, 80);
    ASSERT_EQ(found.size(), 1U) << name;
    EXPECT_EQ(found[0].verdict, FlowVerdict::refused) << name;
  }
  // Of ICMP an ordinary program sends echoes alone.
  for (const char* name : {"redirect", "redirect6", "advertised6", "neighbour6"})
    EXPECT_EQ(outcomes[name], "EINVAL") << name;
  for (const char* name : {"echo", "echo6"}) EXPECT_EQ(outcomes[name], "sent") << name;
  EXPECT_EQ(outcomes["with_itself"], "worked");
  EXPECT_TRUE(flows_to("10.0.2.15", 5555).empty());
}

TEST_F(EdgeTest, OddQuestionsAreAnsweredOrRefusedAndSearched) {
  for (const char* one : {edge_key, edge_other_key}) {
    const std::size_t before = flows().size();
    start_world(nlohmann::json::array(), canaries);
    auto outcomes = attempt("questions", one);
    EXPECT_EQ(stop().network_failure, "");
    const std::pair<const char*, const char*> expected[] = {
        {"good", "0"},        {"loop", "1"},           {"loop_behind", "1"}, {"forward", "1"},
        {"no_question", "1"}, {"two_questions", "1"},  {"update", "4"},      {"notify", "4"},
        {"transfer", "3"},    {"reserved_label", "1"}, {"room_0", "0"},      {"room_65535", "0"},
        {"two_options", "1"}, {"padding", "0"},        {"good_after", "0"}};
    for (const auto& [name, code] : expected)
      EXPECT_EQ(outcomes[name], std::string("code_") + code + "_size_small") << name;
    // In the names of an update, of a notice and of a transfer, and in an option.
    std::size_t hits = 0, questions = 0;
    auto all = flows();
    for (std::size_t i = before; i < all.size(); ++i) {
      hits += all[i].canaries.size();
      questions += all[i].protocol == FlowProtocol::dns ? 1U : 0U;
    }
    EXPECT_EQ(hits, one == edge_key ? 4U : 0U);
    EXPECT_EQ(questions, std::size(expected));
    sandbox_.reset();
  }
}

}  // namespace
}  // namespace gyges::isolation
