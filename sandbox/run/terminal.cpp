#include "sandbox/run/terminal.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>

namespace gyges::run {

Result<PseudoTerminal> open_pseudo_terminal(int like) {
  PseudoTerminal terminal;
  terminal.master.reset(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
  if (!terminal.master)
    return fail_errno("open", "/dev/ptmx", errno, "mount devpts, or use --no-tty");
  int unlock = 0;
  if (::ioctl(terminal.master.get(), TIOCSPTLCK, &unlock) != 0)
    return fail_errno("unlock", "pseudo-terminal");
  // By descriptor: the name below /dev/pts may be another instance's.
  terminal.slave.reset(::ioctl(terminal.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!terminal.slave) return fail_errno("open", "pseudo-terminal");
  copy_window_size(like, terminal.master.get());
  termios modes{};
  if (::tcgetattr(like, &modes) == 0) ::tcsetattr(terminal.slave.get(), TCSANOW, &modes);
  return terminal;
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
