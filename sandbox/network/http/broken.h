// How the gateway ends where something does not hold that it relies on: at once, with a status that
// names it to the supervisor, from any thread and under its filter of system calls.
#pragma once

#include <unistd.h>

#include <string_view>

namespace gyges::network {

enum class Broken : int {
  pages_not_doubled = 70,  // beyond the statuses that main() returns
  pages_not_read,
  pages_not_hashed,
};

[[noreturn]] inline void end_broken(Broken what) {
  ::_exit(static_cast<int>(what));
}

// Empty: no such status.
constexpr std::string_view broken_by(int status) {
  switch (static_cast<Broken>(status)) {
    case Broken::pages_not_doubled:
      return "the pipe of what is to be hashed had no room for what was taken";
    case Broken::pages_not_read:
      return "the pipe of what is relayed held less than was taken";
    case Broken::pages_not_hashed:
      return "the pipe of what is to be hashed held less than was given";
  }
  return {};
}

}  // namespace gyges::network
