// The link between a sandbox and its gateway, in namespaces of the test's own.
#include "sandbox/network/topology.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/netlink.h>
#include <net/if_arp.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <vector>

#include "base/fd.h"
#include "sandbox/network/network_policy.h"

namespace gyges::network {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

enum class Outcome : int { answered, silent, not_built, no_namespaces, no_priority };

bool hold_processor(int number) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(number, &one);
  sched_param priority{};
  priority.sched_priority = 1;
  return ::sched_setaffinity(0, sizeof(one), &one) == 0 &&
         ::sched_setscheduler(0, SCHED_FIFO, &priority) == 0;
}

// Processes that leave no processor but the first to the kernel's own tasks, for half a second, in
// which the kernel does not take it from them.
bool hold_other_processors() {
  cpu_set_t all;
  if (::sched_getaffinity(0, sizeof(all), &all) != 0) return false;
  int first = -1;
  for (int number = 0; number < CPU_SETSIZE; ++number) {
    if (!CPU_ISSET(number, &all)) continue;
    if (first < 0) {
      first = number;
      continue;
    }
    const pid_t holder = ::fork();
    if (holder < 0) return false;
    if (holder > 0) continue;
    if (!hold_processor(number)) ::_exit(1);
    const auto end = Clock::now() + milliseconds(500);
    while (Clock::now() < end) {
    }
    ::_exit(0);
  }
  ::usleep(20'000);  // until they are there
  return hold_processor(first);
}

// Whether the gateway's end says within 200 ms who has its address: the kernel asks again after a
// second.
Outcome first_question() {
  NetworkPolicy policy;
  policy.interface = default_interface();
  using Index = GatewaySockets::Index;
  GatewaySockets sockets;
  sockets.fds.resize(GatewaySockets::count);
  if (::unshare(CLONE_NEWNET) != 0) return Outcome::no_namespaces;
  sockets.fds[Index::agent_route].reset(::socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
  const UniqueFd agents(::socket(AF_INET, SOCK_DGRAM, 0));
  const pid_t agent = ::fork();  // whoever the namespace is found by
  if (agent == 0) {
    ::sleep(5);
    ::_exit(0);
  }
  if (::unshare(CLONE_NEWNET) != 0) return Outcome::no_namespaces;
  sockets.fds[Index::gateway_route].reset(::socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
  sockets.fds[Index::gateway_filter].reset(::socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER));
  if (!hold_other_processors()) return Outcome::no_priority;
  const auto built = build_topology(policy, sockets, agent);
  sockaddr_in gateway{};
  gateway.sin_family = AF_INET;
  gateway.sin_port = htons(9);
  std::memcpy(&gateway.sin_addr, policy.interface.gateway.bytes.data(), 4);
  (void)::sendto(agents.get(), "?", 1, 0, reinterpret_cast<sockaddr*>(&gateway), sizeof(gateway));
  Outcome outcome = built ? Outcome::silent : Outcome::not_built;
  const auto end = Clock::now() + milliseconds(200);
  while (outcome == Outcome::silent && Clock::now() < end) {
    arpreq question{};
    gateway.sin_port = 0;
    std::memcpy(&question.arp_pa, &gateway, sizeof(gateway));
    policy.interface.name.copy(question.arp_dev, sizeof(question.arp_dev) - 1);
    if (::ioctl(agents.get(), SIOCGARP, &question) == 0 && (question.arp_flags & ATF_COM) != 0)
      outcome = Outcome::answered;
  }
  ::kill(agent, SIGKILL);
  return outcome;
}

// The kernel's own task that lets the gateway's end send has no processor meanwhile.
TEST(Topology, AnswersTheFirstQuestion) {
  if (::geteuid() != 0) GTEST_SKIP() << "namespaces and priorities of processors are root's here";
  for (int round = 0; round < 5; ++round) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(static_cast<int>(first_question()));
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    const auto outcome = static_cast<Outcome>(WEXITSTATUS(status));
    if (outcome == Outcome::no_priority) GTEST_SKIP() << "no real-time priority here";
    EXPECT_EQ(outcome, Outcome::answered) << WEXITSTATUS(status);
  }
}

}  // namespace
}  // namespace gyges::network
