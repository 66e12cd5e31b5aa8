// The network as it can be read. No packet leaves the machine: a datagram socket that is connected
// sends none and still learns route and source address.
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "sandbox/cues/probe/output.h"
#include "sandbox/cues/probe/readers.h"
#include "sandbox/cues/probe/text.h"

namespace gyges::probe {
namespace {

char content[1U << 18U];

void say_attribute(const Channel& channel, const char* interface, const char* name) {
  char path[256];
  char detail[128];
  std::snprintf(path, sizeof(path), "/sys/class/net/%s/%s", interface, name);
  std::snprintf(detail, sizeof(detail), "%s.%s", interface, name);
  long got = read_file(path, content, 256);
  if (got < 0) return say_error(channel, detail, "read /sys/class/net", errno);
  while (got > 0 && content[got - 1] == '\n') --got;
  say(channel, detail, "read /sys/class/net", content, static_cast<std::size_t>(got));
}

// Sockets of a table of /proc/net: all, those that listen, ports that listen.
void say_table(const Channel& channel, const char* name) {
  char path[64];
  char detail[64];
  std::snprintf(path, sizeof(path), "/proc/net/%s", name);
  if (read_file(path, content, sizeof(content)) < 0) return say_error(channel, name, path, errno);
  long all = -1;  // the heading
  Text listening;
  char* state = nullptr;
  for (char* line = ::strtok_r(content, "\n", &state); line != nullptr;
       line = ::strtok_r(nullptr, "\n", &state)) {
    ++all;
    unsigned port = 0;
    unsigned kind = 0;
    if (std::sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x", &port, &kind) == 2 &&
        (kind == 10 || std::strncmp(name, "udp", 3) == 0) && listening.length < 1000)
      listening.add("%s%u", listening.length > 0 ? " " : "", port);
  }
  Channel changing = channel;
  changing.kind = Kind::changing;
  say_number(changing, name, path, all < 0 ? 0 : all);
  std::snprintf(detail, sizeof(detail), "%s.ports", name);
  say(changing, detail, path, listening.bytes);
}

}  // namespace

void read_interfaces(const Channel& channel) {
  Text names;
  long count = list_directory("/sys/class/net", names, nullptr);
  if (count < 0)
    say_error(channel, "sysfs", "list /sys/class/net", errno);
  else
    say(channel, "sysfs", "list /sys/class/net", names.bytes, names.length);
  char listed[1024];
  std::snprintf(listed, sizeof(listed), "%s", names.bytes);
  char* state = nullptr;
  int said = 0;
  for (char* name = ::strtok_r(listed, " ", &state); name != nullptr && said < 16;
       name = ::strtok_r(nullptr, " ", &state), ++said)
    for (const char* attribute :
         {"address", "mtu", "operstate", "type", "tx_queue_len", "speed", "ifindex", "iflink"})
      say_attribute(channel, name, attribute);
  if (read_file("/proc/net/dev", content, sizeof(content)) < 0) {
    say_error(channel, "procfs", "read /proc/net/dev", errno);
  } else {
    Text found;
    char* rest = nullptr;
    for (char* line = ::strtok_r(content, "\n", &rest); line != nullptr;
         line = ::strtok_r(nullptr, "\n", &rest)) {
      char* colon = std::strchr(line, ':');
      if (colon == nullptr) continue;
      *colon = 0;
      while (*line == ' ') ++line;
      found.add("%s%s", found.length > 0 ? " " : "", line);
    }
    say(channel, "procfs", "read /proc/net/dev", found.bytes, found.length);
  }
  ifaddrs* addresses = nullptr;
  if (::getifaddrs(&addresses) != 0) return say_error(channel, "netlink", "getifaddrs(3)", errno);
  Text all;
  for (const ifaddrs* at = addresses; at != nullptr; at = at->ifa_next) {
    char address[INET6_ADDRSTRLEN] = {};
    if (at->ifa_addr == nullptr) continue;
    if (at->ifa_addr->sa_family == AF_INET)
      ::inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in*>(at->ifa_addr)->sin_addr, address,
                  sizeof(address));
    else if (at->ifa_addr->sa_family == AF_INET6)
      ::inet_ntop(AF_INET6, &reinterpret_cast<sockaddr_in6*>(at->ifa_addr)->sin6_addr, address,
                  sizeof(address));
    else
      continue;
    all.add("%s%s=%s", all.length > 0 ? " " : "", at->ifa_name, address);
  }
  ::freeifaddrs(addresses);
  say(channel, "netlink", "getifaddrs(3)", all.bytes, all.length);
}

