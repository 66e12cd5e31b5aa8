#include "tests/host_capture.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>

namespace gyges {
namespace {

void send_to(const char* address, const char* from = nullptr) {
  const bool v6 = std::strchr(address, ':') != nullptr;
  const int fd = ::socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(9);
  sockaddr_in6 to6{};
  to6.sin6_family = AF_INET6;
  to6.sin6_port = htons(9);
  ::inet_pton(v6 ? AF_INET6 : AF_INET, address,
              v6 ? static_cast<void*>(&to6.sin6_addr) : static_cast<void*>(&to.sin_addr));
  sockaddr_in here{};
  here.sin_family = AF_INET;
  if (from != nullptr) {
    ::inet_pton(AF_INET, from, &here.sin_addr);
    EXPECT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&here), sizeof(here)), 0);
  }
  (void)::sendto(fd, "gyges", 5, 0,
                 v6 ? reinterpret_cast<sockaddr*>(&to6) : reinterpret_cast<sockaddr*>(&to),
                 v6 ? sizeof(to6) : sizeof(to));
  ::close(fd);
}

int capture = -1;
std::string why_not;

// Looks once a test has ended, so that what left is told of the test that let it.
class Watch : public ::testing::EmptyTestEventListener {
 public:
  explicit Watch(int socket) : capture_(socket) {}
  void OnTestEnd(const ::testing::TestInfo&) override {
    const std::string seen = seen_by(capture_);
    if (!seen.empty()) ADD_FAILURE() << "packets left on the host:\n" << seen;
  }

 private:
  int capture_;
};

class HostCapture : public ::testing::Environment {
 public:
  void SetUp() override {
    if (const char* handed = std::getenv(host_capture_variable)) {
      capture = std::atoi(handed);
      ASSERT_EQ(::fcntl(capture, F_SETFD, FD_CLOEXEC), 0);
      ::unsetenv(host_capture_variable);
    } else {
      capture = open_host_capture();
      if (capture < 0) why_not = std::strerror(errno);
      ASSERT_TRUE(capture >= 0 || ::geteuid() != 0) << why_not;
    }
    if (capture >= 0) (void)seen_by(capture);
    if (capture >= 0) ::testing::UnitTest::GetInstance()->listeners().Append(new Watch(capture));
  }
};

[[maybe_unused]] const ::testing::Environment* const host_capture =
    ::testing::AddGlobalTestEnvironment(new HostCapture);

// On a thread with a throw-away namespace that lacks nothing but the sandbox: a link with addresses
// of its own, 203.0.113.77 among them, and routes over it.
void on_a_link(const std::function<void(int)>& test) {
  std::thread([&] {
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0) << std::strerror(errno);
    ASSERT_EQ(std::system("ip link set lo up && ip link add out type veth peer name in && "
                          "ip link set out up && ip link set in up && "
                          "ip addr add 10.77.0.1/24 dev out && "
                          "ip addr add 203.0.113.77/32 dev out && "
                          "ip -6 addr add fd00:77::1/64 dev out nodad && "
                          "ip route add default via 10.77.0.2 && "
                          "ip -6 route add default via fd00:77::2 && "
                          "ip neigh add 10.77.0.2 lladdr 02:00:00:00:00:02 dev out && "
                          "ip neigh add fd00:77::2 lladdr 02:00:00:00:00:02 dev out"),
              0);
    const int inside = open_host_capture();
    ASSERT_GE(inside, 0) << std::strerror(errno);
    test(inside);
    ::close(inside);
  }).join();
}

class HostCaptureTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (capture < 0) GTEST_SKIP() << "nobody may look at the host's packets: " << why_not;
    if (::geteuid() != 0) GTEST_SKIP() << "root, who opened the capture, shows that it sees";
  }
};

// Positive control: what goes to a documentation address over a link is seen, by each family, and
// other packets are not.
TEST_F(HostCaptureTest, SeesWhatLeaves) {
  on_a_link([](int inside) {
    send_to("10.77.0.2", "10.77.0.1");
    send_to("fd00:77::2");
    EXPECT_EQ(seen_by(inside, {}), "");
    for (const char* address :
         {"192.0.2.1", "198.51.100.1", "203.0.113.255", "2001:db8::1", "2001:db8:ffff::1"}) {
      send_to(address);
      EXPECT_NE(seen_by(inside, {}).find(std::string(" to ") + address), std::string::npos)
          << address;
    }
    send_to("10.77.0.2", "203.0.113.77");
    EXPECT_NE(seen_by(inside, {}).find(" 203.0.113.77 to 10.77.0.2"), std::string::npos);
  });
}

TEST_F(HostCaptureTest, LeavesOutWhatIsTheHostsOwn) {
  on_a_link([](int inside) {
    send_to("10.77.0.2", "203.0.113.77");
    send_to("198.51.100.1", "203.0.113.77");
    EXPECT_EQ(seen_by(inside, {"203.0.113.77"}), "");
    send_to("198.51.100.1", "10.77.0.1");
    EXPECT_NE(seen_by(inside, {"203.0.113.77"}), "");
  });
}

// The listener that stands in every program of network tests.
TEST_F(HostCaptureTest, WhatLeavesFailsTheTestThatItLeft) {
  on_a_link([](int inside) {
    Watch watch(inside);
    const ::testing::TestInfo& test = *::testing::UnitTest::GetInstance()->current_test_info();
    send_to("10.77.0.2", "10.77.0.1");
    watch.OnTestEnd(test);  // nothing
    send_to("198.51.100.1", "10.77.0.1");
    EXPECT_NONFATAL_FAILURE(watch.OnTestEnd(test), "10.77.0.1 to 198.51.100.1");
    send_to("10.77.0.2", "203.0.113.77");
    EXPECT_NONFATAL_FAILURE(watch.OnTestEnd(test), "203.0.113.77 to 10.77.0.2");
    watch.OnTestEnd(test);  // told once
  });
}

}  // namespace
}  // namespace gyges
