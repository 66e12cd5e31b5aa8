// What the kernel tells of limits and of disks in two places: read here at the same moment.
#include <dirent.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "sandbox/cues/probe/output.h"
#include "sandbox/cues/probe/readers.h"
#include "sandbox/cues/probe/text.h"

namespace gyges::probe {
namespace {

char one[1U << 16U];
char other[1U << 16U];

bool exists(const char* path) {
  struct stat info {};
  return ::stat(path, &info) == 0;
}

// The directory of this process's group in the hierarchy of version 2; errno where there is none.
int own_group(Text& directory) {
  const long length = read_file("/proc/self/cgroup", one, sizeof(one));
  if (length <= 0) return length < 0 ? errno : ENODATA;
  const char* own = std::strstr(one, "0::/");
  if (own == nullptr) return ENODATA;
  own += std::strlen("0::");
  directory.add("/sys/fs/cgroup%.*s", static_cast<int>(std::strcspn(own, "\n")), own);
  return 0;
}

}  // namespace

// Runtimes look for the limits of their group there.
void read_own_group(const Channel& channel) {
  const char* how = "stat the group of /proc/self/cgroup below /sys/fs/cgroup";
  Text path;
  if (const int error = own_group(path); error != 0) return say_error(channel, "", how, error);
  path.add("/cgroup.procs");
  say(channel, "", how, exists(path.bytes) ? "yes" : "no");
}

// Where memory is limited there are all limits of it: Node takes one that is missing for 0, and
// Java says that there is none.
void read_group_limits(const Channel& channel) {
  const char* how = "stat the limits of this process's group";
  Text directory;
  if (const int error = own_group(directory); error != 0) return say_error(channel, "", how, error);
  bool whole = true;
  for (const char* name : {"memory.max", "memory.high", "memory.low", "memory.min", "memory.stat",
                           "memory.current", "memory.events"}) {
    Text path;
    path.add("%s/%s", directory.bytes, name);
    const bool there = exists(path.bytes);
    // The root of a machine has none of them.
    if (!there && std::strcmp(name, "memory.max") == 0) return say_error(channel, "", how, ENOENT);
    whole = whole && there;
  }
  say(channel, "", how, whole ? "yes" : "no");
}

// The third number of file-nr is file-max.
void read_open_files(const Channel& channel) {
  const char* how = "read /proc/sys/fs/file-nr and file-max";
  if (read_file("/proc/sys/fs/file-nr", one, sizeof(one)) <= 0 ||
      read_file("/proc/sys/fs/file-max", other, sizeof(other)) <= 0)
    return say_error(channel, "", how, errno);
  const char* last = std::strrchr(one, '\t');
  if (last == nullptr) return say_error(channel, "", how, ENODATA);
  say(channel, "", how, std::strcmp(last + 1, other) == 0 ? "yes" : "no");
}

// Sectors read and written of each disk, by /sys/block and by /proc/diskstats.
void read_disk_counts(const Channel& channel) {
  const char* how = "read /sys/block/*/stat and /proc/diskstats";
  DIR* top = ::opendir("/sys/block");
  if (top == nullptr) return say_error(channel, "", how, errno);
  long disks = 0;
  long unlike = 0;
  while (const dirent* entry = ::readdir(top)) {
    if (entry->d_name[0] == '.') continue;
    ++disks;
    Text path;
    path.add("/sys/block/%s/stat", entry->d_name);
    Text row;
    row.add(" %s ", entry->d_name);
    unsigned long long told[7] = {};
    unsigned long long counted[7] = {};
    auto numbers = [](const char* at, unsigned long long(&into)[7]) {
      for (unsigned long long& number : into) {
        char* end = nullptr;
        number = std::strtoull(at, &end, 10);
        if (end == at) return false;
        at = end;
      }
      return true;
    };
    const bool read = read_file(path.bytes, one, sizeof(one)) > 0 && numbers(one, told) &&
                      read_file("/proc/diskstats", other, sizeof(other)) > 0;
    const char* found = read ? std::strstr(other, row.bytes) : nullptr;
    if (found == nullptr || !numbers(found + row.length, counted)) {
      ++unlike;
      continue;
    }
    // Both move, and on covers of a sandbox once a second.
    for (const int i : {2, 6}) {
      const unsigned long long least = told[i] < counted[i] ? told[i] : counted[i];
      const unsigned long long most = told[i] < counted[i] ? counted[i] : told[i];
      if (most - least > most / 8 + 100000) {
        ++unlike;
        break;
      }
    }
  }
  ::closedir(top);
  if (disks == 0) return say_error(channel, "", how, ENODATA);
  say(channel, "", how, unlike == 0 ? "yes" : "no");
}

// What is mounted from the disk of the root has the root's room: df(1) shows both in a container.
void read_room_of_disk(const Channel& channel) {
  const char* how = "statfs(2) of / and /etc/hosts";
  struct statfs root {};
  struct statfs hosts {};
  if (::statfs("/", &root) != 0 || ::statfs("/etc/hosts", &hosts) != 0)
    return say_error(channel, "", how, errno);
  if (root.f_blocks != hosts.f_blocks || root.f_bfree != hosts.f_bfree)
    return say_error(channel, "", how, ENODATA);  // not of one disk
  say(channel, "", how,
      root.f_bavail == hosts.f_bavail && root.f_files == hosts.f_files ? "yes" : "no");
}

// Types that are mounted and that this kernel says it does not have.
void read_unknown_types(const Channel& channel) {
  const char* how = "read /proc/self/mounts and /proc/filesystems";
  if (read_file("/proc/self/mounts", one, sizeof(one)) <= 0 ||
      read_file("/proc/filesystems", other, sizeof(other)) <= 0)
    return say_error(channel, "", how, errno);
  long unknown = 0;
  for (const char* at = one; *at != 0;) {
    char type[64] = {};
    if (std::sscanf(at, "%*s %*s %63s", type) == 1) {
      type[std::strcspn(type, ".")] = 0;  // "fuse.sshfs"
      Text row;
      row.add("\t%s\n", type);
      if (std::strstr(other, row.bytes) == nullptr) ++unknown;
    }
    at += std::strcspn(at, "\n");
    at += *at == '\n' ? 1 : 0;
  }
  say(channel, "", how, unknown == 0 ? "yes" : "no");
}

}  // namespace gyges::probe
