#include "sandbox/network/topology.h"

#include <net/if.h>
#include <netinet/in.h>

// After the C library's, which they respect.
#include <fmt/format.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

#include "sandbox/init/protocol.h"
#include "sandbox/network/netlink_batch.h"
#include "sandbox/network/offload.h"
#include "sandbox/network/port_list.h"

namespace gyges::network {
namespace {

constexpr std::uint16_t creating = NLM_F_CREATE | NLM_F_EXCL;
constexpr unsigned loopback_index = 1;

std::string_view address_bytes(const IpAddress& address) {
  return {reinterpret_cast<const char*>(address.bytes.data()), address.v6 ? 16U : 4U};
}

std::uint8_t family_of(const IpAddress& address) {
  return address.v6 ? AF_INET6 : AF_INET;
}

std::array<char, 6> mac_bytes(const std::string& text) {
  std::array<unsigned, 6> parts{};
  std::array<char, 6> bytes{};
  std::sscanf(text.c_str(), "%x:%x:%x:%x:%x:%x", &parts[0], &parts[1], &parts[2], &parts[3],
              &parts[4], &parts[5]);
  for (std::size_t i = 0; i < 6; ++i) bytes[i] = static_cast<char>(parts[i]);
  return bytes;
}

void link_up(NetlinkBatch& batch, unsigned index) {
  ifinfomsg header{};
  header.ifi_index = static_cast<int>(index);
  header.ifi_flags = header.ifi_change = IFF_UP;
  batch.begin(RTM_NEWLINK, 0, bytes_of(header), "bring up interface");
}

// The first index that is free in both namespaces: 2, unless the host's kernel puts devices of its
// tunnel modules (sit0, tunl0) into every new namespace.
unsigned free_index(int gateway, int agent) {
  constexpr unsigned last = 1024;
  auto taken = [](int socket, unsigned index) {
    ifreq request{};
    request.ifr_ifindex = static_cast<int>(index);
    return ::ioctl(socket, SIOCGIFNAME, &request) == 0;
  };
  unsigned index = loopback_index + 1;
  while (index < last && (taken(gateway, index) || taken(agent, index))) ++index;
  return index;
}

// The gateway's end here, the agent's end in the namespace of `agent`; the same index in both.
void make_link(NetlinkBatch& batch, const NetworkInterface& interface, unsigned index,
               pid_t agent) {
  ifinfomsg header{};
  header.ifi_index = static_cast<int>(index);
  batch.begin(RTM_NEWLINK, creating, bytes_of(header), "make network interface");
  batch.attribute_text(IFLA_IFNAME, gateway_link);
  batch.attribute_u32(IFLA_MTU, interface.mtu);
  batch.open(IFLA_LINKINFO);
  batch.attribute_text(IFLA_INFO_KIND, "veth");
  batch.open(IFLA_INFO_DATA);
  batch.open(VETH_INFO_PEER);
  ifinfomsg peer{};
  peer.ifi_index = static_cast<int>(index);
  batch.raw(bytes_of(peer));
  batch.attribute_text(IFLA_IFNAME, interface.name);
  batch.attribute_u32(IFLA_MTU, interface.mtu);
  if (!interface.mac.empty()) {
    auto mac = mac_bytes(interface.mac);
    batch.attribute(IFLA_ADDRESS, {mac.data(), mac.size()});
  }
  batch.attribute_u32(IFLA_NET_NS_PID, static_cast<std::uint32_t>(agent));
  batch.close();
  batch.close();
  batch.close();
}

void add_address(NetlinkBatch& batch, unsigned link, const IpAddress& address, unsigned prefix) {
  ifaddrmsg header{};
  header.ifa_family = family_of(address);
  header.ifa_prefixlen = static_cast<std::uint8_t>(prefix);
  header.ifa_index = link;
  // Nobody else is on this link: an address need not wait a second for objections.
  if (address.v6) header.ifa_flags = IFA_F_NODAD;
  batch.begin(RTM_NEWADDR, creating, bytes_of(header), "set interface address");
  batch.attribute(IFA_LOCAL, address_bytes(address));
  batch.attribute(IFA_ADDRESS, address_bytes(address));
}

void add_route(NetlinkBatch& batch, std::uint8_t family, std::uint8_t type, unsigned link,
               const IpAddress* to, const IpAddress* gateway) {
  rtmsg header{};
  header.rtm_family = family;
  header.rtm_table = RT_TABLE_MAIN;
  header.rtm_protocol = RTPROT_BOOT;
  header.rtm_type = type;
  if (type == RTN_LOCAL)
    header.rtm_scope = RT_SCOPE_HOST;
  else if (gateway == nullptr && family == AF_INET)
    header.rtm_scope = RT_SCOPE_LINK;
  if (to != nullptr) header.rtm_dst_len = to->v6 ? 128 : 32;
  batch.begin(RTM_NEWROUTE, creating, bytes_of(header), "add route");
  if (to != nullptr) batch.attribute(RTA_DST, address_bytes(*to));
  if (gateway != nullptr) batch.attribute(RTA_GATEWAY, address_bytes(*gateway));
  batch.attribute_u32(RTA_OIF, link);
}

Status configure_gateway_side(const NetworkInterface& interface, int socket, unsigned link,
                              pid_t agent) {
  NetlinkBatch batch;
  link_up(batch, loopback_index);
  make_link(batch, interface, link, agent);
  link_up(batch, link);
  // Only the agent's own address is behind the link; its whole network answers here, so that
  // neighbours exist and what is sent to them is seen.
  add_address(batch, link, interface.gateway, 32);
  add_route(batch, AF_INET, RTN_UNICAST, link, &interface.address, nullptr);
  add_route(batch, AF_INET, RTN_LOCAL, loopback_index, nullptr, nullptr);
  if (interface.has_v6) {
    add_address(batch, link, interface.gateway6, 128);
    add_route(batch, AF_INET6, RTN_UNICAST, link, &interface.address6, nullptr);
    add_route(batch, AF_INET6, RTN_LOCAL, loopback_index, nullptr, nullptr);
  }
  return batch.send(socket);
}

Status configure_agent_side(const NetworkInterface& interface, int socket, unsigned link) {
  NetlinkBatch batch;
  link_up(batch, link);
  add_address(batch, link, interface.address, interface.subnet.prefix);
  add_route(batch, AF_INET, RTN_UNICAST, link, nullptr, &interface.gateway);
  if (interface.has_v6) {
    add_address(batch, link, interface.address6, interface.subnet6.prefix);
    add_route(batch, AF_INET6, RTN_UNICAST, link, nullptr, &interface.gateway6);
  }
  return batch.send(socket);
}

// IF_OPER_UP when it sends and receives.
Result<std::uint8_t> operating_state(int socket, unsigned link) {
  struct {
    nlmsghdr message;
    ifinfomsg about;
  } request{};
  request.message.nlmsg_len = sizeof(request);
  request.message.nlmsg_type = RTM_GETLINK;
  request.message.nlmsg_flags = NLM_F_REQUEST;
  request.about.ifi_index = static_cast<int>(link);
  alignas(nlmsghdr) std::array<char, 16384> answer{};
  ssize_t size = ::send(socket, &request, sizeof(request), 0);
  if (size > 0) {
    do size = ::recv(socket, answer.data(), answer.size(), 0);
    while (size < 0 && errno == EINTR);
  }
  if (size < 0) return fail_errno("look at network interface", "");
  auto* message = reinterpret_cast<nlmsghdr*>(answer.data());
  if (!NLMSG_OK(message, static_cast<std::size_t>(size)) || message->nlmsg_type != RTM_NEWLINK)
    return fail("look at network interface", "", "the kernel does not tell of it");
  auto left = IFLA_PAYLOAD(message);
  for (auto* at = IFLA_RTA(NLMSG_DATA(message)); RTA_OK(at, left); at = RTA_NEXT(at, left))
    if (at->rta_type == IFLA_OPERSTATE) return *static_cast<std::uint8_t*>(RTA_DATA(at));
  return std::uint8_t{IF_OPER_UNKNOWN};
}

// A task of the kernel's lets the end that came up first send. What it is given before it drops:
// its answer to the first question for an address, which would be asked again a second later. Newer
// kernels do that task's work when somebody asks for the link, others some time later.
Status await_link(int socket, unsigned link) {
  constexpr int most_attempts = 10'000;
  for (int attempt = 0; attempt < most_attempts; ++attempt) {
    GYGES_TRY(const std::uint8_t state, operating_state(socket, link));
    if (state == IF_OPER_UP) return ok();
    ::usleep(200);
  }
  return fail("bring up network interface", "", "it is not up after 2 s",
              "look at the host's load");
}

// One nftables rule: a list of expressions, each evaluated while the ones before matched.
class RuleWriter {
 public:
  explicit RuleWriter(NetlinkBatch& batch) : batch_(batch) {
    nfgenmsg header{NFPROTO_INET, NFNETLINK_V0, 0};
    batch.begin(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND,
                bytes_of(header), "add packet rule");
    batch.attribute_text(NFTA_RULE_TABLE, "gateway");
    batch.attribute_text(NFTA_RULE_CHAIN, "arriving");
    batch.open(NFTA_RULE_EXPRESSIONS);
  }
  ~RuleWriter() { batch_.close(); }
  RuleWriter(const RuleWriter&) = delete;
  RuleWriter& operator=(const RuleWriter&) = delete;

