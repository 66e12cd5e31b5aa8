// Group B: pid 1, siblings, inherited things.
#include <dirent.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <sys/inotify.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>

#include "attack.h"

namespace gyges::attack {
namespace {

template <class... Arguments>
std::string call(long number, Arguments... arguments) {
  return outcome(::syscall(number, arguments...));
}

std::string open_only(const std::string& path, int flags) {
  int fd = ::open(path.c_str(), flags | O_CLOEXEC | O_NONBLOCK);
  std::string result = outcome(fd);
  if (fd >= 0) ::close(fd);
  return result;
}

char state_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(file, text);
  auto end = text.rfind(')');
  return end == std::string::npos || end + 2 >= text.size() ? '?' : text[end + 2];
}

// pid 1 of any namespace ignores what comes from inside; what counts is that it goes on.
std::string signal_init() {
  for (int number : {SIGTERM, SIGSTOP, SIGTSTP, SIGKILL, SIGSEGV, SIGXCPU, SIGRTMIN})
    ::kill(1, number);
  ::usleep(20000);
  char state = state_of(1);
  return state == 'T' || state == 'Z' || state == '?' ? "worked" : "alive";
}

// Whatever is neither pid 1 nor of this attack.
std::string signal_others() {
  DIR* directory = ::opendir("/proc");
  if (directory == nullptr) return name_of(errno);
  std::string result = "nobody";
  while (const dirent* entry = ::readdir(directory)) {
    pid_t pid = std::atoi(entry->d_name);
    if (pid <= 1 || pid == ::getpid() || pid == ::getppid()) continue;
    if (::kill(pid, 0) == 0) result = "worked";
  }
  ::closedir(directory);
  return result;
}

// Processes of the host have no number here.
std::string signal_parent_of_all() {
  return ::getppid() > 1 ? outcome(::kill(::getppid() + 100000, 0)) : "worked";
}

std::string attach_to_init() {
  long result = ::ptrace(PTRACE_SEIZE, 1, nullptr, nullptr);
  return outcome(result);
}

std::string read_init_memory() {
  char byte = 0;
  iovec here{&byte, 1};
  iovec there{reinterpret_cast<void*>(0x400000), 1};
  return outcome(::process_vm_readv(1, &here, 1, &there, 1, 0));
}

std::string take_descriptor() {
  int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, 1, 0));
  if (pidfd < 0) return name_of(errno);
  return call(SYS_pidfd_getfd, pidfd, 0, 0);
}

std::string limit_init() {
  // The present values again: nothing changes where it works.
  rlimit present{};
  if (::syscall(SYS_prlimit64, 1, RLIMIT_NOFILE, nullptr, &present) != 0) return name_of(errno);
  return call(SYS_prlimit64, 1, RLIMIT_NOFILE, &present, nullptr);
}

std::string slow_init_down() {
  return outcome(::setpriority(PRIO_PROCESS, 1, 1));
}

std::string pin_init() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof(set), &set) != 0) return name_of(errno);
  return outcome(::sched_setaffinity(1, sizeof(set), &set));
}

std::string idle_init() {
  sched_param parameter{0};
  return outcome(::sched_setscheduler(1, SCHED_BATCH, &parameter));
}

std::string list(const char* path) {
  DIR* directory = ::opendir(path);
  if (directory == nullptr) return name_of(errno);
  errno = 0;
  bool any = ::readdir(directory) != nullptr;
  int code = errno;
  ::closedir(directory);
  return any ? "worked" : name_of(code);
}

template <int number>
std::string open_init_file() {
  static constexpr const char* names[] = {"environ", "mem",  "maps",    "exe", "syscall",
                                          "stack",   "auxv", "pagemap", "io"};
  return open_only(std::string("/proc/1/") + names[number], O_RDONLY);
}

std::string leaked_descriptors() {
  // 0 to 2, the attack's own pipe end, and the directory itself.
  int found = 0;
  for (int fd = 3; fd < 1024; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0) continue;
    char target[256] = {};
    if (::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), target, 255) < 0) continue;
    if (std::string(target).rfind("pipe:", 0) != 0) ++found;
  }
  struct stat info {};
  for (int fd = 0; fd < 3; ++fd)
    if (::fstat(fd, &info) == 0 && S_ISDIR(info.st_mode)) ++found;
  return found == 0 ? "none" : "worked";
}

