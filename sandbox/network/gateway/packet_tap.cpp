#include "sandbox/network/gateway/packet_tap.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "sandbox/network/topology.h"

namespace gyges::network {
namespace {

// Passes what opens or carries something: everything but TCP segments that are no SYN, and but
// other protocols than IP.
Status filter_packets(int tap) {
  constexpr std::uint32_t all = 0x40000;
  const std::array<sock_filter, 18> filter{{
      /* 0 */ BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                       static_cast<std::uint32_t>(SKF_AD_OFF + SKF_AD_PROTOCOL)),
      /* 1 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IPV6, 8, 0),
      /* 2 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 13),
      /* 3 */ BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9),
      /* 4 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 0, 12),
      /* 5 */ BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 6),
      /* 6 */ BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x3fff, 10, 0),
      /* 7 */ BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
      /* 8 */ BPF_STMT(BPF_LD | BPF_B | BPF_IND, 13),
      /* 9 */ BPF_STMT(BPF_JMP | BPF_JA, 3),
      /* 10 */ BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 6),
      /* 11 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 0, 5),
      /* 12 */ BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 53),
      /* 13 */ BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12),
      /* 14 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 2, 0),
      /* 15 */ BPF_STMT(BPF_RET | BPF_K, 0),
      /* 16 */ BPF_STMT(BPF_RET | BPF_K, 0),
      /* 17 */ BPF_STMT(BPF_RET | BPF_K, all),
  }};
  sock_fprog attach{static_cast<unsigned short>(filter.size()),
                    const_cast<sock_filter*>(filter.data())};
  if (::setsockopt(tap, SOL_SOCKET, SO_ATTACH_FILTER, &attach, sizeof(attach)) != 0)
    return fail_errno("filter packets", "");
  return ok();
}

// Of the interface in the namespace of `socket`; 0: none.
int index_of(int socket, const char* interface) {
  ifreq request{};
  std::strncpy(request.ifr_name, interface, sizeof(request.ifr_name) - 1);
  return ::ioctl(socket, SIOCGIFINDEX, &request) == 0 ? request.ifr_ifindex : 0;
}

}  // namespace

Status open_tap(int tap) {
  int on = 1;
  int room = 8 << 20;
  (void)::setsockopt(tap, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
  GYGES_CHECK(filter_packets(tap));
  if (::setsockopt(tap, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) != 0)
    return fail_errno("watch packets", "", errno, "use Linux 4.20 or later");
  sockaddr_ll link{};
  link.sll_family = AF_PACKET;
  link.sll_protocol = htons(ETH_P_ALL);
  link.sll_ifindex = index_of(tap, gateway_link);
  if (link.sll_ifindex == 0 || ::bind(tap, reinterpret_cast<sockaddr*>(&link), sizeof(link)) != 0)
    return fail_errno("watch packets", "");
  return ok();
}

}  // namespace gyges::network
