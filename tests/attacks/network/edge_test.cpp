// Corners of the protocols (edge_attempts.cpp), behind a policy that sinks at one address and
// simulates everything else.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <thread>

#include "base/text.h"
#include "gateway_fixture.h"
#include "sandbox/network/netlink_batch.h"
#include "sandbox/network/topology.h"

namespace gyges::isolation {
namespace {

using network::Flow;
using network::FlowProtocol;
using network::FlowVerdict;

constexpr const char* edge_key = "q7Jd0vXr2mLw9TzA";
constexpr const char* edge_other_key = "Zk3Qe8yBn5HsU1cF";

class EdgeTest : public SimulatedTest {
 protected:
  static inline const nlohmann::json canaries = {{{"name", "key"}, {"token", edge_key}}};
};

TEST_F(EdgeTest, PacketsAtTheEdgesAreRecordedAndGoNowhere) {
  start_world({{{"name", "pit"}, {"to", {"203.0.113.80", "2001:db8::80"}}, {"action", "sink"}}},
              canaries);
  auto outcomes = attempt("packets", edge_key);
  EXPECT_EQ(stop().network_failure, "");
  // What may be sent under any option comes to the pit and nowhere else, and is searched.
  for (const char* name : {"port_0", "ip_option_tcp", "least_segments"})
    EXPECT_EQ(outcomes[name], "worked") << name;
  for (const char* name : {"ip_option", "no_checksum", "two_hops", "empty"})
    EXPECT_EQ(outcomes[name], "sent") << name;
  for (std::uint16_t port : {0, 9301, 9302, 9303, 9309, 9311}) {
    std::size_t hits = 0;
    for (const Flow& flow : flows_to("203.0.113.80", port))
      if (flow.protocol == FlowProtocol::tcp || flow.protocol == FlowProtocol::udp) {
        EXPECT_EQ(flow.verdict, FlowVerdict::sunk) << port;
        EXPECT_EQ(flow.sent.head, edge_key) << port;
        hits += flow.canaries.size();
      }
    EXPECT_EQ(hits, 1U) << port;
  }
  // What has one hop to live ends at the router, which says so; what has two arrives, and what is
  // refused there is refused by its destination. A neighbour is reached without a router.
  EXPECT_EQ(outcomes["one_hop"], "11.0_from_10.0.2.2");
  EXPECT_NE(outcomes["one_hop_tcp"], "worked");
  EXPECT_EQ(outcomes["two_hops_refused"], "3.3_from_192.0.2.9");
  EXPECT_EQ(outcomes["one_hop6"].substr(0, 9), "3.0_from_");
  EXPECT_EQ(outcomes["two_hops6"], "1.4_from_2001:db8::9");
  EXPECT_EQ(outcomes["one_hop_neighbour"], "3.3_from_10.0.2.77");
  for (std::uint16_t port : {9305, 9306}) {
    auto found = flows_to("203.0.113.80", port);
    ASSERT_EQ(found.size(), 1U) << port;
    EXPECT_EQ(found[0].verdict, FlowVerdict::refused) << port;
    EXPECT_EQ(found[0].reason, "its hops end at the first router") << port;
    EXPECT_EQ(found[0].protocol, port == 9305 ? FlowProtocol::udp : FlowProtocol::tcp);
    EXPECT_EQ(found[0].canaries.size(), port == 9305 ? 1U : 0U) << port;
  }
  ASSERT_EQ(flows_to("203.0.113.80", 9304).size(), 1U);
  EXPECT_EQ(flows_to("203.0.113.80", 9304)[0].sent.size, 0U);
  // The kernel that sends refuses these itself.
  EXPECT_EQ(outcomes["port_0_udp"], "EINVAL");
  EXPECT_EQ(outcomes["whole"], "EMSGSIZE");
  EXPECT_TRUE(flows_to("203.0.113.80", 9307).empty());
  EXPECT_NE(outcomes["broadcast_tcp"], "worked");
  // With TLS in the kernel, where there is some, it is a connection like others: without keys it
  // sends what it is given. Where there is none the connection was there before that was said.
  auto kernel_tls = flows_to("203.0.113.80", 9308);
  ASSERT_EQ(kernel_tls.size(), 1U);
  EXPECT_EQ(kernel_tls[0].verdict, FlowVerdict::sunk);
  if (outcomes["kernel_tls"] == "worked") {
    EXPECT_EQ(kernel_tls[0].sent.head, edge_key);
    EXPECT_EQ(kernel_tls[0].canaries.size(), 1U);
  } else {
    EXPECT_EQ(outcomes["kernel_tls"].substr(0, 7), "option ");
    EXPECT_EQ(kernel_tls[0].sent.size, 0U);
  }
  EXPECT_EQ(outcomes["kernel_tls_early"].substr(0, 7), "option ");
  EXPECT_TRUE(flows_to("203.0.113.80", 9310).empty());
  // Addresses that mean something to others.
  const std::pair<const char*, const char*> addresses[] = {{"class_e", "240.0.0.1"},
                                                           {"net_0", "0.1.2.3"},
                                                           {"nat64", "64:ff9b::cb00:7150"},
                                                           {"6to4", "2002:cb00:7150::1"},
                                                           {"compatible", "::203.0.113.80"}};
  for (const auto& [name, text] : addresses) {
    EXPECT_EQ(outcomes[name], "ECONNREFUSED") << name;
    auto found = flows_to(text, 80);
    ASSERT_EQ(found.size(), 1U) << name;
    EXPECT_EQ(found[0].verdict, FlowVerdict::refused) << name;
  }
  // Of ICMP an ordinary program sends echoes alone.
  for (const char* name : {"redirect", "redirect6", "advertised6", "neighbour6"})
    EXPECT_EQ(outcomes[name], "EINVAL") << name;
  for (const char* name : {"echo", "echo6"}) EXPECT_EQ(outcomes[name], "sent") << name;
  EXPECT_EQ(outcomes["with_itself"], "worked");
  EXPECT_TRUE(flows_to("10.0.2.15", 5555).empty());
}

// The namespaces in which the gateway has sockets, by the interface that each has.
std::map<std::string, UniqueFd> namespaces_of(pid_t gateway) {
  std::map<std::string, UniqueFd> found;
  UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, gateway, 0)));
  for (int number = 0; number < 64; ++number) {
    UniqueFd socket(static_cast<int>(::syscall(SYS_pidfd_getfd, process.get(), number, 0)));
    if (!socket) continue;
    for (const char* name : {network::gateway_link, "eth0"}) {
      ifreq request{};
      std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
      if (::ioctl(socket.get(), SIOCGIFINDEX, &request) == 0)
        found[name].reset(::ioctl(socket.get(), SIOCGSKNS));
    }
  }
  return found;
}

