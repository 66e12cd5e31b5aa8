#include "base/fd_message.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace gyges {
namespace {

struct Control {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(most_fds_in_message * sizeof(int))> bytes{};
};

}  // namespace

int send_with_fds(int to, std::string_view bytes, std::span<const int> fds) {
  if (fds.size() > most_fds_in_message) {
    errno = EINVAL;
    return -1;
  }
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  Control control;
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.bytes.data();
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
  }
  ssize_t n = 0;
  do n = ::sendmsg(to, &message, MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  if (n < 0) return -1;
  if (static_cast<std::size_t>(n) == bytes.size()) return 0;
  errno = EMSGSIZE;
  return -1;
}

FdMessage receive_with_fds(int from, std::span<char> into) {
  iovec part{into.data(), into.size()};
  Control control;
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes.data();
  message.msg_controllen = control.bytes.size();
  FdMessage taken;
  do taken.size = ::recvmsg(from, &message, MSG_CMSG_CLOEXEC);
  while (taken.size < 0 && errno == EINTR);
  if (taken.size < 0) return taken;
  const cmsghdr* rights = CMSG_FIRSTHDR(&message);
  if (rights == nullptr || rights->cmsg_level != SOL_SOCKET || rights->cmsg_type != SCM_RIGHTS)
    return taken;
  const std::size_t count = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int);
  for (std::size_t i = 0; i < count; ++i) {
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(rights) + i * sizeof(int), sizeof(int));
    taken.fds.emplace_back(fd);
  }
  return taken;
}

}  // namespace gyges
