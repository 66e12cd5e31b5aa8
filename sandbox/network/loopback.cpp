#include "sandbox/network/loopback.h"

#include <net/if.h>
#include <netlink/errno.h>
#include <netlink/netlink.h>
#include <netlink/route/link.h>
#include <netlink/socket.h>

#include <memory>

namespace gyges::network {
namespace {

constexpr int loopback_index = 1;  // the kernel makes it first in every namespace

tl::unexpected<Error> netlink_failure(std::string_view step, int code) {
  return fail(step, "lo", nl_geterror(code));
}

}  // namespace

Status bring_up_loopback(UniqueFd route_socket) {
  std::unique_ptr<nl_sock, decltype(&nl_socket_free)> socket(nl_socket_alloc(), &nl_socket_free);
  std::unique_ptr<rtnl_link, decltype(&rtnl_link_put)> link(rtnl_link_alloc(), &rtnl_link_put);
  std::unique_ptr<rtnl_link, decltype(&rtnl_link_put)> change(rtnl_link_alloc(), &rtnl_link_put);
  if (!socket || !link || !change) return fail("bring up interface", "lo", "out of memory");
  int code = nl_socket_set_fd(socket.get(), NETLINK_ROUTE, route_socket.get());
  if (code < 0) return netlink_failure("use route socket for interface", code);
  (void)route_socket.release();  // the socket closes it
  rtnl_link_set_ifindex(link.get(), loopback_index);
  rtnl_link_set_flags(change.get(), IFF_UP);
  code = rtnl_link_change(socket.get(), link.get(), change.get(), 0);
  if (code < 0) return netlink_failure("bring up interface", code);
  return ok();
}

}  // namespace gyges::network
