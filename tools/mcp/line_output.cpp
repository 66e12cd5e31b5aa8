#include "tools/mcp/line_output.h"

#include <limits.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>

#include "base/quiet_thread.h"

namespace gyges::mcp {
namespace {

void signal_fd(const UniqueFd& fd) {
  std::uint64_t one = 1;
  [[maybe_unused]] ssize_t written = ::write(fd.get(), &one, sizeof one);
}

}  // namespace

LineOutput::LineOutput(int fd, std::size_t max_unsent)
    : fd_(fd),
      max_unsent_(max_unsent),
      broken_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      close_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  // Without SIGPIPE, too: a write to a reader that is gone shall fail.
  thread_ = quiet_thread([this] { run(); });
}

LineOutput::~LineOutput() {
  {
    std::scoped_lock lock(mutex_);
    closing_ = true;
  }
  signal_fd(close_fd_);
  changed_.notify_all();
  thread_.join();
}

void LineOutput::send(std::string line) {
  line += '\n';
  std::scoped_lock lock(mutex_);
  if (broken_ || closing_) return;
  if (unsent_ + line.size() > max_unsent_) {
    broken_ = true;
    signal_fd(broken_fd_);
    return;
  }
  unsent_ += line.size();
  lines_.push_back(std::move(line));
  changed_.notify_all();
}

void LineOutput::flush(int patience_ms) {
  std::unique_lock lock(mutex_);
  std::size_t last = unsent_;
  while (unsent_ > 0 && !broken_) {
    changed_.wait_for(lock, std::chrono::milliseconds(patience_ms),
                      [&] { return unsent_ < last || broken_; });
    if (unsent_ == last) return;
    last = unsent_;
  }
}

bool LineOutput::broken() const {
  std::scoped_lock lock(mutex_);
  return broken_;
}

void LineOutput::set_broken() {
  std::scoped_lock lock(mutex_);
  broken_ = true;
  signal_fd(broken_fd_);
  changed_.notify_all();
}

// A pipe that polls writable takes PIPE_BUF bytes without blocking (pipe(7)); so does a socket or a
// file, near enough.
bool LineOutput::write_out(const std::string& bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    std::array<pollfd, 2> fds{pollfd{fd_, POLLOUT, 0}, pollfd{close_fd_.get(), POLLIN, 0}};
    if (::poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) return false;
    if (fds[1].revents != 0) return false;
    if ((fds[0].revents & (POLLERR | POLLNVAL)) != 0) return false;
    if (fds[0].revents == 0) continue;
    ssize_t n =
        ::write(fd_, bytes.data() + done, std::min<std::size_t>(bytes.size() - done, PIPE_BUF));
    if (n < 0 && errno != EINTR && errno != EAGAIN) return false;
    if (n > 0) {
      done += static_cast<std::size_t>(n);
      std::scoped_lock lock(mutex_);
      unsent_ -= static_cast<std::size_t>(n);
      changed_.notify_all();
    }
  }
  return true;
}

void LineOutput::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return closing_ || !lines_.empty(); });
    if (closing_) return;
    std::string bytes;
    while (!lines_.empty() && bytes.size() < PIPE_BUF) {
      bytes += lines_.front();
      lines_.pop_front();
    }
    lock.unlock();
    bool written = write_out(bytes);
    if (!written) set_broken();
    lock.lock();
    if (!written) return;
  }
}

}  // namespace gyges::mcp