void inside(const UniqueFd& space, const std::function<void()>& run) {
  std::thread([&] {
    ASSERT_EQ(::setns(space.get(), CLONE_NEWNET), 0);
    run();
  }).join();
}

// Says to everybody on the link that this is a router, and where 2001:db8:5::/64 is.
void advertise() {
  UniqueFd socket(::socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6));
  ASSERT_TRUE(socket);
  const int on = 1, hops = 255, index = static_cast<int>(::if_nametoindex("eth0"));
  ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof(on));
  ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof(hops));
  ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof(index));
  sockaddr_in6 from{}, to{};
  from.sin6_family = to.sin6_family = AF_INET6;
  from.sin6_scope_id = to.sin6_scope_id = static_cast<unsigned>(index);
  ::inet_pton(AF_INET6, "fe80::1", &from.sin6_addr);
  ::inet_pton(AF_INET6, "ff02::1", &to.sin6_addr);
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&from), sizeof(from)), 0);
  struct {
    nd_router_advert head;
    nd_opt_prefix_info prefix;
  } message{};
  message.head.nd_ra_type = ND_ROUTER_ADVERT;
  message.head.nd_ra_curhoplimit = 64;
  message.head.nd_ra_router_lifetime = htons(1800);
  message.prefix.nd_opt_pi_type = ND_OPT_PREFIX_INFORMATION;
  message.prefix.nd_opt_pi_len = 4;
  message.prefix.nd_opt_pi_prefix_len = 64;
  message.prefix.nd_opt_pi_flags_reserved = ND_OPT_PI_FLAG_ONLINK;
  message.prefix.nd_opt_pi_valid_time = htonl(3600);
  message.prefix.nd_opt_pi_preferred_time = htonl(3600);
  ::inet_pton(AF_INET6, "2001:db8:5::", &message.prefix.nd_opt_pi_prefix);
  EXPECT_EQ(::sendto(socket.get(), &message, sizeof(message), 0, reinterpret_cast<sockaddr*>(&to),
                     sizeof(to)),
            static_cast<ssize_t>(sizeof(message)));
}