// The marker file of the host, by every way in that a process inherits.
std::string find_marker() {
  std::string up;
  for (int i = 0; i < 40; ++i) up += "../";
  for (const std::string& root :
       {std::string("/"), up, std::string("/proc/1/root/"), std::string("/proc/1/cwd/" + up),
        std::string("/proc/self/root/" + up), std::string("/proc/self/cwd/" + up),
        std::string("/../../")})
    if (::access((root + marker).c_str(), F_OK) == 0) return "worked";
  for (int fd = 0; fd < 256; ++fd)
    if (::faccessat(fd, (up + marker).c_str(), F_OK, 0) == 0) return "worked";
  return "absent";
}

std::string working_directory() {
  char path[4096] = {};
  if (::syscall(SYS_getcwd, path, sizeof(path)) < 0) return name_of(errno);
  return path[0] == '/' ? "inside" : "worked";  // "(unreachable)/..." is outside
}

std::string join_own_namespace() {
  int fd = ::open("/proc/self/ns/uts", O_RDONLY);
  if (fd < 0) return name_of(errno);
  return outcome(::setns(fd, 0));
}
std::string join_by_pidfd() {
  int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0));
  return outcome(::setns(pidfd, CLONE_NEWUTS));
}

std::string zombies() {
  // A grandchild whose parent is gone is pid 1's to reap.
  int channel[2];
  if (::pipe(channel) != 0) return name_of(errno);
  pid_t child = ::fork();
  if (child == 0) {
    pid_t grandchild = ::fork();
    if (grandchild > 0) {
      ssize_t ignored = ::write(channel[1], &grandchild, sizeof(grandchild));
      (void)ignored;
    }
    ::_exit(0);
  }
  pid_t orphan = 0;
  if (::read(channel[0], &orphan, sizeof(orphan)) != static_cast<ssize_t>(sizeof(orphan)))
    return "no orphan";
  ::waitpid(child, nullptr, 0);
  for (int i = 0; i < 100; ++i) {
    if (::kill(orphan, 0) != 0) return "reaped";
    ::usleep(10000);
  }
  return "worked";
}

}  // namespace

std::vector<Row> process_attempts() {
  return {
      {"B1", "signal_init", signal_init},
      {"B1", "signal_others", signal_others},
      {"B1", "signal_parent_of_all", signal_parent_of_all},
      {"B1", "prlimit_init", limit_init},
      {"B1", "setpriority_init", slow_init_down},
      {"B1", "affinity_init", pin_init},
      {"B1", "scheduler_init", idle_init},
      {"B2", "ptrace_init", attach_to_init},
      {"B2", "process_vm_readv_init", read_init_memory},
      {"B2", "pidfd_getfd_init", take_descriptor},
      {"B2", "kcmp_init", [] { return call(SYS_kcmp, 1, ::getpid(), KCMP_FILES, 0, 0); }},
      {"B2", "move_pages_init", [] { return call(SYS_migrate_pages, 1, 0UL, 0, 0); }},
      {"B3", "init_root", [] { return list("/proc/1/root"); }},
      {"B3", "init_cwd", [] { return list("/proc/1/cwd"); }},
      {"B3", "init_fd", [] { return list("/proc/1/fd"); }},
      {"B3", "init_map_files", [] { return list("/proc/1/map_files"); }},
      {"B3", "init_environ", open_init_file<0>},
      {"B3", "init_mem", open_init_file<1>},
      {"B3", "init_maps", open_init_file<2>},
      {"B3", "init_exe", open_init_file<3>},
      {"B3", "init_auxv", open_init_file<6>},
      {"B3", "init_pagemap", open_init_file<7>},
      {"B4", "overwrite_init_exe", [] { return open_only("/proc/1/exe", O_WRONLY); }},
      {"B4", "overwrite_init_memory", [] { return open_only("/proc/1/mem", O_RDWR); }},
      {"B5", "leaked_descriptors", leaked_descriptors},
      {"B6", "host_file_by_any_path", find_marker},
      {"B6", "working_directory", working_directory},
      {"B7", "setns_own", join_own_namespace},
      {"B7", "setns_pidfd", join_by_pidfd},
      {"B7", "init_namespace_file", [] { return open_only("/proc/1/ns/mnt", O_RDONLY); }},
      {"B8", "environment_secret",
       [] {
         return std::string(std::getenv("GYGES_ATTACK_SECRET") != nullptr ? "worked" : "none");
       }},
      {"B13", "orphans_stay", zombies},
      {"B14", "fanotify", [] { return call(SYS_fanotify_init, 0x200, 0); }},
      {"B14", "inotify_init_fd",
       [] { return outcome(::inotify_add_watch(::inotify_init(), "/proc/1/fd", IN_OPEN)); }},
  };
}

}  // namespace gyges::attack
