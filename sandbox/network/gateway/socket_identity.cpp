#include "sandbox/network/gateway/socket_identity.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

namespace gyges::network {

std::uint32_t socket_inode(int diag, std::uint8_t protocol, const Endpoint& source,
                           const Endpoint& destination) {
  static std::uint32_t sequence = 0;
  struct {
    nlmsghdr header;
    inet_diag_req_v2 body;
  } request{};
  request.header.nlmsg_len = sizeof(request);
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.header.nlmsg_seq = ++sequence;
  inet_diag_req_v2& body = request.body;
  body.sdiag_family = source.address.v6 ? AF_INET6 : AF_INET;
  body.sdiag_protocol = protocol;
  body.idiag_states = ~0U;
  // For UDP the kernel takes the two for each other, and says so (net/ipv4/udp_diag.c).
  const Endpoint& first = protocol == IPPROTO_UDP ? destination : source;
  const Endpoint& second = protocol == IPPROTO_UDP ? source : destination;
  const std::size_t size = source.address.v6 ? 16 : 4;
  std::memcpy(body.id.idiag_src, first.address.bytes.data(), size);
  std::memcpy(body.id.idiag_dst, second.address.bytes.data(), size);
  body.id.idiag_sport = htons(first.port);
  body.id.idiag_dport = htons(second.port);
  body.id.idiag_cookie[0] = body.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  if (::sendto(diag, &request, sizeof(request), MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&kernel),
               sizeof(kernel)) < 0)
    return 0;
  // The kernel has answered by now. What is not the answer to this question is an earlier one.
  alignas(nlmsghdr) std::array<char, 4096> answer{};
  for (int i = 0; i < 4; ++i) {
    ssize_t n = ::recv(diag, answer.data(), answer.size(), MSG_DONTWAIT);
    if (n < static_cast<ssize_t>(sizeof(nlmsghdr))) return 0;
    nlmsghdr header{};
    std::memcpy(&header, answer.data(), sizeof(header));
    if (header.nlmsg_seq != sequence) continue;
    if (header.nlmsg_type != SOCK_DIAG_BY_FAMILY ||
        n < static_cast<ssize_t>(NLMSG_LENGTH(sizeof(inet_diag_msg))))
      return 0;
    inet_diag_msg found{};
    std::memcpy(&found, answer.data() + NLMSG_HDRLEN, sizeof(found));
    return found.idiag_inode;
  }
  return 0;
}

}  // namespace gyges::network
