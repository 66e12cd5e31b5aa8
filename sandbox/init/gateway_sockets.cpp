#include "sandbox/init/gateway_sockets.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <initializer_list>

#include "sandbox/init/channel.h"
#include "sandbox/init/gateway_listener.h"
#include "sandbox/init/protocol.h"

namespace gyges::init {
namespace {

int write_text(const char* path, const char* text) {
  int fd = ::open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  auto length = static_cast<ssize_t>(std::strlen(text));
  bool done = ::write(fd, text, static_cast<std::size_t>(length)) == length;
  ::close(fd);
  return done ? 0 : -1;
}

// Without waiting for an answer, for which two processes would wake each other each time: nothing
// that follows needs it.
int offer_socket(int family, int type, int protocol) {
  return offer(::socket(family, type | SOCK_CLOEXEC, protocol), Hand::gateway);
}

// Where there is no IPv6, a socket that is not used stands in the place of one that is.
int offer_v6(int fd, bool v6) {
  return offer(v6 ? fd : ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), Hand::gateway);
}

int offer_sockets(bool v6) {
  if (offer_socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE) != 0) return -1;
  // Where the kernel has none of it, another stands there.
  int filter = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
  if (filter < 0) filter = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (offer(filter, Hand::gateway) != 0) return -1;
  if (offer(make_gateway_listener(AF_INET, gateway_port, nullptr), Hand::gateway) != 0) return -1;
  if (offer_v6(v6 ? make_gateway_listener(AF_INET6, gateway_port, nullptr) : -1, v6) != 0)
    return -1;
  if (offer_socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK, 0) != 0) return -1;
  if (offer_socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_RAW) != 0) return -1;
  int raw6 = v6 ? ::socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_RAW) : -1;
  return offer_v6(raw6, v6);
}

// What the namespace takes over from the host would matter: a host that filters by reverse path
// would drop what is approved, and cookies would let connections in whose SYN nobody approved.
int settle() {
  for (const char* path :
       {"/proc/sys/net/ipv4/conf/all/rp_filter", "/proc/sys/net/ipv4/conf/default/rp_filter",
        "/proc/sys/net/ipv4/tcp_syncookies"})
    if (write_text(path, "0\n") != 0) return -1;
  return 0;
}

}  // namespace

int hand_gateway(const char* ping_groups, bool v6) {
  if (write_text("/proc/sys/net/ipv4/ping_group_range", ping_groups) != 0) return -1;
  int home = ::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (home < 0) return -1;
  if (::unshare(CLONE_NEWNET) != 0 || settle() != 0 || offer_sockets(v6) != 0) return -1;
  if (::setns(home, CLONE_NEWNET) != 0 || ::close(home) != 0) return -1;
  // Tells which socket a packet came from. Where the kernel has none of it, another stands there.
  int diag = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  if (diag < 0) diag = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (offer(diag, Hand::gateway) != 0) return -1;
  // The last one: the supervisor finds the agent's namespace by this process, which stays in it.
  return offer_socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
}

}  // namespace gyges::init
