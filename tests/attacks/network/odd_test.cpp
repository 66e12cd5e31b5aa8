// Odd ways out (odd_attempts.cpp), behind a policy that sinks and one that refuses; and words that
// are begun and never finished, which stand in the record all the same.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/text.h"
#include "gateway_fixture.h"

namespace gyges::isolation {
namespace {

using network::Flow;
using network::FlowVerdict;

constexpr const char* planted_key = "q7Jd0vXr2mLw9TzA";
constexpr const char* unplanted_key = "Zk3Qe8yBn5HsU1cF";

class OddTest : public SimulatedTest {
 protected:
  // The first flow with this port, or without one to this address.
  Flow to(const std::string& address, std::uint16_t port) {
    auto found = flows_to(address, port);
    EXPECT_FALSE(found.empty()) << address << " " << port;
    return found.empty() ? Flow{} : found.front();
  }
  // How many flows to the address hold the token.
  std::size_t hits_at(const std::string& address) {
    std::size_t hits = 0;
    for (const Flow& flow : flows())
      if (network::to_string(flow.destination.address) == address) hits += flow.canaries.size();
    return hits;
  }
  static inline const nlohmann::json canaries = {{{"name", "key"}, {"token", planted_key}}};
};

const char* const absent[] = {"EPROTONOSUPPORT", "ESOCKTNOSUPPORT", "EAFNOSUPPORT", "EPERM",
                              "EACCES",          "EINVAL",          "ENOPROTOOPT"};

bool is_absent(const std::string& outcome) {
  return std::find(std::begin(absent), std::end(absent), outcome) != std::end(absent);
}

TEST_F(OddTest, NoWayLeadsPastTheGateway) {
  start_world({{{"name", "no"}, {"to", {"192.0.2.1"}}, {"action", "refuse"}},
               {{"name", "pit"}, {"to", {"203.0.113.80", "2001:db8::80"}}, {"action", "sink"}}},
              canaries);
  auto outcomes = attempt("routes", planted_key);
  EXPECT_EQ(stop().network_failure, "");

  for (const char* name : {"raw", "raw6", "hop_options", "destination_options"})
    EXPECT_EQ(outcomes[name], "EPERM") << name;
  // What goes under another protocol's number is listed, with what it held, and carried nowhere.
  for (const char* name : {"sctp", "dccp"})
    EXPECT_TRUE(is_absent(outcomes[name]) || outcomes[name] == "timeout")
        << name << " " << outcomes[name];
  if (outcomes["udplite"] == "sent") {
    EXPECT_GE(to("203.0.113.80", 0).canaries.size(), 1U);
    EXPECT_EQ(to("203.0.113.80", 0).verdict, FlowVerdict::refused);
  }
  // To the gateway this is TCP, and sunk as such.
  if (!is_absent(outcomes["mptcp"])) {
    EXPECT_EQ(outcomes["mptcp"], "worked");
    EXPECT_EQ(to("203.0.113.80", 9103).canaries.size(), 1U);
  }
  EXPECT_EQ(outcomes["device"], "ECONNREFUSED");
  EXPECT_EQ(to("192.0.2.1", 443).verdict, FlowVerdict::refused);
  EXPECT_NE(outcomes["device_loopback"], "worked");
  for (const char* name : {"mdns", "llmnr", "mdns6", "dhcp", "broadcast"})
    EXPECT_NE(outcomes[name], "worked") << name;
  EXPECT_EQ(to("224.0.0.251", 5353).verdict, FlowVerdict::refused);
  EXPECT_EQ(to("224.0.0.252", 5355).verdict, FlowVerdict::refused);
  EXPECT_EQ(to("ff02::fb", 5353).verdict, FlowVerdict::refused);
  EXPECT_EQ(to("255.255.255.255", 67).verdict, FlowVerdict::refused);

  for (const char* name : {"source_route", "source_route_udp"})
    EXPECT_NE(outcomes[name], "worked") << name;
  if (outcomes["source_route_udp"] == "sent") {
    // The kernel aims it at the first host on the way, and names the others in the packet.
    const Flow routed = to("192.0.2.1", 0);
    EXPECT_EQ(routed.verdict, FlowVerdict::refused);
    EXPECT_NE(routed.reason.find("route"), std::string::npos) << routed.reason;
    EXPECT_GE(routed.canaries.size(), 1U);
    EXPECT_TRUE(flows_to("203.0.113.80", 9105).empty());
  }
  for (const char* name : {"routing_header_2", "routing_header_4"})
    EXPECT_TRUE(is_absent(outcomes[name]) || outcomes[name] == "sent") << outcomes[name];
  EXPECT_TRUE(flows_to("2001:db8::80", 9002).empty());

  // Under another's address nothing is sunk, where the same under its own would be.
  EXPECT_NE(outcomes["spoofed"], "sent");
  EXPECT_NE(outcomes["spoofed6_tcp"], "worked");
  for (const Flow& flow : flows()) {
    if (network::to_string(flow.source.address) != "2001:db8::99") continue;
    EXPECT_EQ(flow.verdict, FlowVerdict::refused);
    EXPECT_NE(flow.reason.find("another sender"), std::string::npos) << flow.reason;
  }
  EXPECT_EQ(outcomes["own_server"], "worked");
  EXPECT_NE(outcomes["others_server"], "worked");
  EXPECT_NE(outcomes["gateways_server"], "worked");

  EXPECT_EQ(outcomes["same_port"], "worked");
  std::size_t whole = 0;
  for (const Flow& flow : flows_to("203.0.113.80", 9109)) whole += flow.sent.size;
  EXPECT_EQ(flows_to("203.0.113.80", 9109).size(), 200U);
  EXPECT_LE(whole, 200U);

  if (outcomes["segmented"] == "sent") {
    const Flow cut = to("203.0.113.80", 9110);
    EXPECT_EQ(cut.sent.size, 2500U);
    EXPECT_EQ(cut.attempts, 3U);
  }
}

// Before they are accepted: of urgent bytes that came sooner the kernel would leave some out.
TEST_F(OddTest, ListenersTakeUrgentBytesAsOthers) {
  if (::geteuid() != 0) GTEST_SKIP() << "the gateway's sockets are looked at as root";
  start_world();
  UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, gateway_pid(), 0)));
  int listeners = 0;
  for (int number = 0; number < 64; ++number) {
    UniqueFd socket(static_cast<int>(::syscall(SYS_pidfd_getfd, process.get(), number, 0)));
    int value = 0;
    socklen_t size = sizeof(value);
    if (!socket || ::getsockopt(socket.get(), SOL_SOCKET, SO_ACCEPTCONN, &value, &size) != 0 ||
        value == 0)
      continue;
    ++listeners;
    EXPECT_EQ(::getsockopt(socket.get(), SOL_SOCKET, SO_OOBINLINE, &value, &size), 0);
    EXPECT_EQ(value, 1);
  }
  EXPECT_EQ(listeners, 2);
}

