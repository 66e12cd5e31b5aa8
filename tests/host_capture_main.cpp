// Runs a command that may not look at the host's packets itself:
//   host_capture COMMAND ARGUMENT...
// The command finds the socket that looks (tests/host_capture.h) by a variable.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/host_capture.h"

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const int capture = gyges::open_host_capture();
  if (capture < 0 || ::fcntl(capture, F_SETFD, 0) != 0 ||
      ::setenv(gyges::host_capture_variable, std::to_string(capture).c_str(), 1) != 0) {
    std::perror("host_capture: watch packets");
    return 1;
  }
  ::execvp(argv[1], argv + 1);
  std::perror(argv[1]);
  return 127;
}
