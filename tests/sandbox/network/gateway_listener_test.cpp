#include "sandbox/init/gateway_listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>

#include "base/fd.h"
#include "base/files.h"
#include "base/text.h"

namespace gyges::init {
namespace {

constexpr std::uint16_t port = 7001;

std::string congestion_control(int socket) {
  std::array<char, 16> name{};
  socklen_t size = name.size();
  if (::getsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, name.data(), &size) != 0) return "unknown";
  return name.data();
}

// On a thread in a network namespace that goes with it.
void in_own_network(const std::function<void()>& test) {
  std::thread([&] {
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0) << std::strerror(errno);
    ASSERT_EQ(std::system("ip link set lo up"), 0);
    test();
  }).join();
}

UniqueFd connect_to(int family, bool& begun, std::uint16_t at = port) {
  UniqueFd client(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(at);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  sockaddr_in6 to6{};
  to6.sin6_family = AF_INET6;
  to6.sin6_port = htons(at);
  to6.sin6_addr = in6addr_loopback;
  begun = ::connect(client.get(),
                    family == AF_INET ? reinterpret_cast<sockaddr*>(&to)
                                      : reinterpret_cast<sockaddr*>(&to6),
                    family == AF_INET ? sizeof(to) : sizeof(to6)) == 0 ||
          errno == EINPROGRESS;
  return client;
}

UniqueFd accepted_by(int listener) {
  pollfd wait{listener, POLLIN, 0};
  if (::poll(&wait, 1, 300) != 1) return {};
  return UniqueFd(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
}

class GatewayListener : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "the namespace of the listener is made as root";
  }
};

TEST_F(GatewayListener, AcceptsAtEveryAddressAndKeepsUrgentBytesInLine) {
  in_own_network([] {
    for (int family : {AF_INET, AF_INET6}) {
      UniqueFd listener(make_gateway_listener(family, port, nullptr));
      ASSERT_TRUE(listener) << std::strerror(errno);
      EXPECT_EQ(::fcntl(listener.get(), F_GETFD), FD_CLOEXEC);
      EXPECT_NE(::fcntl(listener.get(), F_GETFL) & O_NONBLOCK, 0);
      bool begun = false;
      UniqueFd client = connect_to(family, begun);
      ASSERT_TRUE(begun);
      UniqueFd server = accepted_by(listener.get());
      ASSERT_TRUE(server);
      int in_line = 0;
      int transparent = 0;
      socklen_t size = sizeof(int);
      ::getsockopt(server.get(), SOL_SOCKET, SO_OOBINLINE, &in_line, &size);
      ::getsockopt(server.get(), family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6,
                   family == AF_INET ? IP_TRANSPARENT : IPV6_TRANSPARENT, &transparent, &size);
      EXPECT_EQ(in_line, 1);
      EXPECT_EQ(transparent, 1);
      errno = 0;
      EXPECT_EQ(make_gateway_listener(family, port, nullptr), -1);
      EXPECT_EQ(errno, EADDRINUSE);
    }
  });
}

TEST_F(GatewayListener, WhatItAcceptsIsNotPacedWhateverTheHostDoes) {
  in_own_network([] {
    const std::string known =
        read_file("/proc/sys/net/ipv4/tcp_allowed_congestion_control", 4096).value_or("");
    std::string other;
    for (const std::string& name : split(known.substr(0, known.find('\n')), ' '))
      if (name != "reno") other = name;
    if (other.empty()) GTEST_SKIP() << "this host allows one congestion control";
    ASSERT_EQ(
        std::system(("echo " + other + " > /proc/sys/net/ipv4/tcp_congestion_control").c_str()), 0);
    UniqueFd listener(make_gateway_listener(AF_INET, port, nullptr));
    ASSERT_TRUE(listener) << std::strerror(errno);
    bool begun = false;
    UniqueFd client = connect_to(AF_INET, begun);
    ASSERT_TRUE(begun);
    UniqueFd server = accepted_by(listener.get());
    ASSERT_TRUE(server);
    EXPECT_EQ(congestion_control(client.get()), other);
    EXPECT_EQ(congestion_control(server.get()), "reno");
  });
}

TEST_F(GatewayListener, AFilterDecidesOnTheFirstSegment) {
  in_own_network([] {
    for (const std::uint32_t passes : {~0U, 0U}) {
      const std::uint16_t at = passes != 0 ? port : port + 1;
      sock_filter rule = BPF_STMT(BPF_RET | BPF_K, passes);
      const sock_fprog filter{1, &rule};
      UniqueFd listener(make_gateway_listener(AF_INET, at, &filter));
      ASSERT_TRUE(listener) << std::strerror(errno);
      bool begun = false;
      UniqueFd client = connect_to(AF_INET, begun, at);
      ASSERT_TRUE(begun);
      EXPECT_EQ(accepted_by(listener.get()).valid(), passes != 0);
    }
  });
}

}  // namespace
}  // namespace gyges::init
