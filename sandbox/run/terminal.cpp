#include "sandbox/run/terminal.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>

namespace gyges::run {

void make_alike(const isolation::Terminal& terminal, int like) {
  copy_window_size(like, terminal.master.get());
  termios modes{};
  if (::tcgetattr(like, &modes) == 0) ::tcsetattr(terminal.slave.get(), TCSANOW, &modes);
}

void copy_window_size(int from, int to) {
  winsize size{};
  if (::ioctl(from, TIOCGWINSZ, &size) == 0) ::ioctl(to, TIOCSWINSZ, &size);
}

RawTerminal::RawTerminal(int fd) : fd_(fd) {
  if (::tcgetattr(fd_, &before_) != 0) return;
  termios raw = before_;
  ::cfmakeraw(&raw);
  changed_ = ::tcsetattr(fd_, TCSADRAIN, &raw) == 0;
}

RawTerminal::~RawTerminal() {
  if (!changed_) return;
  // A terminal that has put us into the background would stop us for this.
  sigset_t stop;
  sigset_t before;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTTOU);
  ::pthread_sigmask(SIG_BLOCK, &stop, &before);
  ::tcsetattr(fd_, TCSADRAIN, &before_);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace gyges::run
