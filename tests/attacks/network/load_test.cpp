// How much the gateway bears: connections in number and at one time, large bodies, bombs, floods;
// each beside an ordinary request that must still be answered, in bounded memory.
//
// GYGES_LOAD=full: 100,000 connections, 10,000 at one time, bodies of 1 GiB; some minutes.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <iostream>
#include <thread>

#include "base/hash.h"
#include "gateway_fixture.h"
#include "sandbox/network/address.h"
#include "test_servers.h"

namespace gyges::isolation {
namespace {

using network::Flow;
using network::FlowProtocol;
using network::FlowVerdict;

bool full() {
  const char* load = std::getenv("GYGES_LOAD");
  return load != nullptr && std::string_view(load) == "full";
}

// A sanitizer's own memory is not the gateway's.
#ifdef __SANITIZE_ADDRESS__
constexpr std::uint64_t most_kib = ~0ULL;
#else
constexpr std::uint64_t most_kib = 64U << 10U;
#endif

std::string count(int quick, int all) {
  return std::to_string(full() ? all : quick);
}

std::string hash_of_body(std::uint64_t mib) {
  Sha256Hasher hasher;
  const std::string block(1U << 20U, 'b');
  for (std::uint64_t i = 0; i < mib; ++i) hasher.update(block);
  return to_hex(hasher.finish());
}

class LoadTest : public SimulatedTest {
 protected:
  void SetUp() override {
    adapt_ = [](SandboxSpec& spec) {
      spec.policy.limits.wall_seconds = full() ? 280 : 60;
      spec.policy.limits.open_files = 16384;
    };
  }
  std::string attempts(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "/tmp/attempts");
    return run_argv(std::move(arguments)).output;
  }
  static void expect_bounded() {
    std::uint64_t peak = gateway_peak_kib();
    EXPECT_LE(peak, most_kib);
    if (full()) std::cout << "the gateway's peak: " << peak << " KiB" << std::endl;
  }
  // Soon: what came before is reported first, and a gateway whose supervisor does not keep up reads
  // nothing meanwhile.
  void expect_answers() {
    std::string output;
    for (int i = 0; i < 60 && output != "many worked\n"; ++i) {
      if (i > 0) ::usleep(500000);
      output = attempts({"many", "192.0.2.80", "1"});
    }
    EXPECT_EQ(output, "many worked\n");
  }
  static inline const nlohmann::json pit = {
      {{"name", "pit"}, {"to", {"203.0.113.80"}}, {"action", "sink"}}};
};

TEST_F(LoadTest, ConnectionsOneAfterTheOther) {
  start_world();
  std::string number = count(2000, 100000);
  EXPECT_EQ(attempts({"many", "192.0.2.80", number}), "many worked\n");
  expect_bounded();
  EXPECT_EQ(stop().network_failure, "");
  std::size_t requests = 0;
  for (const Flow& flow : flows()) requests += flow.http ? 1U : 0U;
  EXPECT_EQ(std::to_string(requests), number);
}

TEST_F(LoadTest, ConnectionsAtOneTime) {
  start_world(pit);
  std::string number = count(1000, 10000);
  EXPECT_EQ(attempts({"hold", "192.0.2.80", "80", number, "64"}), "hold worked\n");
  expect_bounded();
  expect_answers();
  // Each with as much as is kept of it.
  EXPECT_EQ(attempts({"hold", "203.0.113.80", "9", number, "65536"}), "hold worked\n");
  expect_bounded();
  expect_answers();
  EXPECT_EQ(attempts({"hold", "192.0.2.80", "80", number, "65536"}), "hold worked\n");
  expect_bounded();
  expect_answers();
  EXPECT_EQ(stop().network_failure, "");
  std::size_t whole = 0;
  for (const Flow& flow : flows_to("203.0.113.80", 9)) whole += flow.sent.head.size() == 65536;
  EXPECT_EQ(std::to_string(whole), number);
}

TEST_F(LoadTest, LargeBodiesAreCountedAndHashed) {
  start_world(pit);
  const std::uint64_t mib = full() ? 1024 : 64;
  const std::string hash = hash_of_body(mib);
  EXPECT_EQ(attempts({"body", "192.0.2.80", "80", std::to_string(mib)}), "body worked\n");
  EXPECT_EQ(attempts({"body", "203.0.113.80", "9", std::to_string(mib)}), "body received 0\n");
  expect_bounded();
  expect_answers();
  EXPECT_EQ(stop().network_failure, "");
  auto sunk = flows_to("203.0.113.80", 9);
  ASSERT_EQ(sunk.size(), 1U);
  EXPECT_EQ(sunk[0].sent.size, mib << 20U);
  EXPECT_EQ(sunk[0].sent.sha256, hash);
  for (const Flow& flow : flows()) {
    if (!flow.http || flow.http->method != "POST") continue;
    EXPECT_EQ(flow.http->request_body.size, mib << 20U);
    EXPECT_EQ(flow.http->request_body.sha256, hash);
    EXPECT_EQ(flow.http->request_body.head, std::string(65536, 'b'));
  }
}

TEST_F(LoadTest, BombsAreUnpackedOnlySoFar) {
  start_world(nlohmann::json::array(), {{{"name", "key"}, {"token", "q7Jd0vXr2mLw9TzA"}}});
  std::string mib = count(64, 1024);
  ASSERT_EQ(run("printf q7Jd0vXr2mLw9TzA | gzip > /tmp/small && head -c " + mib +
                "M /dev/zero | gzip -1 > /tmp/bomb && gzip -1 < /tmp/bomb > /tmp/nested")
                .output,
            "");
  for (const char* file : {"/tmp/small", "/tmp/bomb", "/tmp/nested"})
    EXPECT_EQ(attempts({"post", "192.0.2.80", file}), "post 200\n") << file;
  expect_bounded();
  EXPECT_EQ(stop().network_failure, "");
  std::vector<std::string> found;
  for (const Flow& flow : flows())
    for (const auto& hit : flow.canaries) found.push_back(hit.encoding);
  EXPECT_EQ(found, std::vector<std::string>{"gzip, plain"});
}

TEST_F(LoadTest, LargeDatagramsAreRecordedAndGoNowhere) {
  start_world(pit);
  for (const char* address : {"203.0.113.80", "2001:db8::80"})
    EXPECT_EQ(attempts({"datagrams", address, "9"}),
              "loopback worked\nsmall sent\nlarge sent\nlargest sent\nafter sent\n")
        << address;
  EXPECT_EQ(attempts({"spray", count(3000, 60000)}), "spray worked\n");
  expect_bounded();
  expect_answers();
  EXPECT_EQ(stop().network_failure, "");
  std::uint64_t small = 0, fragments = 0, fragments6 = 0;
  for (const Flow& flow : flows()) {
    std::string address = network::to_string(flow.destination.address);
    bool cut = flow.reason.find("fragments") != std::string::npos;
    if (address == "203.0.113.80")
      (cut ? fragments : small) += cut ? flow.attempts : flow.sent.size;
    if (address == "2001:db8::80" && cut) fragments6 += flow.attempts;
  }
  EXPECT_EQ(small, 2400U);
  // 8,000 and 65,000 bytes in packets of 1,500.
  EXPECT_EQ(fragments, 6U + 44U);
  EXPECT_GE(fragments6, 6U + 44U);
}

// Takes connections one after the other, counts what comes and sends back as much.
class Mirror {
 public:
  explicit Mirror(const char* address, std::uint16_t port) {
    sockaddr_storage here{};
    unsigned size = network::to_sockaddr({*network::parse_address(address), port}, here);
    fd_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    bound_ = ::bind(fd_.get(), reinterpret_cast<sockaddr*>(&here), size) == 0 &&
             ::listen(fd_.get(), 512) == 0;
    thread_ = std::thread([this] { serve(); });
  }
  ~Mirror() {
    stop_ = true;
    thread_.join();
  }
  [[nodiscard]] bool bound() const { return bound_; }

