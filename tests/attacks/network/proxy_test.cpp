// What programs that ignore or unset the usual proxy variables reach, where other sandboxes rely on
// these: nothing more.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "base/fd.h"
#include "gateway_fixture.h"

namespace gyges::isolation {
namespace {

using network::FlowVerdict;

class ProxyTest : public SimulatedTest {
 protected:
  // A listener on the host's loopback, as a proxy of the host would be.
  void SetUp() override {
    if (::access("/usr/bin/curl", X_OK) != 0) GTEST_SKIP() << "curl is not installed";
    host_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in here{};
    here.sin_family = AF_INET;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(here);
    ASSERT_EQ(::bind(host_.get(), reinterpret_cast<sockaddr*>(&here), sizeof(here)), 0);
    ASSERT_EQ(::listen(host_.get(), 64), 0);
    ASSERT_EQ(::getsockname(host_.get(), reinterpret_cast<sockaddr*>(&here), &size), 0);
    proxy_ = "http://127.0.0.1:" + std::to_string(ntohs(here.sin_port));
    // Positive control: who is on the host's loopback reaches it.
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&here), sizeof(here)), 0);
    ASSERT_TRUE(was_reached());
    UniqueFd(::accept4(host_.get(), nullptr, nullptr, SOCK_CLOEXEC)).reset();
  }
  [[nodiscard]] bool was_reached() const {
    pollfd waiting{host_.get(), POLLIN, 0};
    return ::poll(&waiting, 1, 0) == 1;
  }
  // What curl gets, started with these words before it and these arguments.
  std::string curl(const std::vector<std::string>& before,
                   const std::vector<std::string>& arguments) {
    std::vector<std::string> argv = before;
    argv.insert(argv.end(), {"/usr/bin/curl", "-sS", "-m", "5", "-H", "Host: web.example"});
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    argv.emplace_back("http://192.0.2.80/hello");
    return run_argv(argv).output;
  }
  // Without a proxy in four ways, and with the host's in three.
  std::vector<std::string> direct() {
    const std::vector<std::string> with{"/usr/bin/env", "http_proxy=" + proxy_,
                                        "ALL_PROXY=" + proxy_};
    return {curl({"/usr/bin/env", "-u", "http_proxy", "-u", "ALL_PROXY"}, {}),
            curl({"/usr/bin/env", "-i"}, {}), curl(with, {"--noproxy", "*"}),
            curl({"/usr/bin/env", "http_proxy=" + proxy_, "no_proxy=192.0.2.80"}, {})};
  }
  std::vector<std::string> by_proxy() {
    return {curl({"/usr/bin/env", "http_proxy=" + proxy_}, {}), curl({}, {"--proxy", proxy_}),
            curl({}, {"--proxy", "socks5h" + proxy_.substr(4)})};
  }

  UniqueFd host_;
  std::string proxy_;
};

TEST_F(ProxyTest, WhoIgnoresProxiesMeetsThePolicy) {
  start_with({{"mode", "gateway"}});
  for (const std::string& output : direct())
    EXPECT_NE(output.find("curl: (7)"), std::string::npos) << output;
  for (const std::string& output : by_proxy()) EXPECT_NE(output.find("curl: ("), std::string::npos);
  EXPECT_EQ(stop().network_failure, "");
  EXPECT_FALSE(was_reached());
  std::uint32_t attempts = 0;
  for (const network::Flow& flow : flows_to("192.0.2.80", 80)) {
    EXPECT_EQ(flow.verdict, FlowVerdict::refused);
    attempts += flow.attempts;
  }
  EXPECT_EQ(attempts, 4U);
}

// The same attempts, where the policy has the world answer them.
TEST_F(ProxyTest, TheSameAttemptsAreAnsweredWhereThePolicySaysSo) {
  start_world();
  for (const std::string& output : direct()) EXPECT_EQ(output, "good morning");
  for (const std::string& output : by_proxy()) EXPECT_NE(output.find("curl: ("), std::string::npos);
  EXPECT_EQ(stop().network_failure, "");
  EXPECT_FALSE(was_reached());
}

}  // namespace
}  // namespace gyges::isolation
