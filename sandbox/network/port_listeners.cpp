#include "sandbox/network/port_listeners.h"

#include <fcntl.h>
#include <netinet/in.h>

// After the C library's, which they respect.
#include <linux/fib_rules.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/nsfs.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <initializer_list>

#include "base/fd_message.h"
#include "sandbox/init/gateway_listener.h"
#include "sandbox/network/netlink_batch.h"
#include "sandbox/network/topology.h"

namespace gyges::network {
namespace {

constexpr std::uint32_t loopback_interface = 1;

// What the child was doing when it failed, and why.
struct Failure {
  const char* step = nullptr;
  int code = 0;
};

// Of a TCP socket the filter sees the segment from the TCP header on.
constexpr std::array<sock_filter, 7> first_segments{{
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(SKF_AD_OFF + SKF_AD_IFINDEX)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, loopback_interface, 3, 0),
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
    BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12),  // SYN and ACK
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 1, 0),
    BPF_STMT(BPF_RET | BPF_K, ~0U),
    BPF_STMT(BPF_RET | BPF_K, 0),
}};

sock_fprog filter_program() {
  return {static_cast<unsigned short>(first_segments.size()),
          const_cast<sock_filter*>(first_segments.data())};
}

int write_text(const char* path, const char* text) {
  const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  const auto length = static_cast<ssize_t>(std::strlen(text));
  const bool done = ::write(fd, text, static_cast<std::size_t>(length)) == length;
  ::close(fd);
  return done ? 0 : -1;
}

// In a child of a program with threads: nothing here allocates.
Failure work_inside(int user_namespace, int network_namespace, int to,
                    const std::vector<std::uint16_t>& ports, bool v6) {
  if (user_namespace >= 0 && ::setns(user_namespace, CLONE_NEWUSER) != 0)
    return {"enter user namespace", errno};
  if (::setns(network_namespace, CLONE_NEWNET) != 0) return {"enter network namespace", errno};
  if (v6)
    for (const char* path : {"/proc/sys/net/ipv6/conf/default/accept_ra",
                             "/proc/sys/net/ipv6/conf/default/accept_redirects"})
      if (write_text(path, "0\n") != 0) return {"refuse routes from packets", errno};
  if (v6 && write_text("/proc/sys/net/ipv6/icmp/echo_ignore_all", "1\n") != 0)
    return {"leave pings to the gateway", errno};
  const sock_fprog filter = filter_program();
  std::array<int, most_fds_in_message> fds{};
  std::size_t held = 0;
  auto pass_on = [&] {
    const int sent = held == 0 ? 0 : send_with_fds(to, "l", {fds.data(), held});
    for (std::size_t i = 0; i < held; ++i) ::close(fds[i]);
    held = 0;
    return sent;
  };
  for (int family : {AF_INET, AF_INET6})
    for (std::uint16_t port : ports) {
      if (family == AF_INET6 && !v6) continue;
      fds[held] = init::make_gateway_listener(family, port, &filter);
      if (fds[held] < 0) return {"listen on a port", errno};
      if (++held == fds.size() && pass_on() != 0) return {"hand over listeners", errno};
    }
  return pass_on() == 0 ? Failure{} : Failure{"hand over listeners", errno};
}

// The user namespace that owns the network namespace; none: the caller's own.
Result<UniqueFd> owner_of(int network_namespace) {
  UniqueFd owner(::ioctl(network_namespace, NS_GET_USERNS));
  if (!owner) return fail_errno("find owner of", "the gateway's network namespace");
  struct stat theirs {};
  struct stat ours {};
  if (::fstat(owner.get(), &theirs) != 0 || ::stat("/proc/self/ns/user", &ours) != 0)
    return fail_errno("find owner of", "the gateway's network namespace");
  if (theirs.st_ino == ours.st_ino && theirs.st_dev == ours.st_dev) owner.reset();
  return owner;
}

class RoutingRule {
 public:
  RoutingRule(NetlinkBatch& batch, int family, std::uint16_t type, std::uint8_t action,
              std::uint32_t priority)
      : batch_(batch) {
    fib_rule_hdr header{};
    header.family = static_cast<std::uint8_t>(family);
    header.action = action;
    header.table = action == FR_ACT_TO_TBL ? RT_TABLE_LOCAL : RT_TABLE_UNSPEC;
    const int flags = type == RTM_NEWRULE ? NLM_F_CREATE | NLM_F_EXCL : 0;
    batch_.begin(type, static_cast<std::uint16_t>(flags), bytes_of(header), "set routing rule");
    batch_.attribute_u32(FRA_PRIORITY, priority);
  }
  RoutingRule& table(std::uint32_t number) {
    batch_.attribute_u32(FRA_TABLE, number);
    return *this;
  }
  RoutingRule& arriving(std::uint8_t protocol) {
    batch_.attribute_text(FRA_IIFNAME, gateway_link);
    batch_.attribute(FRA_IP_PROTO, bytes_of(protocol));
    return *this;
  }
  RoutingRule& to_ports(fib_rule_port_range range) {
    batch_.attribute(FRA_DPORT_RANGE, bytes_of(range));
    return *this;
  }