 private:
  void serve() {
    while (!stop_) {
      pollfd ready{fd_.get(), POLLIN, 0};
      if (::poll(&ready, 1, 50) <= 0) continue;
      UniqueFd client(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      std::string block(1U << 20U, '\0');
      std::size_t left = 0;
      for (ssize_t n = 1; n > 0;) {
        n = ::recv(client.get(), block.data(), block.size(), 0);
        if (n > 0) left += static_cast<std::size_t>(n);
      }
      block.assign(block.size(), 'b');
      while (left > 0) {
        ssize_t n = ::send(client.get(), block.data(), std::min(block.size(), left), MSG_NOSIGNAL);
        if (n <= 0) break;
        left -= static_cast<std::size_t>(n);
      }
    }
  }
  UniqueFd fd_;
  bool bound_ = false;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

TEST_F(LoadTest, ConnectionsOneAfterTheOtherAreRelayed) {
  if (::geteuid() != 0) GTEST_SKIP() << "the namespace of the server is made as root";
  OwnNetwork network;
  network.enter();
  TcpServer server("198.51.100.7", 80, [](const std::string&) {
    return TcpServer::Reply{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", true};
  });
  ASSERT_TRUE(server.bound());
  start_world({{{"name", "out"}, {"to", {"198.51.100.7"}}, {"ports", {80}}, {"action", "relay"}}});
  std::string number = count(2000, 100000);
  // Each command in less than the minute that it has.
  for (int turn = 0; turn < (full() ? 10 : 1); ++turn)
    EXPECT_EQ(attempts({"many", "198.51.100.7", count(2000, 10000)}), "many worked\n");
  expect_bounded();
  EXPECT_EQ(stop().network_failure, "");
  EXPECT_EQ(std::to_string(server.accepted()), number);
  std::size_t whole = 0;
  for (const Flow& flow : flows_to("198.51.100.7", 80))
    whole +=
        flow.verdict == FlowVerdict::relayed && flow.received.head.ends_with("hello") ? 1U : 0U;
  EXPECT_EQ(std::to_string(whole), number);
}

// Lengths of chunks with as much beside them as a line may have. What is in it is searched, and a
// longer line is refused.
TEST_F(LoadTest, ExtensionsOfChunksAreBoundedAndSearched) {
  const std::string key = "q7Jd0vXr2mLw9TzA";
  start_world(nlohmann::json::array(), {{{"name", "key"}, {"token", key}}});
  const std::string many = count(2000, 20000);
  for (const std::string& token : {key, std::string("Zk3Qe8yBn5HsU1cF")})
    EXPECT_EQ(attempts({"extensions", "192.0.2.80", many, "4000", token}), "extensions 200\n");
  EXPECT_EQ(attempts({"extensions", "192.0.2.80", "1", "9000", key}), "extensions 400\n");
  expect_bounded();
  expect_answers();
  EXPECT_EQ(stop().network_failure, "");
  std::vector<std::size_t> hits;
  for (const Flow& flow : flows())
    if (flow.http && flow.http->status == 200 && flow.http->method == "POST")
      hits.push_back(flow.canaries.size());
  EXPECT_EQ(hits, (std::vector<std::size_t>{1, 0}));
}

TEST_F(LoadTest, LargeBodiesAreRelayedBothWays) {
  if (::geteuid() != 0) GTEST_SKIP() << "the namespace of the server is made as root";
  OwnNetwork network;
  network.enter();
  Mirror mirror("198.51.100.7", 7001);
  ASSERT_TRUE(mirror.bound());
  start_world({{{"name", "mirror"},
                {"to", {"198.51.100.7"}},
                {"ports", {7001, 7002}},
                {"action", "relay"}}});
  const std::uint64_t mib = full() ? 1024 : 64;
  EXPECT_EQ(attempts({"body", "198.51.100.7", "7001", std::to_string(mib)}),
            "body received " + std::to_string(mib << 20U) + "\n");
  expect_bounded();
  {
    // A destination that takes what comes into its buffers and reads nothing.
    UniqueFd deaf(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_storage here{};
    unsigned size = network::to_sockaddr({*network::parse_address("198.51.100.7"), 7002}, here);
    int little = 4096;
    ::setsockopt(deaf.get(), SOL_SOCKET, SO_RCVBUF, &little, sizeof(little));
    ASSERT_EQ(::bind(deaf.get(), reinterpret_cast<sockaddr*>(&here), size), 0);
    ASSERT_EQ(::listen(deaf.get(), 4096), 0);
    attempts({"hold", "198.51.100.7", "7002", count(300, 1000), "300000"});
    expect_bounded();
    expect_answers();
  }
  EXPECT_EQ(stop().network_failure, "");
  auto flows = flows_to("198.51.100.7", 7001);
  ASSERT_EQ(flows.size(), 1U);
  EXPECT_EQ(flows[0].verdict, FlowVerdict::relayed);
  const std::string hash = hash_of_body(mib);
  EXPECT_EQ(flows[0].sent.size, mib << 20U);
  EXPECT_EQ(flows[0].sent.sha256, hash);
  EXPECT_EQ(flows[0].received.size, mib << 20U);
  EXPECT_EQ(flows[0].received.sha256, hash);
}

}  // namespace
}  // namespace gyges::isolation
