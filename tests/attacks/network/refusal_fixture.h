// The attempts of attempts.cpp, and what becomes of each where the policy refuses and where it lets
// everything in, which shows that the attempts would work.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <map>
#include <string>

#include "base/json.h"
#include "base/text.h"
#include "gateway_fixture.h"

namespace gyges::isolation {

struct Expected {
  const char* name;
  const char* refused;
  const char* allowed;
};

inline constexpr const char* reset = "ECONNREFUSED";

inline const Expected expectations[] = {
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

class RefusalTest : public GatewayTest {
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
    GatewayTest::TearDown();
    ::close(listener_);
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

  int listener_ = -1;
  std::uint16_t port_ = 0;
};

inline const nlohmann::json refusing = {
    {"mode", "gateway"},
    {"echo", "drop"},
    {"body_bytes", 4096},
    {"rules",
     {{{"name", "silence"}, {"to", {"198.51.100.1"}}, {"action", "refuse"}, {"refuse", "timeout"}},
      {{"name", "no way"},
       {"to", {"198.51.100.2"}},
       {"action", "refuse"},
       {"refuse", "unreachable"}},
      {{"name", "pit"}, {"to", {"203.0.113.80"}}, {"ports", {"8080-8083"}}, {"action", "sink"}}}}};

}  // namespace gyges::isolation
