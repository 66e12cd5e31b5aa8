// What of a network's set-up is the kernel's own: makes the two namespaces, the packet rules, the
// link, addresses and routes of a sandbox with a network, by the same messages and nothing else: no
// gateway's process, no file system, no pid 1. Prints medians as one JSON object.
//
//   setup_floor [ROUNDS]     as root, or in a user namespace of its own
#include <linux/netlink.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "base/fd.h"
#include "sandbox/network/network_policy.h"
#include "sandbox/network/topology.h"

namespace {

using namespace gyges;
using namespace gyges::network;
using Clock = std::chrono::steady_clock;

[[noreturn]] void give_up(const char* what) {
  std::perror(what);
  std::exit(1);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double milliseconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

UniqueFd made_socket(int family, int type, int protocol) {
  UniqueFd fd(::socket(family, type | SOCK_CLOEXEC, protocol));
  if (!fd) give_up("socket");
  return fd;
}

void enter_fresh_network() {
  if (::unshare(CLONE_NEWNET) != 0) give_up("setup_floor: network namespaces need root");
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 30;
  if (rounds < 1) return 2;
  NetworkPolicy policy;
  policy.interface = default_interface();
  std::vector<double> namespaces;
  std::vector<double> topology;
  for (int round = 0; round < rounds; ++round) {
    using Index = GatewaySockets::Index;
    GatewaySockets sockets;
    sockets.fds.resize(GatewaySockets::count);
    const auto begin = Clock::now();
    enter_fresh_network();
    sockets.fds[Index::agent_route] = made_socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    const auto one = Clock::now();
    // Whoever the agent's namespace is found by.
    const pid_t agent = ::fork();
    if (agent == 0) {
      ::pause();
      ::_exit(0);
    }
    if (agent < 0) give_up("fork");
    const auto again = Clock::now();
    enter_fresh_network();
    sockets.fds[Index::gateway_route] = made_socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    sockets.fds[Index::gateway_filter] = made_socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
    const auto both = Clock::now();
    auto built = build_topology(policy, sockets, agent);
    const auto end = Clock::now();
    ::kill(agent, SIGKILL);
    ::waitpid(agent, nullptr, 0);
    if (!built) {
      std::fprintf(stderr, "setup_floor: %s\n", built.error().line().c_str());
      return 1;
    }
    namespaces.push_back(milliseconds(begin, one) + milliseconds(again, both));
    topology.push_back(milliseconds(both, end));
  }
  std::printf("{\"kernel_namespaces_ms\": %.2f, \"kernel_rules_and_links_ms\": %.2f}\n",
              median(namespaces), median(topology));
  return 0;
}
