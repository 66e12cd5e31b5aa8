// Tries to reach things from inside a sandbox and prints one line for each attempt:
//   NAME OUTCOME
// where OUTCOME is "worked", the name of an errno, "timeout" or a word of the attempt's own.
//
//   attempts HOST_PORT
//   attempts ipc SOCKET ABSTRACT_NAME KEY    what processes share without a network
//   attempts abandon ADDRESS FIRST_PORT COUNT
//   attempts ping ADDRESS PAYLOAD
//   attempts load|many|hold|body|... ...     what wears a gateway down: load.cpp
//   attempts routes|words TOKEN              odd ways out and unfinished words: odd_attempts.cpp
//
// Everything aims at documentation addresses, at addresses of the sandbox's own network or at
// loopback. Load is bounded. It refuses to run in the initial pid namespace.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "attempt_sockets.h"

namespace {

using attempts::Address;
using attempts::address;
using attempts::open_tcp;
using attempts::within;
using attempts::word;

constexpr const char* marker = "gyges-network-attempt";

std::string tcp(const char* text, int port) {
  int fd = -1;
  std::string result = open_tcp(text, port, fd);
  if (result == "worked") {
    ssize_t ignored = ::send(fd, marker, std::strlen(marker), MSG_NOSIGNAL);
    (void)ignored;
  }
  if (fd >= 0) ::close(fd);
  return result;
}

// A datagram, and whether its refusal comes back: UDP sockets learn of ICMP errors.
std::string udp(const char* text, int port) {
  Address to = address(text, port);
  int fd = ::socket(to.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return word(errno);
  std::string result;
  if (::connect(fd, reinterpret_cast<sockaddr*>(&to.storage), to.length) != 0 ||
      ::send(fd, marker, std::strlen(marker), 0) < 0)
    result = word(errno);
  else
    result = within(fd, POLLIN, 500);
  ::close(fd);
  return result;
}

std::string fast_open(const char* text, int port) {
  Address to = address(text, port);
  int fd = ::socket(to.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  timeval patience{0, 700000};
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  ssize_t sent = ::sendto(fd, marker, std::strlen(marker), MSG_FASTOPEN | MSG_NOSIGNAL,
                          reinterpret_cast<sockaddr*>(&to.storage), to.length);
  std::string result = sent < 0 ? word(errno) : within(fd, POLLOUT, 700);
  ::close(fd);
  return result;
}

std::string ping(const char* text, const char* payload = "") {
  Address to = address(text, 0);
  int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP);
  if (fd < 0) return word(errno);
  icmphdr echo{};
  echo.type = ICMP_ECHO;
  std::string message(reinterpret_cast<const char*>(&echo), sizeof(echo));
  message += payload;
  if (::sendto(fd, message.data(), message.size(), 0, reinterpret_cast<sockaddr*>(&to.storage),
               to.length) < 0)
    return word(errno);
  std::string result = within(fd, POLLIN, 700);
  ::close(fd);
  return result;
}

// Sockets that are closed again before anybody answers.
std::string abandon(const char* text, int first_port, int count) {
  for (int i = 0; i < count; ++i) {
    Address to = address(text, first_port + i);
    int fd = ::socket(to.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return word(errno);
    if (::connect(fd, reinterpret_cast<sockaddr*>(&to.storage), to.length) != 0 &&
        errno != EINPROGRESS)
      return word(errno);
    ::close(fd);
  }
  return "worked";
}

// A datagram that needs more than one packet.
std::string fragments(const char* text, int port) {
  Address to = address(text, port);
  int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  std::string big(8000, 'x');
  std::string result = ::sendto(fd, big.data(), big.size(), 0,
                                reinterpret_cast<sockaddr*>(&to.storage), to.length) < 0
                           ? word(errno)
                           : within(fd, POLLIN, 300);
  ::close(fd);
  return result;
}

std::string interface_down() {
  int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  std::strcpy(request.ifr_name, "eth0");
  std::string result = "no interface";
  if (::ioctl(fd, SIOCGIFFLAGS, &request) == 0) {
    request.ifr_flags = static_cast<short>(request.ifr_flags & ~IFF_UP);
    result = ::ioctl(fd, SIOCSIFFLAGS, &request) == 0 ? "worked" : word(errno);
  }
  ::close(fd);
  return result;
}

std::string transparent() {
  int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int on = 1;
  std::string result =
      ::setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof(on)) == 0 ? "worked" : word(errno);
  ::close(fd);
  return result;
}

// Refused and sunk connections in quick succession.
std::string storm(const char* text, int port, int count, const char* expected) {
  for (int i = 0; i < count; ++i) {
    int fd = -1;
    std::string result = open_tcp(text, port, fd);
    if (fd >= 0) ::close(fd);
    if (result != expected) return result + " at " + std::to_string(i);
  }
  return "worked";
}

std::string big_body(const char* text, int port, std::size_t bytes) {
  int fd = -1;
  std::string result = open_tcp(text, port, fd);
  if (result != "worked") return result;
  ::fcntl(fd, F_SETFL, 0);
  std::string block(1U << 20U, 'b');
  for (std::size_t sent = 0; sent < bytes;) {
    ssize_t n = ::send(fd, block.data(), std::min(block.size(), bytes - sent), MSG_NOSIGNAL);
    if (n <= 0) return word(errno);
    sent += static_cast<std::size_t>(n);
  }
  ::close(fd);
  return "worked";
}

// A descriptor that a server behind a unix socket passes, and whether it reads.
std::string descriptor_from(const std::string& address) {
  int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return word(errno);
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  std::memcpy(to.sun_path, address.data(), std::min(address.size(), sizeof(to.sun_path)));
  auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.size());
  if (::connect(fd, reinterpret_cast<sockaddr*>(&to), size) != 0) return word(errno);
  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  if (within(fd, POLLIN, 5000) != "worked" || ::recvmsg(fd, &message, 0) != 1) return "silent";
  int passed = -1;
  cmsghdr* rights = CMSG_FIRSTHDR(&message);
  if (rights == nullptr) return "no descriptor";
  std::memcpy(&passed, CMSG_DATA(rights), sizeof(int));
  return ::read(passed, &byte, 1) == 1 ? "worked" : word(errno);
}

std::string outcome(long result) {
  return result >= 0 ? "worked" : word(errno);
}

template <class Row>
void share(Row&& row, char** argv) {
  std::string name = std::string("/") + argv[3];
  int key = std::atoi(argv[4]);
  row("unix_path", descriptor_from(argv[2]));
  row("unix_abstract", descriptor_from(std::string(1, '\0') + argv[3]));
  row("sysv_memory", outcome(::shmget(key, 0, 0)));
  row("sysv_semaphores", outcome(::semget(key, 0, 0)));
  row("sysv_messages", outcome(::msgget(key, 0)));
  row("posix_memory", outcome(::shm_open(name.c_str(), O_RDWR, 0)));
  row("posix_queue", outcome(::syscall(SYS_mq_open, name.c_str() + 1, O_RDWR, 0, nullptr)));
  row("vsock", outcome(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0)));
  for (int protocol = 0; protocol < 23; ++protocol)
    row(("netlink_" + std::to_string(protocol)).c_str(),
        outcome(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol)));
}

}  // namespace

