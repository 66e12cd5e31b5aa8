#include "sandbox/init/channel.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace gyges::init {

void tell(const Reply& reply, int fd, int second) {
  Reply copy = reply;
  iovec bytes{&copy, sizeof(copy)};
  const int fds[2] = {fd, second};
  const std::size_t size = (second >= 0 ? 2 : 1) * sizeof(int);
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(fds))] = {};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(size);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(size);
    std::memcpy(CMSG_DATA(header), fds, size);
  }
  while (::sendmsg(control_fd, &message, MSG_NOSIGNAL) < 0)
    if (errno != EINTR) ::_exit(1);
}

void must(bool done, OwnStep step) {
  if (done) return;
  Reply reply;
  reply.tell = Tell::failed;
  reply.id = static_cast<std::uint32_t>(step);
  reply.error = errno;
  tell(reply);
  ::_exit(1);
}

Received receive() {
  Received received;
  static char payload[most_in_message];
  iovec bytes[2] = {{&received.request, sizeof(received.request)}, {payload, sizeof(payload)}};
  alignas(cmsghdr) char control[CMSG_SPACE(4 * sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = bytes;
  message.msg_iovlen = 2;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ssize_t n;
  do {
    n = ::recvmsg(control_fd, &message, MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  must(n >= 0 || errno == ECONNRESET, OwnStep::requests);
  if (n < static_cast<ssize_t>(sizeof(Request))) ::_exit(1);
  received.payload = payload;
  received.size = static_cast<std::size_t>(n) - sizeof(Request);
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header != nullptr && header->cmsg_type == SCM_RIGHTS) {
    std::size_t size = header->cmsg_len - CMSG_LEN(0);
    if (size > sizeof(received.fds)) size = sizeof(received.fds);
    std::memcpy(received.fds, CMSG_DATA(header), size);
  }
  return received;
}

int offer(int fd, Hand what) {
  if (fd < 0) return -1;
  Reply reply;
  reply.tell = Tell::handed;
  reply.id = static_cast<std::uint32_t>(what);
  tell(reply, fd);
  ::close(fd);
  return 0;
}

}  // namespace gyges::init
