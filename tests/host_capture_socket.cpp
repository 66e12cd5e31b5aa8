#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "tests/host_capture.h"

namespace gyges {
namespace {

// Passes what names a documentation address as IPv4, IPv6 or ARP. Packets begin with their network
// header.
std::vector<sock_filter> documentation_filter() {
  constexpr std::array<std::uint32_t, 3> networks{0xc0000200, 0xc6336400, 0xcb007100};
  constexpr std::uint32_t network6 = 0x20010db8;
  std::vector<sock_filter> filter;
  const auto add = [&](std::uint16_t code, std::uint32_t value, std::uint8_t yes = 0,
                       std::uint8_t no = 0) {
    filter.push_back({code, yes, no, value});
  };
  const auto pass = [&] { add(BPF_RET | BPF_K, 0x40000); };
  // One test of a word: where it matches, the packet passes.
  const auto word_is = [&](std::uint32_t at, std::uint32_t mask, std::uint32_t value) {
    add(BPF_LD | BPF_W | BPF_ABS, at);
    add(BPF_ALU | BPF_AND | BPF_K, mask);
    add(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
    pass();
  };
  const auto block = [&](std::uint32_t protocol, const std::vector<std::uint32_t>& places,
                         bool v6) {
    add(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(SKF_AD_OFF + SKF_AD_PROTOCOL));
    const std::size_t jump = filter.size();
    add(BPF_JMP | BPF_JEQ | BPF_K, protocol);
    for (std::uint32_t at : places) {
      if (v6) {
        word_is(at, 0xffffffff, network6);
        continue;
      }
      for (std::uint32_t network : networks) word_is(at, 0xffffff00, network);
    }
    filter[jump].jf = static_cast<std::uint8_t>(filter.size() - jump - 1);
  };
  block(ETH_P_IP, {12, 16}, false);
  block(ETH_P_ARP, {14, 24}, false);
  block(ETH_P_IPV6, {8, 24}, true);
  add(BPF_RET | BPF_K, 0);
  return filter;
}

// Of this thread's network namespace.
std::vector<std::string> own_addresses() {
  std::vector<std::string> own;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return own;
  for (const ifaddrs* at = list; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr) continue;
    const int family = at->ifa_addr->sa_family;
    const void* address = nullptr;
    if (family == AF_INET)
      address = &reinterpret_cast<const sockaddr_in*>(at->ifa_addr)->sin_addr;
    else if (family == AF_INET6)
      address = &reinterpret_cast<const sockaddr_in6*>(at->ifa_addr)->sin6_addr;
    else
      continue;
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (::inet_ntop(family, address, text.data(), text.size()) != nullptr)
      own.emplace_back(text.data());
  }
  ::freeifaddrs(list);
  return own;
}

}  // namespace

int open_host_capture() {
  const int fd = ::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  std::vector<sock_filter> filter = documentation_filter();
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  sockaddr_ll all{};
  all.sll_family = AF_PACKET;
  all.sll_protocol = htons(ETH_P_ALL);
  if (::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == 0 &&
      ::bind(fd, reinterpret_cast<const sockaddr*>(&all), sizeof(all)) == 0)
    return fd;
  const int code = errno;
  ::close(fd);
  errno = code;
  return -1;
}

std::string seen_by(int capture) {
  static const std::vector<std::string> own = own_addresses();
  return seen_by(capture, own);
}

std::string seen_by(int capture, const std::vector<std::string>& own) {
  const auto is_own = [&](const char* address) {
    return std::find(own.begin(), own.end(), address) != own.end();
  };
  std::string lines;
  std::array<unsigned char, 256> packet{};
  for (;;) {
    sockaddr_ll from{};
    socklen_t size = sizeof(from);
    const ssize_t n = ::recvfrom(capture, packet.data(), packet.size(), MSG_TRUNC,
                                 reinterpret_cast<sockaddr*>(&from), &size);
    if (n < 0) return lines;
    std::array<char, INET6_ADDRSTRLEN> source{};
    std::array<char, INET6_ADDRSTRLEN> destination{};
    const auto protocol = ntohs(from.sll_protocol);
    const bool v6 = protocol == ETH_P_IPV6;
    const int family = v6 ? AF_INET6 : AF_INET;
    const std::size_t first = v6 ? 8 : protocol == ETH_P_ARP ? 14 : 12;
    const std::size_t second = v6 ? 24 : protocol == ETH_P_ARP ? 24 : 16;
    ::inet_ntop(family, packet.data() + first, source.data(), source.size());
    ::inet_ntop(family, packet.data() + second, destination.data(), destination.size());
    if (is_own(source.data()) || is_own(destination.data())) continue;
    std::array<char, 200> line{};
    std::snprintf(line.data(), line.size(), "interface %d, protocol %04x, %s to %s, %zd bytes\n",
                  from.sll_ifindex, protocol, source.data(), destination.data(), n);
    if (lines.size() < 4096) lines += line.data();
  }
}

}  // namespace gyges
