#include "sandbox/isolation/control.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace gyges::isolation {

Status send_request(int socket, const init::Request& request, std::span<const int> fds) {
  init::Request copy = request;
  iovec bytes{&copy, sizeof(copy)};
  alignas(cmsghdr) char control[CMSG_SPACE(4 * sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  while (::sendmsg(socket, &message, MSG_NOSIGNAL) < 0)
    if (errno != EINTR) return fail_errno("send to", "pid 1 of the sandbox");
  return ok();
}

Result<std::optional<Message>> receive_reply(int socket,
                                             std::chrono::steady_clock::time_point deadline) {
  bool reset = false;
  for (;;) {
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
                    deadline - std::chrono::steady_clock::now())
                    .count();
    // A millisecond is added because the conversion rounds down; a day bounds the value.
    int timeout = static_cast<int>(std::clamp<long long>(left + (left > 0 ? 1 : 0), 0, 86400000));
    pollfd wait{socket, POLLIN, 0};
    int ready = ::poll(&wait, 1, timeout);
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return fail_errno("wait for", "pid 1 of the sandbox");
    if (ready == 0) {
      if (std::chrono::steady_clock::now() >= deadline) return std::optional<Message>();
      continue;
    }
    Message received;
    iovec bytes{&received.reply, sizeof(received.reply)};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    ssize_t n = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    if (n < 0 && errno == EINTR) continue;
    // Reported once, before the last words of a pid 1 that had not read everything (unix(7)).
    if (n < 0 && errno == ECONNRESET && !reset) {
      reset = true;
      continue;
    }
    if (n < 0 && errno != ECONNRESET) return fail_errno("read from", "pid 1 of the sandbox");
    if (n == 0 || (n < 0 && errno == ECONNRESET))
      return fail_errno("read from", "pid 1 of the sandbox", ECONNRESET,
                        "the sandbox was killed; see the limits hit");
    if (n != static_cast<ssize_t>(sizeof(received.reply)))
      return fail("read from", "pid 1 of the sandbox", "a message of the wrong size");
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    if (header != nullptr && header->cmsg_type == SCM_RIGHTS) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header), sizeof(fd));
      received.fd.reset(fd);
    }
    return std::optional<Message>(std::move(received));
  }
}

}  // namespace gyges::isolation