TEST_F(OddTest, WordsThatAreNotFinishedAreSearched) {
  for (const char* one : {planted_key, unplanted_key}) {
    start_world({{{"name", "no"}, {"to", {"192.0.2.13", "192.0.2.16"}}, {"action", "refuse"}},
                 {{"name", "pit"}, {"to", {"203.0.113.80"}}, {"action", "sink"}}},
                canaries);
    const std::size_t before = flows().size();
    auto outcomes = attempt("words", one);
    for (const auto& [name, outcome] : outcomes)
      EXPECT_TRUE(outcome == "worked" || outcome == "sent" || name == "data_in_syn")
          << name << " " << outcome;
    EXPECT_EQ(stop().network_failure, "");
    auto all = flows();
    if (one == unplanted_key) {
      for (std::size_t i = before; i < all.size(); ++i)
        EXPECT_TRUE(all[i].canaries.empty()) << network::to_string(all[i].destination);
      continue;
    }
    for (const char* address :
         {"192.0.2.11", "192.0.2.12", "192.0.2.13", "192.0.2.14", "192.0.2.16", "203.0.113.80"})
      EXPECT_GE(hits_at(address), 1U) << address;
    EXPECT_FALSE(flows_to("192.0.2.15", 53).empty());
    // Once for each way to end.
    std::map<std::string, int> found;
    for (const Flow& flow : all)
      for (const auto& hit : flow.canaries) {
        const std::string at = network::to_string(flow.destination.address);
        ++found[at + " " + std::string(network::to_string(flow.protocol)) + " " + hit.place];
      }
    std::string list;
    for (const auto& [what, number] : found) list += what + " " + std::to_string(number) + "\n";
    EXPECT_EQ(found["192.0.2.53 dns dns message"], 3) << list;
    EXPECT_EQ(found["192.0.2.80 http malformed http request"], 3) << list;
    EXPECT_EQ(found["192.0.2.80 http http request body"], 3) << list;
    EXPECT_EQ(found["192.0.2.80 tls tls handshake"], 3) << list;
    EXPECT_EQ(found["192.0.2.25 smtp smtp command"], 3) << list;
    EXPECT_EQ(found["192.0.2.25 smtp mail"], 3) << list;
    sandbox_.reset();
  }
}

}  // namespace
}  // namespace gyges::isolation
