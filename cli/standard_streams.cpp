#include "cli/standard_streams.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "cli/command.h"

namespace gyges::cli {

void occupy_standard_descriptors() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    // The wrong direction on purpose: a write must fail as it would on the closed descriptor. The
    // lowest free number is the one that is missing.
    if (::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
      ::_exit(exit_own_error);  // nowhere to print to, and not safe to go on
  }
}

int finish_standard_output(int exit_status) {
  if (exit_status == exit_own_error) return exit_status;  // a message is out already
  errno = 0;
  std::cout.flush();
  bool lost = std::fflush(stdout) != 0;
  int code = errno;
  lost = lost || std::ferror(stdout) != 0 || !std::cout;
  if (!lost || code == EPIPE) return exit_status;
  // The error may be from long before the last flush; then its number is gone.
  return report(code != 0 ? fail_errno("write", "standard output", code,
                                       "see that its disk has room and its reader lives")
                                .value()
                          : Error{"write",
                                  "standard output",
                                  "not all of it could be written",
                                  "see that its disk has room and its reader lives",
                                  0,
                                  {}});
}

}  // namespace gyges::cli
