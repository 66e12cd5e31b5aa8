#include "agent_runtime/episode/interruption.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include <array>
#include <cerrno>
#include <csignal>

namespace gyges::episode {

Interruption::Interruption(int fd) : fd_(fd) {
  if (fd_ < 0) return;
  over_.reset(::eventfd(0, EFD_CLOEXEC));
  // Signals are for the caller's threads.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  watcher_ = std::thread([this] {
    std::array<pollfd, 2> fds{pollfd{fd_, POLLIN, 0}, pollfd{over_.get(), POLLIN, 0}};
    while (::poll(fds.data(), fds.size(), -1) < 0 && errno == EINTR) continue;
    if (fds[0].revents != 0) cancellation_.cancel();
  });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Interruption::~Interruption() {
  if (!watcher_.joinable()) return;
  (void)::eventfd_write(over_.get(), 1);
  watcher_.join();
}

bool Interruption::come() const {
  pollfd one{fd_, POLLIN, 0};
  return fd_ >= 0 && ::poll(&one, 1, 0) > 0;
}

}  // namespace gyges::episode