// Whether a route to 2001:db8:5::/64 comes within this time.
bool has_route_within(std::chrono::milliseconds time) {
  for (const auto end = std::chrono::steady_clock::now() + time;;) {
    std::ifstream table("/proc/thread-self/net/ipv6_route");
    for (std::string line; std::getline(table, line);)
      if (line.starts_with("20010db800050000")) return true;
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

// Not even who may send anything in the sandbox's namespace, which nobody inside may, changes the
// gateway's routes; and it is the packet rules that see to it.
TEST_F(EdgeTest, ARouterOfTheSandboxesOwnIsNotBelieved) {
  if (::geteuid() != 0) GTEST_SKIP() << "the sandbox's namespace is entered as root";
  start_world();
  auto spaces = namespaces_of(gateway_pid());
  ASSERT_TRUE(spaces[network::gateway_link] && spaces["eth0"]);
  // A packet may be lost where the host is flooded by others.
  auto believed = [&](int attempts) {
    bool route = false;
    for (int i = 0; i < attempts && !route; ++i) {
      inside(spaces["eth0"], advertise);
      inside(spaces[network::gateway_link],
             [&] { route = has_route_within(std::chrono::milliseconds(100)); });
    }
    return route;
  };
  EXPECT_FALSE(believed(5));
  inside(spaces[network::gateway_link], [] {
    network::NetlinkBatch batch;
    const nfgenmsg limits{AF_UNSPEC, NFNETLINK_V0, htons(NFNL_SUBSYS_NFTABLES)};
    const nfgenmsg header{NFPROTO_INET, NFNETLINK_V0, 0};
    batch.begin(NFNL_MSG_BATCH_BEGIN, 0, network::bytes_of(limits), "", true);
    batch.begin(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELTABLE, 0, network::bytes_of(header),
                "drop the packet rules");
    batch.attribute_text(NFTA_TABLE_NAME, "gateway");
    batch.begin(NFNL_MSG_BATCH_END, 0, network::bytes_of(limits), "", true);
    UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
    auto done = batch.send(socket.get());
    ASSERT_TRUE(done) << done.error().line();
  });
  EXPECT_TRUE(believed(100));
}

TEST_F(EdgeTest, OddQuestionsAreAnsweredOrRefusedAndSearched) {
  for (const char* one : {edge_key, edge_other_key}) {
    const std::size_t before = flows().size();
    start_world(nlohmann::json::array(), canaries);
    auto outcomes = attempt("questions", one);
    EXPECT_EQ(stop().network_failure, "");
    const std::pair<const char*, const char*> expected[] = {
        {"good", "0"},        {"loop", "1"},           {"loop_behind", "1"}, {"forward", "1"},
        {"no_question", "1"}, {"two_questions", "1"},  {"update", "4"},      {"notify", "4"},
        {"transfer", "5"},    {"reserved_label", "1"}, {"room_0", "0"},      {"room_65535", "0"},
        {"two_options", "1"}, {"padding", "0"},        {"good_after", "0"}};
    for (const auto& [name, code] : expected)
      EXPECT_EQ(outcomes[name], std::string("code_") + code + "_size_small") << name;
    // In the names of an update, of a notice and of a transfer, and in an option.
    std::size_t hits = 0, questions = 0;
    auto all = flows();
    for (std::size_t i = before; i < all.size(); ++i) {
      hits += all[i].canaries.size();
      questions += all[i].protocol == FlowProtocol::dns ? 1U : 0U;
    }
    EXPECT_EQ(hits, one == edge_key ? 4U : 0U);
    EXPECT_EQ(questions, std::size(expected));
    sandbox_.reset();
  }
}

}  // namespace
}  // namespace gyges::isolation
