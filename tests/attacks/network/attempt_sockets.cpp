#include "attempt_sockets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>

#include <cerrno>
#include <cstring>

namespace attempts {

std::string word(int code) {
  const char* name = ::strerrorname_np(code);
  return name != nullptr ? name : std::to_string(code);
}

Address address(const char* text, int port) {
  Address made;
  if (std::strchr(text, ':') == nullptr) {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&made.storage);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(static_cast<std::uint16_t>(port));
    ::inet_pton(AF_INET, text, &v4->sin_addr);
    made.length = sizeof(*v4);
  } else {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&made.storage);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(static_cast<std::uint16_t>(port));
    ::inet_pton(AF_INET6, text, &v6->sin6_addr);
    made.length = sizeof(*v6);
  }
  return made;
}

std::string within(int fd, short events, int milliseconds) {
  pollfd one{fd, events, 0};
  if (::poll(&one, 1, milliseconds) == 0) return "timeout";
  int code = 0;
  socklen_t size = sizeof(code);
  ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size);
  return code == 0 ? "worked" : word(code);
}

std::string open_tcp(const char* text, int port, int& fd) {
  Address to = address(text, port);
  fd = ::socket(to.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return word(errno);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&to.storage), to.length) == 0) return "worked";
  return errno == EINPROGRESS ? within(fd, POLLOUT, 700) : word(errno);
}

}  // namespace attempts
