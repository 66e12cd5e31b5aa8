// A pseudo-terminal for an interactive command: the caller's own terminal never goes inside, so
// that nothing can be typed into it (TIOCSTI, CVE-2017-5226), whatever the command does to its own.
#pragma once

#include <termios.h>

#include "sandbox/isolation/sandbox.h"

namespace gyges::run {

// Size and modes of one terminal for another; nothing where `like` is none.
void make_alike(const isolation::Terminal& terminal, int like);

// Gives the size of one terminal to another; nothing where `from` is none.
void copy_window_size(int from, int to);

// Puts a terminal into raw mode, so that keys that mean something (^C, ^Z) reach the command's
// terminal and mean it there; as it was before on destruction. Nothing where the descriptor is no
// terminal. A SIGKILL of this process leaves the terminal raw: `stty sane` helps.
class RawTerminal {
 public:
  explicit RawTerminal(int fd);
  ~RawTerminal();
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

 private:
  int fd_;
  bool changed_ = false;
  termios before_{};
};

}  // namespace gyges::run
