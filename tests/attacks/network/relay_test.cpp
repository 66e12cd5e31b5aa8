// Relay: the gateway dials for the sandbox. It runs in a network namespace that the test makes, so
// that documentation addresses are local and nothing can leave.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include "base/fd.h"
#include "gateway_fixture.h"

namespace gyges::isolation {
namespace {

using network::FlowVerdict;

// A server that answers each connection with what it is sent, behind the word "echo ".
class EchoServer {
 public:
  EchoServer(const char* address, std::uint16_t port) {
    fd_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in here{};
    here.sin_family = AF_INET;
    here.sin_port = htons(port);
    ::inet_pton(AF_INET, address, &here.sin_addr);
    int on = 1;
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    bound_ = ::bind(fd_.get(), reinterpret_cast<sockaddr*>(&here), sizeof(here)) == 0 &&
             ::listen(fd_.get(), 64) == 0;
    thread_ = std::thread([this] { serve(); });
  }
  ~EchoServer() {
    stop_ = true;
    thread_.join();
  }
  [[nodiscard]] bool bound() const { return bound_; }
  [[nodiscard]] int accepted() const { return accepted_; }

 private:
  void serve() {
    while (!stop_) {
      pollfd wait{fd_.get(), POLLIN, 0};
      if (::poll(&wait, 1, 50) <= 0) continue;
      UniqueFd client(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!client) continue;
      ++accepted_;
      char bytes[4096];
      ssize_t n = ::recv(client.get(), bytes, sizeof(bytes), 0);
      std::string answer = "echo " + std::string(bytes, n > 0 ? static_cast<std::size_t>(n) : 0);
      (void)!::send(client.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
    }
  }
  UniqueFd fd_;
  std::thread thread_;
  std::atomic<bool> stop_ = false;
  std::atomic<int> accepted_ = 0;
  bool bound_ = false;
};

class RelayTest : public GatewayTest {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "the namespace of the servers is made as root";
    home_.reset(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
    ASSERT_EQ(std::system("ip link set lo up && ip addr add 198.51.100.7/32 dev lo && "
                          "ip addr add 10.9.9.9/32 dev lo"),
              0);
  }
  void TearDown() override {
    GatewayTest::TearDown();
    if (home_) {
      EXPECT_EQ(::setns(home_.get(), CLONE_NEWNET), 0);
    }
  }

  UniqueFd home_;
};

TEST_F(RelayTest, WhatTheRuleNamesIsDialledAndNothingElse) {
  EchoServer named("198.51.100.7", 7001);
  EchoServer other_port("198.51.100.7", 7002);
  EchoServer private_address("10.9.9.9", 7001);
  EchoServer host_loopback("127.0.0.1", 7001);
  ASSERT_TRUE(named.bound() && other_port.bound() && private_address.bound() &&
              host_loopback.bound());
  start_with({{"mode", "gateway"},
              {"rules",
               {{{"name", "named"},
                 {"to", {"198.51.100.0/24"}},
                 {"ports", {7001}},
                 {"action", "relay"}}}}});
  auto talk_to = [&](const char* address, int port) {
    return run_argv({"/bin/bash", "-c",
                     "exec 3<>/dev/tcp/" + std::string(address) + "/" + std::to_string(port) +
                         " && echo -n hello >&3 && timeout 3 cat <&3"})
        .output;
  };
  EXPECT_EQ(talk_to("198.51.100.7", 7001), "echo hello");
  EXPECT_NE(talk_to("198.51.100.7", 7002).find("refused"), std::string::npos);
  EXPECT_NE(talk_to("10.9.9.9", 7001).find("refused"), std::string::npos);
  EXPECT_NE(talk_to("127.0.0.1", 7001).find("refused"), std::string::npos);
  // Allowed, but nobody is there: as a reset.
  EXPECT_EQ(talk_to("198.51.100.8", 7001).find("echo"), std::string::npos);
  EXPECT_EQ(stop().network_failure, "");
  EXPECT_EQ(named.accepted(), 1);
  EXPECT_EQ(other_port.accepted() + private_address.accepted() + host_loopback.accepted(), 0);
  auto flows = flows_to("198.51.100.7", 7001);
  ASSERT_EQ(flows.size(), 1U);
  EXPECT_EQ(flows[0].verdict, FlowVerdict::relayed);
  EXPECT_EQ(network::to_string(flows[0].dialled), "198.51.100.7:7001");
  EXPECT_EQ(flows[0].received_bytes, 10U);
}

}  // namespace
}  // namespace gyges::isolation
