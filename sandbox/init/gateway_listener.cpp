#include "sandbox/init/gateway_listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace gyges::init {
namespace {

// Bytes sent as urgent are read, recorded and passed on as all others are, which connections take
// over from here: set once they are accepted, the kernel would already have left out those that
// were followed by others. So is the congestion control: the host's may pace what it sends (bbr),
// for which timers take up to an eighth of a relayed byte's time, and this link leads from one
// namespace to the other.
bool set_options(int fd, const sock_fprog* filter) {
  constexpr char unpaced[] = "reno";  // in every kernel
  const int on = 1;
  return (filter == nullptr ||
          ::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, filter, sizeof(*filter)) == 0) &&
         ::setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on)) == 0 &&
         ::setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, unpaced, sizeof(unpaced) - 1) == 0;
}

bool bind_to_all(int fd, int family, std::uint16_t port) {
  const int on = 1;
  if (family == AF_INET) {
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_port = htons(port);
    return ::setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof(on)) == 0 &&
           ::bind(fd, reinterpret_cast<sockaddr*>(&any), sizeof(any)) == 0;
  }
  sockaddr_in6 any{};
  any.sin6_family = AF_INET6;
  any.sin6_port = htons(port);
  return ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0 &&
         ::setsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, &on, sizeof(on)) == 0 &&
         ::bind(fd, reinterpret_cast<sockaddr*>(&any), sizeof(any)) == 0;
}

}  // namespace

int make_gateway_listener(int family, std::uint16_t port, const sock_fprog* filter) {
  const int fd = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  if (set_options(fd, filter) && bind_to_all(fd, family, port) && ::listen(fd, 4096) == 0)
    return fd;
  const int code = errno;
  ::close(fd);
  errno = code;
  return -1;
}

}  // namespace gyges::init