int main(int argc, char** argv) {
  struct stat info {};
  // PROC_PID_INIT_INO of the kernel.
  if (::stat("/proc/self/ns/pid", &info) != 0 || info.st_ino == 4026531836) return 3;
  auto row = [](const char* name, const std::string& outcome) {
    std::printf("%s %s\n", name, outcome.c_str());
    std::fflush(stdout);
  };
  if (argc == 5 && std::strcmp(argv[1], "ipc") == 0) return share(row, argv), 0;
  if (argc == 5 && std::strcmp(argv[1], "abandon") == 0)
    return row("abandon", abandon(argv[2], std::atoi(argv[3]), std::atoi(argv[4]))), 0;
  if (argc == 4 && std::strcmp(argv[1], "ping") == 0) return row("ping", ping(argv[2], argv[3])), 0;
  if (attempts::wear_down(argc, argv) || attempts::try_oddities(argc, argv) ||
      attempts::try_edges(argc, argv))
    return 0;
  int host_port = argc > 1 ? std::atoi(argv[1]) : 1;
  row("tcp4", tcp("192.0.2.1", 443));
  row("tcp6", tcp("2001:db8::1", 443));
  row("tcp_high_port", tcp("203.0.113.9", 54321));
  row("tcp_silent", tcp("198.51.100.1", 80));
  row("tcp_unreachable", tcp("198.51.100.2", 80));
  row("mapped", tcp("::ffff:192.0.2.1", 443));
  row("neighbour", tcp("10.0.2.77", 22));
  row("gateway", tcp("10.0.2.2", host_port));
  row("gateway_listener", tcp("10.0.2.2", 15001));
  row("metadata", tcp("169.254.169.254", 80));
  row("metadata6", tcp("fd00:ec2::254", 80));
  row("host_loopback", tcp("127.0.0.1", host_port));
  row("host_loopback6", tcp("::1", host_port));
  row("unspecified", tcp("0.0.0.0", host_port));
  row("udp4", udp("192.0.2.1", 9999));
  row("udp6", udp("2001:db8::1", 9999));
  row("quic", udp("192.0.2.1", 443));
  row("udp_fragments", fragments("192.0.2.1", 9999));
  row("multicast", udp("224.0.0.251", 5353));
  row("fast_open", fast_open("192.0.2.1", 443));
  row("ping", ping("192.0.2.1"));
  row("interface_down", interface_down());
  row("transparent", transparent());
  row("storm", storm("192.0.2.3", 1, 2000, argc > 2 ? argv[2] : "ECONNREFUSED"));
  row("sunk", tcp("203.0.113.80", 8080));
  row("sunk_fast_open", fast_open("203.0.113.80", 8081));
  row("sunk_body", big_body("203.0.113.80", 8082, 48U << 20U));
  row("sunk_storm", storm("203.0.113.80", 8083, 2000, "worked"));
  return 0;
}