 private:
  NetlinkBatch& batch_;
};

// The kernel consults rules in the order of their numbers; "local" is the first of every namespace.
constexpr std::uint32_t deliver_first = 10;
constexpr std::uint32_t drop_then = 20;
constexpr std::uint32_t local_last = 30;

Status route_family(int route, const std::vector<std::uint16_t>& ports, int family) {
  NetlinkBatch batch;
  for (std::size_t i = 0; i < ports.size();) {
    fib_rule_port_range range{ports[i], ports[i]};
    while (++i < ports.size() && ports[i] == range.end + 1) ++range.end;
    RoutingRule(batch, family, RTM_NEWRULE, FR_ACT_TO_TBL, deliver_first)
        .table(RT_TABLE_MAIN)
        .arriving(IPPROTO_TCP)
        .to_ports(range);
  }
  constexpr std::array<std::uint8_t, 5> answered{IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE,
                                                 IPPROTO_DCCP, IPPROTO_SCTP};
  for (std::uint8_t protocol : answered)
    RoutingRule(batch, family, RTM_NEWRULE, FR_ACT_BLACKHOLE, drop_then).arriving(protocol);
  // That of IPv6 says who is a neighbour; its pings and routes are settings.
  if (family == AF_INET)
    RoutingRule(batch, family, RTM_NEWRULE, FR_ACT_BLACKHOLE, drop_then).arriving(IPPROTO_ICMP);
  RoutingRule(batch, family, RTM_NEWRULE, FR_ACT_TO_TBL, local_last).table(RT_TABLE_LOCAL);
  RoutingRule(batch, family, RTM_DELRULE, FR_ACT_TO_TBL, 0).table(RT_TABLE_LOCAL);
  return batch.send(route);
}

}  // namespace

Status filter_listener(int listener) {
  const sock_fprog filter = filter_program();
  if (::setsockopt(listener, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) != 0)
    return fail_errno("filter listener", "");
  return ok();
}

Status route_ports(int route, const std::vector<std::uint16_t>& ports, bool v6) {
  GYGES_CHECK(route_family(route, ports, AF_INET));
  return v6 ? route_family(route, ports, AF_INET6) : ok();
}

Result<std::vector<PortListener>> make_port_listeners(int socket,
                                                      const std::vector<std::uint16_t>& ports,
                                                      bool v6) {
  UniqueFd network_namespace(::ioctl(socket, SIOCGSKNS));
  if (!network_namespace) return fail_errno("find", "the gateway's network namespace");
  GYGES_TRY(UniqueFd owner, owner_of(network_namespace.get()));
  GYGES_TRY(Pipe sockets, make_socket_pair(SOCK_SEQPACKET));
  GYGES_TRY(Pipe words, make_pipe());
  const pid_t child = ::fork();
  if (child < 0) return fail_errno("start process for", "listeners on ports");
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    const Failure failure =
        work_inside(owner.get(), network_namespace.get(), sockets.write.get(), ports, v6);
    (void)!::write(words.write.get(), &failure, sizeof(failure));
    ::_exit(0);
  }
  sockets.write.reset();
  words.write.reset();
  std::vector<UniqueFd> taken;
  for (;;) {
    char word = 0;
    FdMessage some = receive_with_fds(sockets.read.get(), {&word, 1});
    if (some.fds.empty()) break;
    for (UniqueFd& fd : some.fds) taken.push_back(std::move(fd));
  }
  Failure failure{"end well", 0};
  ssize_t said = 0;
  do said = ::read(words.read.get(), &failure, sizeof(failure));
  while (said < 0 && errno == EINTR);
  while (::waitpid(child, nullptr, __WALL) < 0 && errno == EINTR) {
  }
  if (said != sizeof(failure)) return fail("make listeners", "", "its process died");
  if (failure.step != nullptr) return fail_errno(failure.step, "", failure.code);
  if (taken.size() != ports.size() * (v6 ? 2 : 1))
    return fail("make listeners", "", "not all could be taken", "raise the limit of open files");
  std::vector<PortListener> listeners;
  for (std::size_t i = 0; i < taken.size(); ++i)
    listeners.push_back({ports[i % ports.size()], std::move(taken[i])});
  return listeners;
}

}  // namespace gyges::network
