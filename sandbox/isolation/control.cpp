#include "sandbox/isolation/control.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace gyges::isolation {

Status send_request(int socket, const init::Request& request, std::span<const int> fds,
                    std::string_view payload) {
  init::Request copy = request;
  std::array<iovec, 2> bytes{iovec{&copy, sizeof(copy)},
                             iovec{const_cast<char*>(payload.data()), payload.size()}};
  alignas(cmsghdr) char control[CMSG_SPACE(4 * sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = bytes.data();
  message.msg_iovlen = bytes.size();
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
    if (left > 0) {
      // A millisecond is added because the conversion rounds down; a day bounds the value.
      pollfd wait{socket, POLLIN, 0};
      int ready = ::poll(&wait, 1, static_cast<int>(std::min<long long>(left + 1, 86400000)));
      if (ready < 0 && errno != EINTR) return fail_errno("wait for", "pid 1 of the sandbox");
      if (ready <= 0) continue;
    }
    Message received;
    iovec bytes{&received.reply, sizeof(received.reply)};
    alignas(cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    ssize_t n = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      if (left <= 0) return std::optional<Message>();
      continue;
    }
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
      std::array<int, 2> fds{-1, -1};
      std::memcpy(fds.data(), CMSG_DATA(header),
                  std::min(header->cmsg_len - CMSG_LEN(0), sizeof(fds)));
      received.fd.reset(fds[0]);
      received.second.reset(fds[1]);
    }
    return std::optional<Message>(std::move(received));
  }
}

}  // namespace gyges::isolation