void read_sockets(const Channel& channel) {
  for (const char* name : {"tcp", "tcp6", "udp", "udp6", "raw", "unix", "packet", "netlink"})
    say_table(channel, name);
}

void read_routes(const Channel& channel) {
  if (read_file("/proc/net/route", content, sizeof(content)) < 0)
    return say_error(channel, "ipv4", "read /proc/net/route", errno);
  long count = -1;
  Text gateway;
  char* state = nullptr;
  for (char* line = ::strtok_r(content, "\n", &state); line != nullptr;
       line = ::strtok_r(nullptr, "\n", &state)) {
    ++count;
    char interface[32];
    unsigned target = 0;
    unsigned through = 0;
    if (count > 0 && std::sscanf(line, "%31s %x %x", interface, &target, &through) == 3 &&
        target == 0)
      gateway.add("%s%u.%u.%u.%u by %s", gateway.length > 0 ? ", " : "", through & 255U,
                  through >> 8U & 255U, through >> 16U & 255U, through >> 24U, interface);
  }
  say_number(channel, "ipv4", "read /proc/net/route", count < 0 ? 0 : count);
  say(channel, "default", "read /proc/net/route", gateway.bytes);
}

void read_reach(const Channel& channel) {
  struct Target {
    const char* name;
    const char* address;
  };
  // Documentation addresses stand for the internet, link-local for the metadata service of clouds.
  static constexpr Target targets[] = {
      {"internet", "192.0.2.1"}, {"metadata", "169.254.169.254"}, {"private", "10.0.0.1"}};
  for (const Target& target : targets) {
    int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
      say_error(channel, target.name, "socket(2)", errno);
      continue;
    }
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(9);
    ::inet_pton(AF_INET, target.address, &to.sin_addr);
    sockaddr_in from{};
    socklen_t size = sizeof(from);
    if (::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)) != 0 ||
        ::getsockname(fd, reinterpret_cast<sockaddr*>(&from), &size) != 0) {
      say_error(channel, target.name, "connect(2) of a datagram socket", errno);
    } else {
      char address[INET_ADDRSTRLEN] = {};
      ::inet_ntop(AF_INET, &from.sin_addr, address, sizeof(address));
      say(channel, target.name, "connect(2) of a datagram socket", address);
    }
    ::close(fd);
  }
  int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return say_error(channel, "loopback_discard", "socket(2)", errno);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(9);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int done = ::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to));
  say(channel, "loopback_discard", "connect(2) to 127.0.0.1 port 9",
      done == 0 ? "accepted" : error_name(errno));
  ::close(fd);
}

void read_netlink(const Channel& channel) {
  const char* how = "RTM_GETLINK of NETLINK_ROUTE";
  const int fd = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return say_error(channel, "", how, errno);
  struct {
    nlmsghdr head;
    ifinfomsg body;
  } request{};
  request.head.nlmsg_len = sizeof(request);
  request.head.nlmsg_type = RTM_GETLINK;
  request.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  const timeval patience{0, 200000};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  Text names;
  bool done = ::send(fd, &request, sizeof(request), 0) != sizeof(request);
  while (!done) {
    alignas(nlmsghdr) static char answer[1U << 15U];
    const ssize_t got = ::recv(fd, answer, sizeof(answer), 0);
    if (got <= 0) break;
    auto left = static_cast<unsigned>(got);
    for (auto* row = reinterpret_cast<nlmsghdr*>(answer); NLMSG_OK(row, left);
         row = NLMSG_NEXT(row, left)) {
      done = done || row->nlmsg_type == NLMSG_DONE || row->nlmsg_type == NLMSG_ERROR;
      if (row->nlmsg_type != RTM_NEWLINK) continue;
      auto room = static_cast<int>(IFLA_PAYLOAD(row));
      for (rtattr* part = IFLA_RTA(NLMSG_DATA(row)); RTA_OK(part, room);
           part = RTA_NEXT(part, room))
        if (part->rta_type == IFLA_IFNAME)
          names.add("%s%s", names.length > 0 ? " " : "", static_cast<char*>(RTA_DATA(part)));
    }
  }
  ::close(fd);
  say(channel, "", how, names.bytes, names.length);
}

}  // namespace gyges::probe
