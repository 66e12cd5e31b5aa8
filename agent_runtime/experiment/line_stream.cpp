#include "agent_runtime/experiment/line_stream.h"

#include <unistd.h>

#include <cerrno>

namespace gyges::experiment {

Result<bool> LineStream::fill(int fd) {
  char bytes[16384];
  ssize_t got = 0;
  do {
    got = read(fd, bytes, sizeof bytes);
  } while (got < 0 && errno == EINTR);
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
  // A peer that was killed with unread bytes in its socket resets the connection.
  if (got == 0 || (got < 0 && errno == ECONNRESET)) {
    end_ = true;
    return false;
  }
  if (got < 0) return fail_errno("read", "the stream of messages");
  pending_.erase(0, start_);
  start_ = 0;
  pending_.append(bytes, static_cast<std::size_t>(got));
  if (pending_.size() > max_bytes_ && pending_.find('\n') == std::string::npos)
    return fail("read", "the stream of messages", "a line is longer than its bound");
  return true;
}

std::optional<std::string> LineStream::next() {
  std::size_t newline = pending_.find('\n', start_);
  if (newline == std::string::npos) return std::nullopt;
  std::string line = pending_.substr(start_, newline - start_);
  start_ = newline + 1;
  return line;
}

}  // namespace gyges::experiment
