#include "tools/pipe_ends.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <ctime>

#include "tools/output.h"

namespace gyges::tools {

SigpipeBlock::SigpipeBlock() {
  sigemptyset(&set_);
  sigaddset(&set_, SIGPIPE);
  sigset_t pending;
  sigpending(&pending);
  was_pending_ = sigismember(&pending, SIGPIPE) == 1;
  pthread_sigmask(SIG_BLOCK, &set_, &before_);
}

SigpipeBlock::~SigpipeBlock() {
  timespec none{};
  if (!was_pending_)
    while (sigtimedwait(&set_, nullptr, &none) < 0 && errno == EINTR) {
    }
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

bool is_readable(int fd) {
  pollfd one{fd, POLLIN, 0};
  return fd >= 0 && ::poll(&one, 1, 0) > 0;
}

Status make_nonblocking(int fd) {
  int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
    return fail_errno("set pipe non-blocking", "");
  return ok();
}

Result<Pipe> pipe_to_read() {
  GYGES_TRY(Pipe made, make_pipe());
  GYGES_CHECK(make_nonblocking(made.read.get()));
  return made;
}

Result<Pipe> pipe_to_write() {
  GYGES_TRY(Pipe made, make_pipe());
  GYGES_CHECK(make_nonblocking(made.write.get()));
  return made;
}

bool read_some(UniqueFd& from, Output& output) {
  std::array<char, 65536> chunk;
  for (int round = 0; round < 16 && from; ++round) {
    ssize_t n = ::read(from.get(), chunk.data(), chunk.size());
    if (n > 0) {
      output.append({chunk.data(), static_cast<std::size_t>(n)});
    } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
      from.reset();
    } else if (errno == EAGAIN) {
      return true;
    }
  }
  return static_cast<bool>(from);
}

bool write_some(const UniqueFd& to, std::string_view& unwritten) {
  while (!unwritten.empty()) {
    ssize_t n = ::write(to.get(), unwritten.data(), unwritten.size());
    if (n > 0) {
      unwritten.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno == EAGAIN) {
      return true;
    } else if (errno != EINTR) {
      return false;
    }
  }
  return false;
}

}  // namespace gyges::tools
