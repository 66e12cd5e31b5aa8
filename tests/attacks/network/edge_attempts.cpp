// Corners of the protocols, which a gateway may read in another way than the kernel that sends
// them: ports and addresses that nobody uses, options, odd questions to a name server. For
// edge_test.cpp; aims at documentation addresses and at the sandbox itself.
#include <arpa/inet.h>
#include <linux/errqueue.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "attempt_sockets.h"

namespace attempts {
namespace {

constexpr const char* pit = "203.0.113.80";
constexpr const char* resolver = "192.0.2.53";

void row(const char* name, const std::string& outcome) {
  std::printf("%s %s\n", name, outcome.c_str());
  std::fflush(stdout);
}

const sockaddr* generic(const Address& to) {
  return reinterpret_cast<const sockaddr*>(&to.storage);
}

std::string send_to(int fd, const Address& to, const std::string& bytes) {
  return ::sendto(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL, generic(to), to.length) < 0
             ? word(errno)
             : "sent";
}

struct Option {
  int level;
  int name;
  const void* value;
  socklen_t size;
};

// A datagram, or a connection and as many bytes, by a socket with this option; `behind` is set once
// the connection is there.
std::string with(int type, const Option& option, const char* text, int port,
                 const std::string& bytes, const Option* behind = nullptr) {
  Address to = address(text, port);
  int fd = ::socket(to.storage.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  std::string result;
  if (option.value != nullptr &&
      ::setsockopt(fd, option.level, option.name, option.value, option.size) != 0) {
    result = "option " + word(errno);
  } else if (type == SOCK_DGRAM) {
    result = send_to(fd, to, bytes);
  } else if (::connect(fd, generic(to), to.length) != 0 && errno != EINPROGRESS) {
    result = word(errno);
  } else {
    result = within(fd, POLLOUT, 700);
    if (result == "worked" && behind != nullptr &&
        ::setsockopt(fd, behind->level, behind->name, behind->value, behind->size) != 0)
      result = "option " + word(errno);
    if (result == "worked") (void)!::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  ::close(fd);
  return result;
}

constexpr Option none{0, 0, nullptr, 0};

// What hosts say to each other of routes, by the sockets that ordinary programs may ping with.
std::string control_message(std::uint8_t type, const char* text) {
  Address to = address(text, 0);
  const bool v6 = to.storage.ss_family == AF_INET6;
  int fd = ::socket(to.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC,
                    v6 ? static_cast<int>(IPPROTO_ICMPV6) : static_cast<int>(IPPROTO_ICMP));
  if (fd < 0) return "socket " + word(errno);
  std::string message(40, '\0');
  message[0] = static_cast<char>(type);
  std::string result = send_to(fd, to, message);
  ::close(fd);
  return result;
}

// To a port of its own under which it also is: a connection with itself.
std::string with_itself() {
  int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  Address here = address("10.0.2.15", 5555);
  std::string result = "bind " + word(errno);
  if (::bind(fd, generic(here), here.length) == 0)
    result = ::connect(fd, generic(here), here.length) == 0 ? "worked" : word(errno);
  ::close(fd);
  return result;
}

std::string u16(unsigned value) {
  return {static_cast<char>(value >> 8U), static_cast<char>(value)};
}

// A question, with any header and whatever comes behind it.
std::string question(unsigned flags, unsigned count, const std::string& name, unsigned type,
                     const std::string& more = "", unsigned additional = 0) {
  return u16(0x7e57) + u16(flags) + u16(count) + u16(0) + u16(0) + u16(additional) + name +
         u16(type) + u16(1) + more;
}

// The answer's code, or what else comes of it.
std::string ask(const std::string& message) {
  int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  std::string result = send_to(fd, address(resolver, 53), message);
  if (result == "sent") result = within(fd, POLLIN, 700);
  std::array<char, 65536> answer{};
  if (result == "worked") {
    ssize_t n = ::recv(fd, answer.data(), answer.size(), 0);
    result = n < 12 ? "short"
                    : "code_" + std::to_string(answer[3] & 15) + "_size_" +
                          (n > 512 ? "large" : "small");
  }
  ::close(fd);
  return result;
}

// A datagram with so many hops to live, and what comes back about it: who says so and what.
std::string hops(const char* text, int port, int count, const std::string& bytes) {
  Address to = address(text, port);
  const bool v6 = to.storage.ss_family == AF_INET6;
  const int on = 1;
  int fd = ::socket(to.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ::setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_UNICAST_HOPS : IP_TTL, &count,
               sizeof(count));
  ::setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_RECVERR : IP_RECVERR, &on, sizeof(on));
  std::string result = send_to(fd, to, bytes);
  pollfd ready{fd, POLLERR, 0};
  if (result == "sent" && ::poll(&ready, 1, 700) == 1) {
    alignas(cmsghdr) std::array<char, 512> control{};
    msghdr message{};
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    if (::recvmsg(fd, &message, MSG_ERRQUEUE) >= 0 && CMSG_FIRSTHDR(&message) != nullptr) {
      const auto* error =
          reinterpret_cast<const sock_extended_err*>(CMSG_DATA(CMSG_FIRSTHDR(&message)));
      const sockaddr* from = SO_EE_OFFENDER(error);
      std::array<char, INET6_ADDRSTRLEN> name{};
      const void* at =
          v6 ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in6*>(from)->sin6_addr)
             : static_cast<const void*>(&reinterpret_cast<const sockaddr_in*>(from)->sin_addr);
      ::inet_ntop(from->sa_family, at, name.data(), name.size());
      result = std::to_string(error->ee_type) + "." + std::to_string(error->ee_code) + "_from_" +
               name.data();
    }
  }
  ::close(fd);
  return result;
}

void packets(const std::string& token) {
  row("port_0", with(SOCK_STREAM, none, pit, 0, token));
  row("port_0_udp", with(SOCK_DGRAM, none, pit, 0, token));
  const std::array<unsigned char, 8> record_route{7, 7, 4, 0, 0, 0, 0, 1};
  const Option ip_option{IPPROTO_IP, IP_OPTIONS, record_route.data(), record_route.size()};
  row("ip_option", with(SOCK_DGRAM, ip_option, pit, 9301, token));
  row("ip_option_tcp", with(SOCK_STREAM, ip_option, pit, 9302, token));
  const int on = 1;
  row("no_checksum",
      with(SOCK_DGRAM, {SOL_SOCKET, SO_NO_CHECK, &on, sizeof(on)}, pit, 9303, token));
  row("empty", with(SOCK_DGRAM, none, pit, 9304, ""));
  const int one_hop = 1;
  row("one_hop", hops(pit, 9305, 1, token));
  row("two_hops", hops(pit, 9311, 2, token));
  row("two_hops_refused", hops("192.0.2.9", 9312, 2, token));
  row("one_hop6", hops("2001:db8::9", 9313, 1, token));
  row("two_hops6", hops("2001:db8::9", 9314, 2, token));
  row("one_hop_neighbour", hops("10.0.2.77", 9315, 1, token));
  row("one_hop_tcp",
      with(SOCK_STREAM, {IPPROTO_IP, IP_TTL, &one_hop, sizeof(one_hop)}, pit, 9306, token));
  const int probe = IP_PMTUDISC_PROBE;
  row("whole", with(SOCK_DGRAM, {IPPROTO_IP, IP_MTU_DISCOVER, &probe, sizeof(probe)}, pit, 9307,
                    std::string(3000, 'w') + token));
  const Option kernel_tls{IPPROTO_TCP, TCP_ULP, "tls", 3};  // of connections alone
  row("kernel_tls", with(SOCK_STREAM, none, pit, 9308, token, &kernel_tls));
  row("kernel_tls_early", with(SOCK_STREAM, kernel_tls, pit, 9310, token));
  const int least = 88;
  row("least_segments",
      with(SOCK_STREAM, {IPPROTO_TCP, TCP_MAXSEG, &least, sizeof(least)}, pit, 9309, token));
  row("class_e", with(SOCK_STREAM, none, "240.0.0.1", 80, token));
  row("net_0", with(SOCK_STREAM, none, "0.1.2.3", 80, token));
  row("broadcast_tcp", with(SOCK_STREAM, none, "255.255.255.255", 80, token));
  row("nat64", with(SOCK_STREAM, none, "64:ff9b::cb00:7150", 80, token));
  row("6to4", with(SOCK_STREAM, none, "2002:cb00:7150::1", 80, token));
  row("compatible", with(SOCK_STREAM, none, "::203.0.113.80", 80, token));
  row("redirect", control_message(ICMP_REDIRECT, pit));
  row("redirect6", control_message(ND_REDIRECT, "2001:db8::80"));
  row("advertised6", control_message(ND_ROUTER_ADVERT, "2001:db8::80"));
  row("neighbour6", control_message(ND_NEIGHBOR_ADVERT, "2001:db8::80"));
  row("echo", control_message(ICMP_ECHO, pit));
  row("echo6", control_message(ICMP6_ECHO_REQUEST, "2001:db8::80"));
  row("with_itself", with_itself());
}

void questions(const std::string& token) {
  const std::string web("\3web\7example\0", 13);
  const std::string named = std::string(1, static_cast<char>(token.size())) + token + web;
  const std::string loop("\xc0\x0c", 2);
  auto options = [](unsigned size, const std::string& data) {
    return std::string(1, '\0') + u16(41) + u16(size) + u16(0) + u16(0) + u16(data.size()) + data;
  };
  const std::string padding = u16(12) + u16(token.size()) + token;
  row("good", ask(question(0x100, 1, web, 1)));
  row("loop", ask(question(0x100, 1, loop, 1)));
  row("loop_behind", ask(question(0x100, 1, "\1a" + loop, 1)));
  row("forward", ask(question(0x100, 1, std::string("\xc0\x40", 2), 1)));
  row("no_question", ask(question(0x100, 0, web, 1)));
  row("two_questions", ask(question(0x100, 2, web, 1, web + u16(1) + u16(1))));
  row("update", ask(question(0x2800, 1, named, 6)));
  row("notify", ask(question(0x2000, 1, named, 6)));
  row("transfer", ask(question(0x100, 1, named, 252)));
  row("reserved_label", ask(question(0x100, 1, "\x80" + web, 1)));
  row("room_0", ask(question(0x100, 1, web, 1, options(0, ""), 1)));
  row("room_65535", ask(question(0x100, 1, web, 16, options(65535, ""), 1)));
  row("two_options", ask(question(0x100, 1, web, 1, options(512, "") + options(512, ""), 2)));
  row("padding", ask(question(0x100, 1, web, 1, options(512, padding), 1)));
  row("good_after", ask(question(0x100, 1, web, 1)));
}

}  // namespace

bool try_edges(int argc, char** argv) {
  const std::string what = argc == 3 ? argv[1] : "";
  if (what == "packets")
    packets(argv[2]);
  else if (what == "questions")
    questions(argv[2]);
  else
    return false;
  return true;
}

}  // namespace attempts
