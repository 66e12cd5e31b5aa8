// Every attempt of the program beside this file, behind the egress gateway: once where the policy
// refuses, once where it lets everything in, which shows that the attempts would work.
#include <gtest/gtest.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "sandbox/network/network_policy.h"
#include "sandbox_fixture.h"

extern "C" const char gyges_network_attempts_begin[];
extern "C" const char gyges_network_attempts_end[];

namespace gyges::isolation {
namespace {

using network::Flow;
using network::FlowProtocol;
using network::FlowVerdict;

struct Expected {
  const char* name;
  const char* refused;
  const char* allowed;
};

constexpr const char* reset = "ECONNREFUSED";

const Expected expectations[] = {
    {"tcp4", reset, "worked"},
    {"tcp6", reset, "worked"},
    {"tcp_high_port", reset, "worked"},
    {"tcp_silent", "timeout", "worked"},
    {"tcp_unreachable", "EHOSTUNREACH", "worked"},
    {"mapped", reset, "worked"},
    {"neighbour", reset, "worked"},
    {"gateway", reset, "worked"},
    {"gateway_listener", reset, "worked"},
    {"metadata", reset, "worked"},
    {"metadata6", reset, "worked"},
    // The sandbox's own loopback: nothing listens there in either case. The host's answers the
    // test.
    {"host_loopback", reset, reset},
    {"host_loopback6", reset, reset},
    {"unspecified", reset, reset},
    {"udp4", reset, "timeout"},  // taken and never answered
    {"udp6", reset, "timeout"},
    {"quic", reset, "timeout"},
    {"udp_fragments", "timeout", "timeout"},
    {"multicast", "timeout", "timeout"},
    {"fast_open", reset, "worked"},
    {"ping", "timeout", "worked"},
    {"interface_down", "EPERM", "EPERM"},
    {"transparent", "EPERM", "EPERM"},
    {"storm", "worked", "worked"},
    {"sunk", "worked", "worked"},
    {"sunk_fast_open", "worked", "worked"},
    {"sunk_body", "worked", "worked"},
    {"sunk_storm", "worked", "worked"},
};

class GatewayTest : public SandboxTest {
 protected:
  void SetUp() override {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in here{};
    here.sin_family = AF_INET;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&here), sizeof(here)), 0);
    ASSERT_EQ(::listen(listener_, 8), 0);
    socklen_t size = sizeof(here);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&here), &size);
    port_ = ntohs(here.sin_port);
    // Positive control: the host's loopback answers whoever is on it.
    int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&here), sizeof(here)), 0);
    ::close(fd);
  }
  void TearDown() override {
    sandbox_.reset();
    ::close(listener_);
  }

  void start_with(const nlohmann::json& section) {
    auto policy = network::network_policy_from_json(section, "test");
    ASSERT_TRUE(policy) << policy.error().line();
    SandboxSpec spec{test_policy(), {}, nullptr};
    spec.policy.network = *policy;
    SeedFile program;
    program.path = "/tmp/attempts";
    program.mode = 0755;
    program.content = {gyges_network_attempts_begin, gyges_network_attempts_end};
    spec.seed.push_back(std::move(program));
    spec.flows = [this](Flow flow) -> Status {
      std::scoped_lock lock(mutex_);
      flows_.push_back(std::move(flow));
      return ok();
    };
    start(spec);
  }

  std::map<std::string, std::string> attempt(const std::string& storm) {
    Ran ran = run_argv({"/tmp/attempts", std::to_string(port_), storm});
    EXPECT_EQ(ran.end.exit_code, 0) << ran.output;
    std::map<std::string, std::string> outcomes;
    for (const std::string& line : split(ran.output, '\n')) {
      auto space = line.find(' ');
      if (space != std::string::npos) outcomes[line.substr(0, space)] = line.substr(space + 1);
    }
    return outcomes;
  }

  // Flows to a destination, after stop().
  std::vector<Flow> flows_to(const std::string& address, std::uint16_t port) {
    std::vector<Flow> found;
    for (const Flow& flow : flows_)
      if (network::to_string(flow.destination.address) == address && flow.destination.port == port)
        found.push_back(flow);
    return found;
  }

  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::mutex mutex_;
  std::vector<Flow> flows_;
};