  RuleWriter& meta_is(std::uint32_t key, std::string_view value) {
    begin("meta");
    batch_.attribute_be32(NFTA_META_KEY, key);
    batch_.attribute_be32(NFTA_META_DREG, NFT_REG_1);
    end();
    return compare(NFT_CMP_EQ, value);
  }
  RuleWriter& transport_byte(std::uint32_t offset) {
    begin("payload");
    batch_.attribute_be32(NFTA_PAYLOAD_DREG, NFT_REG_1);
    batch_.attribute_be32(NFTA_PAYLOAD_BASE, NFT_PAYLOAD_TRANSPORT_HEADER);
    batch_.attribute_be32(NFTA_PAYLOAD_OFFSET, offset);
    batch_.attribute_be32(NFTA_PAYLOAD_LEN, 1);
    end();
    return *this;
  }
  RuleWriter& mask_byte(std::uint8_t mask) {
    begin("bitwise");
    batch_.attribute_be32(NFTA_BITWISE_SREG, NFT_REG_1);
    batch_.attribute_be32(NFTA_BITWISE_DREG, NFT_REG_1);
    batch_.attribute_be32(NFTA_BITWISE_LEN, 1);
    value(NFTA_BITWISE_MASK, bytes_of(mask));
    std::uint8_t zero = 0;
    value(NFTA_BITWISE_XOR, bytes_of(zero));
    end();
    return *this;
  }
  RuleWriter& compare(std::uint32_t how, std::string_view with) {
    begin("cmp");
    batch_.attribute_be32(NFTA_CMP_SREG, NFT_REG_1);
    batch_.attribute_be32(NFTA_CMP_OP, how);
    value(NFTA_CMP_DATA, with);
    end();
    return *this;
  }
  RuleWriter& to_listener(std::uint8_t family) {
    std::uint16_t port = htons(init::gateway_port);
    begin("immediate");
    batch_.attribute_be32(NFTA_IMMEDIATE_DREG, NFT_REG_1);
    value(NFTA_IMMEDIATE_DATA, bytes_of(port));
    end();
    begin("tproxy");
    batch_.attribute_be32(NFTA_TPROXY_FAMILY, family);
    batch_.attribute_be32(NFTA_TPROXY_REG_PORT, NFT_REG_1);
    end();
    return *this;
  }
  void verdict(std::uint32_t code) {
    begin("immediate");
    batch_.attribute_be32(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    batch_.open(NFTA_IMMEDIATE_DATA);
    batch_.open(NFTA_DATA_VERDICT);
    batch_.attribute_be32(NFTA_VERDICT_CODE, code);
    batch_.close();
    batch_.close();
    end();
  }

 private:
  void begin(std::string_view name) {
    batch_.open(NFTA_LIST_ELEM);
    batch_.attribute_text(NFTA_EXPR_NAME, name);
    batch_.open(NFTA_EXPR_DATA);
  }
  void end() {
    batch_.close();
    batch_.close();
  }
  void value(std::uint16_t type, std::string_view bytes) {
    batch_.open(type);
    batch_.attribute(NFTA_DATA_VALUE, bytes);
    batch_.close();
  }
  NetlinkBatch& batch_;
};

Status add_rules(int socket, bool v6) {
  NetlinkBatch batch;
  nfgenmsg limits{AF_UNSPEC, NFNETLINK_V0, htons(NFNL_SUBSYS_NFTABLES)};
  nfgenmsg header{NFPROTO_INET, NFNETLINK_V0, 0};
  batch.begin(NFNL_MSG_BATCH_BEGIN, 0, bytes_of(limits), "", true);
  batch.begin(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWTABLE, NLM_F_CREATE, bytes_of(header),
              "make nftables table");
  batch.attribute_text(NFTA_TABLE_NAME, "gateway");
  batch.begin(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN, NLM_F_CREATE, bytes_of(header),
              "make nftables chain");
  batch.attribute_text(NFTA_CHAIN_TABLE, "gateway");
  batch.attribute_text(NFTA_CHAIN_NAME, "arriving");
  batch.attribute_text(NFTA_CHAIN_TYPE, "filter");
  batch.open(NFTA_CHAIN_HOOK);
  batch.attribute_be32(NFTA_HOOK_HOOKNUM, NF_INET_PRE_ROUTING);
  batch.attribute_be32(NFTA_HOOK_PRIORITY, static_cast<std::uint32_t>(-150));
  batch.close();
  batch.attribute_be32(NFTA_CHAIN_POLICY, NF_DROP);

  const std::uint32_t loopback = loopback_index;
  const std::uint8_t tcp = IPPROTO_TCP;
  const std::uint8_t icmp6 = IPPROTO_ICMPV6;
  auto approved = [&](std::uint8_t family) {
    RuleWriter(batch)
        .meta_is(NFT_META_IIF, bytes_of(loopback))
        .meta_is(NFT_META_NFPROTO, bytes_of(family))
        .meta_is(NFT_META_L4PROTO, bytes_of(tcp))
        .to_listener(family)
        .verdict(NF_ACCEPT);
  };
  approved(NFPROTO_IPV4);
  if (v6) approved(NFPROTO_IPV6);
  const std::uint8_t syn = 0x02;
  RuleWriter(batch)
      .meta_is(NFT_META_L4PROTO, bytes_of(tcp))
      .transport_byte(13)
      .mask_byte(0x12)  // SYN and ACK
      .compare(NFT_CMP_EQ, bytes_of(syn))
      .verdict(NF_DROP);
  RuleWriter(batch).meta_is(NFT_META_L4PROTO, bytes_of(tcp)).verdict(NF_ACCEPT);
  // Who has an address, and nothing that would change this side's routes (router advertisements,
  // redirects).
  const std::uint8_t first = 135;  // neighbour solicitation
  const std::uint8_t last = 136;   // neighbour advertisement
  RuleWriter(batch)
      .meta_is(NFT_META_L4PROTO, bytes_of(icmp6))
      .transport_byte(0)
      .compare(NFT_CMP_GTE, bytes_of(first))
      .compare(NFT_CMP_LTE, bytes_of(last))
      .verdict(NF_ACCEPT);
  batch.begin(NFNL_MSG_BATCH_END, 0, bytes_of(limits), "", true);
  return batch.send(socket);
}

// Where the kernel has no netfilter pid 1 hands over another socket.
bool is_netlink(int socket) {
  int domain = 0;
  socklen_t size = sizeof(domain);
  return ::getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_NETLINK;
}

// Packet rules, or nothing and why.
Status add_rules_where_possible(int socket, bool v6) {
  if (!is_netlink(socket)) return fail("add packet rules", "", "no netfilter socket can be had");
  return add_rules(socket, v6).with_context("nftables");
}

std::string_view what_lacks(const PortList& list) {
  if (list.lacks_named) return " (not all ports that rules or persona name are in the list)";
  if (list.lacks_usual) return " (not all ports on which services usually listen are in the list)";
  return "";
}

Result<Capture> listen_on_ports(const NetworkPolicy& policy, const GatewaySockets& sockets,
                                std::string_view packed_world, std::string_view why) {
  GYGES_TRY(PortList list, port_list(policy, packed_world));
  Capture capture;
  capture.words = fmt::format(
      "TCP connections are let in on {} listed ports alone, for {}; on others what the policy "
      "allows is refused and recorded{}",
      list.ports.size(), why, what_lacks(list));
  const bool v6 = policy.interface.has_v6;
  using Index = GatewaySockets::Index;
  // The gateway's own port has its listeners.
  GYGES_CHECK(filter_listener(sockets.fds[Index::tcp4].get()));
  if (v6) GYGES_CHECK(filter_listener(sockets.fds[Index::tcp6].get()));
  std::vector<std::uint16_t> others = list.ports;
  std::erase(others, init::gateway_port);
  const int route = sockets.fds[Index::gateway_route].get();
  GYGES_TRY(capture.listeners, make_port_listeners(route, others, v6));
  GYGES_CHECK(route_ports(route, list.ports, v6));
  capture.ports = std::move(list.ports);
  return capture;
}

// First of all: no packet ever arrives without packet rules or what stands for them.
Result<Capture> let_in(const NetworkPolicy& policy, const GatewaySockets& sockets,
                       std::string_view packed_world) {
  if (policy.capture == CaptureDemand::ports)
    return listen_on_ports(policy, sockets, packed_world, "the policy says so");
  auto rules = add_rules_where_possible(sockets.fds[GatewaySockets::gateway_filter].get(),
                                        policy.interface.has_v6);
  if (rules) return Capture{};
  if (policy.capture == CaptureDemand::all) {
    rules.error().cure =
        "load the kernel modules nf_tables and nft_tproxy, or set network.capture to best; or "
        "accept it with --allow-degraded=packet_rules";
    return tl::unexpected<Error>(std::move(rules.error()));
  }
  return listen_on_ports(policy, sockets, packed_world,
                         "this host has no packet rules (" + rules.error().line() + ")");
}

}  // namespace

Result<Capture> build_topology(const NetworkPolicy& policy, const GatewaySockets& sockets,
                               pid_t agent, std::string_view packed_world) {
  const NetworkInterface& interface = policy.interface;
  GYGES_TRY(Capture capture, let_in(policy, sockets, packed_world));
  int gateway_side = sockets.fds[GatewaySockets::gateway_route].get();
  int agent_side = sockets.fds[GatewaySockets::agent_route].get();
  unsigned link = free_index(gateway_side, agent_side);
  GYGES_CHECK(configure_gateway_side(interface, gateway_side, link, agent));
  GYGES_CHECK(cut_datagrams(agent_side, interface.name.c_str()));
  GYGES_CHECK(configure_agent_side(interface, agent_side, link));
  for (int side : {gateway_side, agent_side}) GYGES_CHECK(await_link(side, link));
  return capture;
}

}  // namespace gyges::network
