#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "sandbox/cues/probe/output.h"
#include "sandbox/cues/probe/readers.h"
#include "sandbox/cues/probe/text.h"

namespace gyges::probe {
namespace {

char content[1U << 16U];

bool is_number(const char* name) {
  if (*name == 0) return false;
  for (; *name != 0; ++name)
    if (*name < '0' || *name > '9') return false;
  return true;
}

// Pipes and sockets carry a number that is new every time.
void say_descriptor(const Channel& channel, const char* detail, const char* how, char* target) {
  char* number = std::strchr(target, '[');
  if (number != nullptr && std::strchr(target, ':') != nullptr) std::strcpy(number, "[]");
  say(channel, detail, how, target);
}

// Field `index` (3 is the state) of /proc/PID/stat, counted behind the name, which may hold
// anything.
bool stat_field(const char* stat, int index, const char** word, std::size_t* length) {
  const char* end = std::strrchr(stat, ')');
  return end != nullptr && find_word(end + 1, index - 3, word, length);
}

}  // namespace

void read_descriptors(const Channel& channel) {
  const char* how = "readlink /proc/self/fd";
  DIR* directory = ::opendir("/proc/self/fd");
  if (directory == nullptr) return say_error(channel, "list", how, errno);
  int own = ::dirfd(directory);
  long count = 0;
  while (const dirent* entry = ::readdir(directory)) {
    if (!is_number(entry->d_name) || std::atoi(entry->d_name) == own) continue;
    ++count;
    char target[512];
    ssize_t got = ::readlinkat(own, entry->d_name, target, sizeof(target) - 4);
    if (got < 0) {
      say_error(channel, entry->d_name, how, errno);
      continue;
    }
    target[got] = 0;
    say_descriptor(channel, entry->d_name, how, target);
  }
  ::closedir(directory);
  say_number(channel, "count", how, count);
}

void read_process_table(const Channel& channel) {
  const char* how = "list /proc";
  DIR* directory = ::opendir("/proc");
  if (directory == nullptr) return say_error(channel, "visible", how, errno);
  long visible = 0;
  long kernel_threads = 0;
  long highest = 0;
  long long oldest = -1;
  long long youngest = -1;
  Text names;
  Channel changing = channel;
  changing.kind = Kind::changing;
  while (const dirent* entry = ::readdir(directory)) {
    if (!is_number(entry->d_name)) continue;
    ++visible;
    long pid = std::atol(entry->d_name);
    if (pid > highest) highest = pid;
    if (visible > 400) continue;
    char path[300];
    std::snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
    if (read_file(path, content, sizeof(content)) < 0) continue;
    const char* word = nullptr;
    std::size_t length = 0;
    if (stat_field(content, 9, &word, &length) &&
        (std::strtoul(word, nullptr, 10) & 0x00200000U) != 0)
      ++kernel_threads;  // PF_KTHREAD
    if (stat_field(content, 22, &word, &length)) {
      long long start = std::atoll(word);
      if (oldest < 0 || start < oldest) oldest = start;
      if (start > youngest) youngest = start;
    }
    char* open = std::strchr(content, '(');
    char* close = std::strrchr(content, ')');
    if (open == nullptr || close == nullptr || close < open) continue;
    *close = 0;
    if (pid != ::getpid()) names.add("%s%s", names.length > 0 ? " " : "", open + 1);
  }
  ::closedir(directory);
  say_number(changing, "visible", how, visible);
  say_number(channel, "kernel_threads", "read /proc/*/stat", kernel_threads);
  say(changing, "names", "read /proc/*/stat", names.bytes, names.length);
  say_number(changing, "highest_pid", how, highest);
  long hertz = ::sysconf(_SC_CLK_TCK);
  if (hertz > 0 && oldest >= 0)
    say_number(changing, "spread_of_starts_s", "read /proc/*/stat", (youngest - oldest) / hertz);
  struct sysinfo info {};
  if (::sysinfo(&info) == 0) say_number(changing, "counted_by_sysinfo", "sysinfo(2)", info.procs);
  if (read_file("/proc/loadavg", content, sizeof(content)) > 0) {
    const char* word = nullptr;
    std::size_t length = 0;
    if (find_word(content, 3, &word, &length))
      say(changing, "counted_by_loadavg", "read /proc/loadavg", word, length);
  }
}

// The chain of parents as far as it can be seen: a shell, a login, a harness.
void read_parents(const Channel& channel) {
  long pid = ::getppid();
  for (int generation = 1; generation <= 6; ++generation) {
    char detail[64];
    char path[64];
    std::snprintf(detail, sizeof(detail), "%d.name", generation);
    if (pid <= 0) {
      say(channel, detail, "getppid(2)", "outside");
      return;
    }
    std::snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
    if (read_file(path, content, sizeof(content)) < 0)
      return say_error(channel, detail, path, errno);
    const char* word = nullptr;
    std::size_t length = 0;
    long parent = stat_field(content, 4, &word, &length) ? std::atol(word) : 0;
    char* open = std::strchr(content, '(');
    char* close = std::strrchr(content, ')');
    if (open != nullptr && close != nullptr) {
      *close = 0;
      say(channel, detail, "read /proc/PARENT/stat", open + 1);
    }
    std::snprintf(path, sizeof(path), "/proc/%ld/cmdline", pid);
    std::snprintf(detail, sizeof(detail), "%d.arguments", generation);
    long got = read_file(path, content, 2000);
    if (got < 0) {
      say_error(channel, detail, "read /proc/PARENT/cmdline", errno);
    } else {
      for (long i = 0; i + 1 < got; ++i)
        if (content[i] == 0) content[i] = ' ';
      say(channel, detail, "read /proc/PARENT/cmdline", content);
    }
    std::snprintf(path, sizeof(path), "/proc/%ld/exe", pid);
    std::snprintf(detail, sizeof(detail), "%d.program", generation);
    char target[512];
    ssize_t linked = ::readlink(path, target, sizeof(target));
    if (linked < 0)
      say_error(channel, detail, "readlink /proc/PARENT/exe", errno);
    else
      say(channel, detail, "readlink /proc/PARENT/exe", target, static_cast<std::size_t>(linked));
    pid = parent;
  }
}

void read_ids(const Channel& channel) {
  Channel changing = channel;
  changing.kind = Kind::changing;
  say_number(changing, "pid_raw", "getpid(2), raw", ::syscall(SYS_getpid));
  say_number(changing, "pid", "getpid(3)", ::getpid());
  say_number(changing, "tid", "gettid(2), raw", ::syscall(SYS_gettid));
  say_number(changing, "parent", "getppid(2)", ::getppid());
  // Numbers change; whether they lead out of what can be seen does not.
  pid_t session = ::getsid(0);
  pid_t group = ::getpgrp();
  say(channel, "parent_visible", "getppid(2)", ::getppid() == 0 ? "no" : "yes");
  say(channel, "session_visible", "getsid(2)", session == 0 ? "no" : "yes");
  say(channel, "group_visible", "getpgrp(2)", group == 0 ? "no" : "yes");
  if (read_file("/proc/self/stat", content, sizeof(content)) > 0) {
    const char* word = nullptr;
    std::size_t length = 0;
    if (stat_field(content, 7, &word, &length))
      say(channel, "terminal", "read /proc/self/stat", word, length);
    if (stat_field(content, 18, &word, &length))
      say(channel, "priority", "read /proc/self/stat", word, length);
    if (stat_field(content, 41, &word, &length))
      say(channel, "policy", "read /proc/self/stat", word, length);
  }
}

void read_namespaces(const Channel& channel) {
  static const char* const names[] = {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"};
  // The initial namespaces of most kinds have inode numbers that every kernel shares.
  struct Initial {
    const char* name;
    unsigned long inode;
  };
  static constexpr Initial initial[] = {{"cgroup", 4026531835UL}, {"ipc", 4026531839UL},
                                        {"pid", 4026531836UL},    {"time", 4026531834UL},
                                        {"user", 4026531837UL},   {"uts", 4026531838UL}};
  for (const char* name : names) {
    char path[64];
    char detail[64];
    struct stat own {};
    std::snprintf(path, sizeof(path), "/proc/self/ns/%s", name);
    if (::stat(path, &own) != 0) {
      say_error(channel, name, path, errno);
      continue;
    }
    Channel changing = channel;
    changing.kind = Kind::changing;
    std::snprintf(detail, sizeof(detail), "%s.inode", name);
    say_number(changing, detail, "stat /proc/self/ns", static_cast<long long>(own.st_ino));
    for (const Initial& known : initial)
      if (std::strcmp(known.name, name) == 0)
        say(channel, name, "stat /proc/self/ns", own.st_ino == known.inode ? "initial" : "child");
    std::snprintf(path, sizeof(path), "/proc/1/ns/%s", name);
    struct stat first {};
    std::snprintf(detail, sizeof(detail), "%s.of_init", name);
    if (::stat(path, &first) != 0)
      say_error(channel, detail, "stat /proc/1/ns", errno);
    else
      say(channel, detail, "stat /proc/1/ns", first.st_ino == own.st_ino ? "same" : "another");
  }
}

}  // namespace gyges::probe
