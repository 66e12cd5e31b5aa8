#include "sandbox/init/keeper.h"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "sandbox/init/protocol.h"

namespace gyges::init {
namespace {

// A supervisor has few sandboxes at a time; the names of finished ones are overwritten in turn.
constexpr int longest_path = 512;
char paths[most_kept][longest_path];

void remove_all() {
  // The sandboxes' processes are being killed while we try.
  for (int attempt = 0; attempt < 2000; ++attempt) {
    bool busy = false;
    for (auto& path : paths) {
      if (path[0] == '\0') continue;
      if (::rmdir(path) == 0 || errno != EBUSY)
        path[0] = '\0';
      else
        busy = true;
    }
    if (!busy) return;
    timespec pause{0, 5000000};
    ::nanosleep(&pause, nullptr);
  }
}

}  // namespace

int keep() {
  ::setsid();
  // It wakes when the supervisor closes its end, on the way out mostly: it shall not take the
  // processor from it then. Where that is refused it does.
  sched_param parameter{};
  ::syscall(SYS_sched_setscheduler, 0, SCHED_BATCH, &parameter);
  ::prctl(PR_SET_NAME, "gyges-keeper", 0, 0, 0);
  std::uint32_t next = 0;
  int length = 0;
  char chunk[1024];
  for (;;) {
    ssize_t n = ::read(control_fd, chunk, sizeof(chunk));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    for (ssize_t i = 0; i < n; ++i) {
      if (chunk[i] == '\n') {
        paths[next][length] = '\0';
        next = (next + 1) % most_kept;
        length = 0;
      } else if (length < longest_path - 1) {
        paths[next][length++] = chunk[i];
      }
    }
  }
  remove_all();
  return 0;
}

}  // namespace gyges::init
