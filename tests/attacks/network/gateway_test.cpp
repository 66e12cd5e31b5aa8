// Every attempt of the program beside this file, behind the egress gateway: once where the policy
// refuses, once where it lets everything in, which shows that the attempts would work.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/json.h"
#include "base/text.h"
#include "refusal_fixture.h"
#include "sandbox/isolation/facilities.h"

namespace gyges::isolation {
namespace {

using network::Flow;
using network::FlowProtocol;
using network::FlowVerdict;

// Every packet on every interface of the host's namespace that carries what the attempts send.
class Capture {
 public:
  Capture() : fd_(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL))) {
    int room = 32 << 20;
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
  }
  [[nodiscard]] bool works() const { return static_cast<bool>(fd_); }
  // Since the last call.
  int marked() {
    int found = 0;
    std::string packet(65536, '\0');
    for (;;) {
      ssize_t n = ::recv(fd_.get(), packet.data(), packet.size(), 0);
      if (n < 0) return found;
      std::string_view bytes(packet.data(), static_cast<std::size_t>(n));
      if (bytes.find("gyges-network-attempt") != std::string_view::npos) ++found;
    }
  }

 private:
  UniqueFd fd_;
};

TEST_F(RefusalTest, WhatThePolicyDoesNotNameIsRefusedAndRecorded) {
  Capture capture;
  if (capture.works()) {
    // The capture sees what is on the host's loopback.
    int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_in here{};
    here.sin_family = AF_INET;
    here.sin_port = htons(9);
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)::sendto(fd, "gyges-network-attempt", 21, 0, reinterpret_cast<sockaddr*>(&here),
                   sizeof(here));
    ::close(fd);
    EXPECT_GT(capture.marked(), 0);
  }
  start_with(refusing);
  auto outcomes = attempt("ECONNREFUSED");
  if (capture.works()) {
    EXPECT_EQ(capture.marked(), 0);
  }
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
  // A port that is used again soon counts as another attempt of the same flow.
  std::uint32_t storm = 0;
  for (const Flow& flow : flows_to("192.0.2.3", 1)) storm += flow.attempts;
  EXPECT_EQ(storm, 2000U);

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

