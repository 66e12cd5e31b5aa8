#include "sandbox/init/keeper.h"

#include <dirent.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
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
std::uint32_t used = 0;  // of them, from the first: the others' memory is never touched
// The groups that hold them: one for each hierarchy.
constexpr int most_parents = 8;
char parents[most_parents][longest_path];

// A group without processes is in use only until pid 1 of its sandbox has entered it, which fails
// after two minutes.
constexpr long unused_after_s = 300;

void note_parent(const char* path) {
  char parent[longest_path];
  std::strcpy(parent, path);
  std::size_t end = std::strlen(parent);
  while (end > 0 && parent[end - 1] != '/') --end;
  if (end < 2) return;
  parent[end - 1] = '\0';
  for (auto& known : parents) {
    if (known[0] == '\0') std::strcpy(known, parent);
    if (std::strcmp(known, parent) == 0) return;
  }
}

// The seconds since 1970 at which a group was made: the last part of its name (fresh_name() in
// sandbox/isolation/cgroup.cpp). -1: not one of ours.
long made_at(const char* name) {
  if (std::strncmp(name, "gyges-", 6) != 0) return -1;
  const char* last = nullptr;
  int parts = 0;
  for (const char* at = name; *at != '\0'; ++at)
    if (*at == '-') {
      last = at + 1;
      ++parts;
    }
  if (parts != 4 || *last == '\0') return -1;
  long seconds = 0;
  for (; *last != '\0'; ++last) {
    if (*last < '0' || *last > '9' || seconds > 99999999999) return -1;
    seconds = seconds * 10 + (*last - '0');
  }
  return seconds;
}

// Where a supervisor and its keeper were killed at once, nobody was left to remove their groups.
// Whoever ends later does it. rmdir(2) refuses one that has processes.
void remove_orphans() {
  timespec now{};
  if (::clock_gettime(CLOCK_REALTIME, &now) != 0) return;
  for (const auto& parent : parents) {
    if (parent[0] == '\0') return;
    DIR* directory = ::opendir(parent);
    if (directory == nullptr) continue;
    while (const dirent* entry = ::readdir(directory)) {
      const long made = made_at(entry->d_name);
      if (made < 0 || made > now.tv_sec - unused_after_s) continue;
      char path[longest_path + sizeof(entry->d_name) + 1];
      std::strcpy(path, parent);
      std::strcat(path, "/");
      std::strcat(path, entry->d_name);
      ::rmdir(path);
    }
    ::closedir(directory);
  }
}

void remove_all() {
  // The sandboxes' processes are being killed while we try.
  for (int attempt = 0; attempt < 2000; ++attempt) {
    bool busy = false;
    for (std::uint32_t i = 0; i < used; ++i) {
      auto& path = paths[i];
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

// For deaf_keeper() of sandbox/isolation/launch.h.
void say_why(int code) {
  iovec part{&code, sizeof(code)};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  ::sendmsg(control_fd, &message, MSG_NOSIGNAL);
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
    if (n < 0) say_why(errno);
    if (n <= 0) break;
    for (ssize_t i = 0; i < n; ++i) {
      if (chunk[i] == '\n') {
        paths[next][length] = '\0';
        if (next >= used) used = next + 1;
        note_parent(paths[next]);
        next = (next + 1) % most_kept;
        length = 0;
      } else if (length < longest_path - 1) {
        paths[next][length++] = chunk[i];
      }
    }
  }
  // Before the groups go: a supervisor that misses one finds out by whom.
  ::close(control_fd);
  remove_all();
  remove_orphans();
  return 0;
}

}  // namespace gyges::init
