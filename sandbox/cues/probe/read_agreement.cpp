// What two files of the kernel tell of one thing: read here at the same moment, since both move.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <utmp.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "sandbox/cues/probe/output.h"
#include "sandbox/cues/probe/readers.h"
#include "sandbox/cues/probe/text.h"

namespace gyges::probe {
namespace {

char one[1U << 17U];
char other[1U << 17U];

// Number `index` (from 0) in a row of numbers; -1 where the row ends before.
long long number_at(const char* row, long index) {
  for (long i = 0;; ++i) {
    char* end = nullptr;
    const unsigned long long value = std::strtoull(row, &end, 10);
    if (end == row || *row == '\n') return -1;
    if (i == index) return static_cast<long long>(value);
    row = *end == ' ' ? end + 1 : end;
  }
}

const char* next_line(const char* at) {
  const char* end = std::strchr(at, '\n');
  return end == nullptr ? at + std::strlen(at) : end + 1;
}

}  // namespace

// /proc/stat has the sum of each line of /proc/interrupts at its number.
void read_interrupt_sums(const Channel& channel) {
  if (read_file("/proc/interrupts", one, sizeof(one)) <= 0 ||
      read_file("/proc/stat", other, sizeof(other)) <= 0)
    return say_error(channel, "", "read /proc/interrupts and /proc/stat", errno);
  const char* sums = std::strstr(other, "\nintr ");
  if (sums == nullptr) return say_error(channel, "", "read /proc/stat", ENODATA);
  sums += std::strlen("\nintr ");
  long lines = 0;
  long unlike = 0;
  for (const char* at = next_line(one); *at != 0; at = next_line(at)) {
    char* rest = nullptr;
    const long number = std::strtol(at, &rest, 10);
    if (rest == at || *rest != ':') continue;
    long long sum = 0;
    for (char* count = rest + 1;; count = rest) {
      const unsigned long long value = std::strtoull(count, &rest, 10);
      if (rest == count) break;  // the name of the controller
      sum += static_cast<long long>(value);
    }
    const long long told = number_at(sums, number + 1);  // the total comes first
    ++lines;
    if (told < 0 || told < sum - sum / 8 - 2000 || told > sum + sum / 8 + 2000) ++unlike;
  }
  if (lines == 0) return say_error(channel, "", "read /proc/interrupts", ENODATA);
  say(channel, "", "read /proc/interrupts and /proc/stat", unlike == 0 ? "yes" : "no");
}

// Rows of status that kernels later than the release of uname(2) brought.
void read_status_rows(const Channel& channel) {
  const char* how = "read /proc/self/status and uname";
  struct Row {
    const char* name;
    long since;  // major * 1000 + minor
  };
  static constexpr Row rows[] = {
      {"\nuntag_mask:", 6004}, {"\nx86_Thread_features:", 6006}, {"\nKthread:", 6011}};
  struct utsname name {};
  if (::uname(&name) != 0 || read_file("/proc/self/status", one, sizeof(one)) <= 0)
    return say_error(channel, "", how, errno);
  char* rest = nullptr;
  const long major = std::strtol(name.release, &rest, 10);
  const long release = major * 1000 + (*rest == '.' ? std::strtol(rest + 1, nullptr, 10) : 0);
  bool fits = true;
  for (const Row& row : rows)
    fits = fits && (release >= row.since || std::strstr(one, row.name) == nullptr);
  say(channel, "", how, fits ? "yes" : "no");
}

// What the zones of memory hold, and whether it is no more than MemTotal says. Less it may be:
// where memory was added to a running machine zones were seen to hold less.
void read_zone_total(const Channel& channel) {
  if (read_file("/proc/zoneinfo", one, sizeof(one)) <= 0)
    return say_error(channel, "", "read /proc/zoneinfo", errno);
  long long pages = 0;
  for (const char* at = one; (at = std::strstr(at, " managed ")) != nullptr; ++at)
    pages += std::atoll(at + std::strlen(" managed "));
  const long long kilobytes = pages * (::sysconf(_SC_PAGESIZE) / 1024);
  say_number(channel, "total", "read /proc/zoneinfo", kilobytes);
  const char* value = nullptr;
  std::size_t length = 0;
  if (read_file("/proc/meminfo", other, sizeof(other)) <= 0 ||
      !find_line(other, "MemTotal", &value, &length))
    return say_error(channel, "fit", "read /proc/meminfo", errno);
  say(channel, "fit", "read /proc/zoneinfo and /proc/meminfo",
      kilobytes <= std::atoll(value) + 64 ? "yes" : "no");
}

// "24/virtio0-config": handlers of interrupts, or file systems by their devices.
void read_directories_below(const Channel& channel) {
  DIR* top = ::opendir(channel.argument);
  if (top == nullptr) return say_error(channel, "", "list", errno);
  Text names;
  long count = 0;
  while (const dirent* entry = ::readdir(top)) {
    if (entry->d_name[0] == '.') continue;
    Text path;
    path.add("%s/%s", channel.argument, entry->d_name);
    DIR* below = ::opendir(path.bytes);
    if (below == nullptr) continue;
    while (const dirent* inner = ::readdir(below)) {
      struct stat info {};
      if (inner->d_name[0] == '.' ||
          ::fstatat(::dirfd(below), inner->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0 ||
          !S_ISDIR(info.st_mode))
        continue;
      names.add("%s%s/%s", count++ == 0 ? "" : " ", entry->d_name, inner->d_name);
    }
    ::closedir(below);
  }
  ::closedir(top);
  Text how;
  how.add("list directories below %s", channel.argument);
  say(channel, "names", how.bytes, names.bytes, names.length);
  say_number(channel, "count", how.bytes, count);
}

void read_inode(const Channel& channel) {
  struct stat info {};
  if (::stat(channel.argument, &info) != 0) return say_error(channel, "", "stat", errno);
  say_number(channel, "", "stat(2), inode", static_cast<long long>(info.st_ino));
}

// The last field of /proc/loadavg is the newest process: not older than this one.
void read_newest(const Channel& channel) {
  if (read_file("/proc/loadavg", one, sizeof(one)) <= 0)
    return say_error(channel, "", "read /proc/loadavg", errno);
  const char* last = std::strrchr(one, ' ');
  const long newest = last == nullptr ? 0 : std::atol(last + 1);
  say(channel, "", "read /proc/loadavg", newest >= ::getpid() ? "yes" : "no");
}

// Those that were built in have no state.
void read_loaded_modules(const Channel& channel) {
  const char* how = "stat /sys/module/*/initstate";
  DIR* top = ::opendir("/sys/module");
  if (top == nullptr) return say_error(channel, "", how, errno);
  long count = 0;
  while (const dirent* entry = ::readdir(top)) {
    Text path;
    path.add("%s/initstate", entry->d_name);
    struct stat info {};
    if (::fstatat(::dirfd(top), path.bytes, &info, 0) == 0) ++count;
  }
  ::closedir(top);
  say_number(channel, "", how, count);
}

// The login prompts of utmp(5) name processes, which are there and are such.
void read_login_screen(const Channel& channel) {
  const char* how = "read /run/utmp and the names of its processes";
  const long length = read_file("/run/utmp", one, sizeof(one));
  if (length < 0) return say_error(channel, "", how, errno);
  long unlike = 0;
  long screens = 0;
  for (long at = 0; at + static_cast<long>(sizeof(utmp)) <= length;
       at += static_cast<long>(sizeof(utmp))) {
    utmp record{};
    std::memcpy(&record, one + at, sizeof(record));
    if (record.ut_type != LOGIN_PROCESS) continue;
    ++screens;
    Text path;
    path.add("/proc/%d/comm", record.ut_pid);
    if (read_file(path.bytes, other, sizeof(other)) <= 0 || std::strstr(other, "getty") == nullptr)
      ++unlike;
  }
  if (screens == 0) return say_error(channel, "", how, ENODATA);
  say(channel, "", how, unlike == 0 ? "yes" : "no");
}

// Programs by which processes say they were started, and which are not there.
void read_missing_programs(const Channel& channel) {
  DIR* top = ::opendir("/proc");
  if (top == nullptr) return say_error(channel, "", "list /proc", errno);
  Text names;
  long missing = 0;
  while (const dirent* entry = ::readdir(top)) {
    if (entry->d_name[0] < '1' || entry->d_name[0] > '9') continue;
    Text path;
    path.add("/proc/%s/cmdline", entry->d_name);
    if (read_file(path.bytes, one, 256) <= 0 || one[0] != '/') continue;
    struct stat info {};
    if (::stat(one, &info) == 0 || errno != ENOENT) continue;
    names.add("%s%s", missing++ == 0 ? "" : " ", one);
  }
  ::closedir(top);
  say(channel, "missing", "stat the programs of /proc/PID/cmdline", names.bytes, names.length);
  say_number(channel, "count", "stat the programs of /proc/PID/cmdline", missing);
}

}  // namespace gyges::probe