const nlohmann::json refusing = {
    {"mode", "gateway"},
    {"echo", "drop"},
    {"body_bytes", 4096},
    {"rules",
     {{{"name", "silence"}, {"to", {"198.51.100.1"}}, {"action", "refuse"}, {"refuse", "timeout"}},
      {{"name", "no way"},
       {"to", {"198.51.100.2"}},
       {"action", "refuse"},
       {"refuse", "unreachable"}},
      {{"name", "pit"}, {"to", {"203.0.113.80"}}, {"action", "sink"}}}}};

TEST_F(GatewayTest, WhatThePolicyDoesNotNameIsRefusedAndRecorded) {
  start_with(refusing);
  auto outcomes = attempt("ECONNREFUSED");
  for (const Expected& row : expectations) EXPECT_EQ(outcomes[row.name], row.refused) << row.name;
  SandboxEnd end = stop();
  EXPECT_EQ(end.network_failure, "");

  auto one = [&](const char* address, std::uint16_t port) {
    auto flows = flows_to(address, port);
    EXPECT_FALSE(flows.empty()) << address << " " << port;
    return flows.empty() ? Flow{} : flows.front();
  };
  EXPECT_EQ(one("192.0.2.1", 443).verdict, FlowVerdict::refused);
  EXPECT_EQ(one("192.0.2.1", 443).rule, "default");
  EXPECT_EQ(one("2001:db8::1", 443).verdict, FlowVerdict::refused);
  EXPECT_EQ(one("198.51.100.1", 80).rule, "silence");
  EXPECT_EQ(one("198.51.100.2", 80).rule, "no way");
  EXPECT_EQ(one("169.254.169.254", 80).verdict, FlowVerdict::refused);
  EXPECT_EQ(one("192.0.2.1", 9999).protocol, FlowProtocol::udp);
  EXPECT_EQ(one("224.0.0.251", 5353).verdict, FlowVerdict::refused);
  EXPECT_EQ(one("192.0.2.1", 0).verdict, FlowVerdict::refused);  // ping or fragments
  // Loopback inside is private to the sandbox: nothing of it reaches the gateway.
  EXPECT_TRUE(flows_to("127.0.0.1", port_).empty());
  EXPECT_EQ(flows_to("192.0.2.3", 1).size(), 2000U);

  Flow sunk = one("203.0.113.80", 8080);
  EXPECT_EQ(sunk.verdict, FlowVerdict::sunk);
  EXPECT_EQ(sunk.rule, "pit");
  EXPECT_EQ(sunk.sent.head, "gyges-network-attempt");
  // Data of a fast open is neither lost nor taken twice.
  EXPECT_EQ(one("203.0.113.80", 8081).sent.head, "gyges-network-attempt");
  Flow body = one("203.0.113.80", 8082);
  EXPECT_EQ(body.sent_bytes, 48U << 20U);
  EXPECT_EQ(body.sent.head.size(), 4096U);
  EXPECT_EQ(flows_to("203.0.113.80", 8083).size(), 2000U);
}

TEST_F(GatewayTest, TheSameAttemptsArriveWhereThePolicyLetsThem) {
  start_with({{"mode", "gateway"}, {"rules", {{{"name", "all"}, {"action", "sink"}}}}});
  auto outcomes = attempt("worked");
  for (const Expected& row : expectations) EXPECT_EQ(outcomes[row.name], row.allowed) << row.name;
  EXPECT_EQ(stop().network_failure, "");
  for (const char* address : {"192.0.2.1", "2001:db8::1"}) {
    auto flows = flows_to(address, 443);
    ASSERT_FALSE(flows.empty()) << address;
    EXPECT_EQ(flows.front().verdict, FlowVerdict::sunk);
    EXPECT_EQ(flows.front().sent.head, "gyges-network-attempt");
  }
}

}  // namespace
}  // namespace gyges::isolation