TEST_F(RefusalTest, TheSameAttemptsArriveWhereThePolicyLetsThem) {
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

// A scan that never waits for an answer: every attempt is on record, also of those that are over
// before the gateway has looked. How many are is a matter of who runs first; of so many some are.
TEST_F(RefusalTest, SocketsThatAreClosedAtOnceAreRecorded) {
  start_with({{"mode", "gateway"},
              {"rules", {{{"name", "pit"}, {"to", {"203.0.113.80"}}, {"action", "sink"}}}}});
  Ran ran = run_argv({"/tmp/attempts", "abandon", "203.0.113.80", "3000", "1000"});
  EXPECT_EQ(ran.output, "abandon worked\n");
  EXPECT_EQ(stop().network_failure, "");
  int given_up = 0;
  for (std::uint16_t port = 3000; port < 4000; ++port) {
    auto flows = flows_to("203.0.113.80", port);
    ASSERT_EQ(flows.size(), 1U) << port;
    EXPECT_EQ(flows[0].verdict, FlowVerdict::sunk);
    EXPECT_EQ(flows[0].rule, "pit");
    EXPECT_EQ(flows[0].sent_bytes, 0U);
    given_up += flows[0].reason.find("before it was connected") != std::string::npos ? 1 : 0;
  }
  EXPECT_GT(given_up, 0);
}

TEST_F(RefusalTest, WithoutItsGatewayTheSandboxIsClosed) {
  start_with({{"mode", "gateway"}, {"rules", {{{"name", "all"}, {"action", "sink"}}}}});
  const std::string connect = "exec 3<>/dev/tcp/192.0.2.1/443 && echo connected";
  EXPECT_EQ(run_argv({"/bin/bash", "-c", connect}).output, "connected\n");
  pid_t gateway = gateway_pid();
  ASSERT_GT(gateway, 0);
  ASSERT_EQ(::kill(gateway, SIGKILL), 0);
  // Its namespace ends with it, a little later.
  std::string output;
  for (int i = 0; i < 50; ++i) {
    output = run_argv({"/usr/bin/timeout", "2", "/bin/bash", "-c", connect}).output;
    if (output.find("unreachable") != std::string::npos) break;
  }
  EXPECT_EQ(output.find("connected"), std::string::npos) << output;
  const std::string failure = stop().network_failure;
  EXPECT_NE(failure.find("ended by signal 9"), std::string::npos) << failure;
}

TEST_F(RefusalTest, TheGatewayHasNothing) {
  start_with({{"mode", "gateway"}, {"rules", {{{"name", "all"}, {"action", "sink"}}}}});
  pid_t gateway = gateway_pid();
  ASSERT_GT(gateway, 0);
  std::ifstream status("/proc/" + std::to_string(gateway) + "/status");
  std::map<std::string, std::string> values;
  for (std::string line; std::getline(status, line);)
    if (auto colon = line.find(":\t"); colon != std::string::npos)
      values[line.substr(0, colon)] = line.substr(colon + 2);
  EXPECT_EQ(values["CapEff"], "0000000000000000");
  EXPECT_EQ(values["CapPrm"], "0000000000000000");
  EXPECT_EQ(values["NoNewPrivs"], "1");
  EXPECT_EQ(values["Seccomp"], "2");
  if (::geteuid() == 0) {
    EXPECT_EQ(values["Uid"].substr(0, 5), "65534");
  }
}

#ifndef __SANITIZE_ADDRESS__
// Room for what may come at one time takes no memory before it comes.
TEST_F(GatewayTest, OneThatDidLittleHasLittleMemory) {
  start_with({{"mode", "gateway"}});
  const Ran ran = run_argv({"/bin/bash", "-c", "echo > /dev/tcp/192.0.2.80/80"});
  EXPECT_NE(ran.output.find("refused"), std::string::npos) << ran.output;
  EXPECT_LE(gateway_peak_kib(), 5U << 10U);
  EXPECT_EQ(stop().network_failure, "");
  EXPECT_EQ(flows_to("192.0.2.80", 80).size(), 1U);
}
#endif

class OpenFilesTest : public GatewayTest {
 protected:
  // What a start comes to for a user who may have so many files open.
  std::string started_with(rlim_t files) {
    return in_child([&]() -> std::string {
      rlimit limit{files, files};
      if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return "the limit cannot be set";
      auto sandbox = Sandbox::start(spec_with({{"mode", "gateway"}}));
      return sandbox ? "started" : sandbox.error().line();
    });
  }
  // What a process of its own says, whose limits are its own as well.
  static std::string in_child(const std::function<std::string()>& act) {
    int ends[2] = {-1, -1};
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    pid_t child = ::fork();
    if (child == 0) {
      const std::string line = act();
      (void)!::write(ends[1], line.data(), line.size());
      ::_exit(0);
    }
    ::close(ends[1]);
    std::string line(4096, '\0');
    ssize_t size = ::read(ends[0], line.data(), line.size());
    line.resize(static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
    ::close(ends[0]);
    ::waitpid(child, nullptr, 0);
    return line;
  }
};

// Where an ordinary user's pipes are used up what is relayed is copied, and the end says so.
TEST_F(RefusalTest, WhatIsCopiedForWantOfPipesIsSaid) {
  if (::geteuid() == 0) GTEST_SKIP() << "root goes past its limit";
  if (std::thread::hardware_concurrency() < 2) GTEST_SKIP() << "one processor copies in any case";
  const nlohmann::json section = {
      {"mode", "gateway"},
      {"rules", {{{"name", "out"}, {"to", {"198.51.100.7"}}, {"action", "relay"}}}}};
  auto doctor = [] {
    for (const Facility& facility : probe_facilities())
      if (facility.name == "network") return facility;
    return Facility{};
  };
  start_with(section);
  EXPECT_FALSE(stop().network_copies);
  sandbox_.reset();
  EXPECT_TRUE(doctor().available) << doctor().reason;
  EXPECT_EQ(doctor().cure, "");
  std::vector<std::pair<UniqueFd, UniqueFd>> held;
  // Again and again, for the gateways from before give theirs back when they have gone.
  for (int turn = 0; turn < 5; ++turn) {
    for (int i = 0; i < 80; ++i) {
      int ends[2] = {-1, -1};
      if (::pipe2(ends, O_CLOEXEC) != 0) break;
      held.emplace_back(ends[0], ends[1]);
      if (::fcntl(ends[1], F_SETPIPE_SZ, 1 << 20) < 0) break;
    }
    ::usleep(200000);
  }
  start_with(section);
  EXPECT_TRUE(stop().network_copies);
  EXPECT_EQ(doctor().reason, copied_network);
  EXPECT_NE(doctor().cure, "");
}

// A namespace of the child's own, where 198.51.100.7 is local; as an ordinary user in one of users.
bool enter_network() {
  const std::string user = std::to_string(::geteuid());
  const std::string its_group = std::to_string(::getegid());
  if (::unshare(CLONE_NEWNET | (user == "0" ? 0 : CLONE_NEWUSER)) != 0) return false;
  if (user != "0") {  // the same numbers as outside
    std::ofstream("/proc/self/setgroups") << "deny";
    std::ofstream("/proc/self/uid_map") << user + " " + user + " 1";
    std::ofstream("/proc/self/gid_map") << its_group + " " + its_group + " 1";
  }
  UniqueFd any(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq link{};
  std::strcpy(link.ifr_name, "lo");
  link.ifr_flags = IFF_UP;
  if (::ioctl(any.get(), SIOCSIFFLAGS, &link) != 0) return false;
  std::strcpy(link.ifr_name, "lo:1");
  auto* address = reinterpret_cast<sockaddr_in*>(&link.ifr_addr);
  *address = {};
  address->sin_family = AF_INET;
  ::inet_pton(AF_INET, "198.51.100.7", &address->sin_addr);
  return ::ioctl(any.get(), SIOCSIFADDR, &link) == 0;
}

// Of a relayed connection two files are the gateway's, and as many are set aside for datagrams and
// names: a third of what is left for connections can be open at one time, to the last one.
TEST_F(OpenFilesTest, AThirdIsOpenAtOneTimeWhereConnectionsAreRelayed) {
  constexpr unsigned own = 64;
  for (unsigned files : {400U, 700U}) {
    const unsigned share = (files - own) / 3;
    const std::string said = in_child([&]() -> std::string {
      if (!enter_network()) return "no network: " + std::string(std::strerror(errno));
      UniqueFd server(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      sockaddr_in here{};
      here.sin_family = AF_INET;
      here.sin_port = htons(7001);
      ::inet_pton(AF_INET, "198.51.100.7", &here.sin_addr);
      if (::bind(server.get(), reinterpret_cast<sockaddr*>(&here), sizeof(here)) != 0 ||
          ::listen(server.get(), 1024) != 0)
        return "no server";
      // Root goes past its limit where it may.
      rlimit limit{files, files};
      if (::geteuid() == 0) ::prctl(PR_CAPBSET_DROP, CAP_SYS_RESOURCE, 0, 0, 0);
      if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return "no limit";
      start_with({{"mode", "gateway"},
                  {"rules", {{{"name", "out"}, {"to", {"198.51.100.7"}}, {"action", "relay"}}}}});
      std::string output =
          run_argv({"/tmp/attempts", "hold", "198.51.100.7", "7001", "2000", "10"}).output;
      output += stop().network_failure;
      std::size_t relayed = 0, refused = 0;
      for (const Flow& flow : flows_to("198.51.100.7", 7001)) {
        relayed += flow.verdict == FlowVerdict::relayed && flow.sent.size >= 10 ? 1U : 0U;
        refused += flow.verdict == FlowVerdict::refused &&
                           flow.reason.find("open files allow") != std::string::npos
                       ? 1U
                       : 0U;
      }
      if (!output.starts_with("hold timeout at ")) return output;
      return std::to_string(relayed) + " relayed, others " + (refused > 0 ? "refused" : "lost");
    });
    EXPECT_EQ(said, std::to_string(share) + " relayed, others refused");
  }
}

TEST_F(OpenFilesTest, TooFewAreSaid) {
  if (::geteuid() == 0) GTEST_SKIP() << "root goes past its limit";
  EXPECT_EQ(started_with(256), "started");
  std::string line = started_with(100);
  EXPECT_NE(line.find("files open"), std::string::npos) << line;
}

}  // namespace
}  // namespace gyges::isolation
