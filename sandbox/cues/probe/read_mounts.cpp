#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "sandbox/cues/probe/output.h"
#include "sandbox/cues/probe/readers.h"
#include "sandbox/cues/probe/text.h"

namespace gyges::probe {
namespace {

char table[1U << 18U];

// The row of the mount that the table has `path` on: the last of those with the longest place. Null
// where there is none; `place` is its mount point.
const char* row_of(const char* path, std::size_t* place) {
  const char* found = nullptr;
  *place = 0;
  for (const char* line = table; *line != 0;) {
    const char* word = nullptr;
    std::size_t length = 0;
    if (find_word(line, 4, &word, &length)) {
      const bool root = length == 1 && *word == '/';
      const bool above = root || (std::strncmp(path, word, length) == 0 &&
                                  (path[length] == 0 || path[length] == '/'));
      if (above && length >= *place) {
        found = line;
        *place = length;
      }
    }
    const char* end = std::strchr(line, '\n');
    if (end == nullptr) break;
    line = end + 1;
  }
  return found;
}

bool has_type(const char* row, const char* beginning) {
  const char* rest = std::strstr(row, " - ");
  return rest != nullptr && std::strncmp(rest + 3, beginning, std::strlen(beginning)) == 0;
}

void say_names(const Channel& channel, const char* detail, const char* how, const Text& names,
               long count) {
  Text number;
  number.add("%s_count", detail);
  say(channel, detail, how, names.bytes, names.length);
  say_number(channel, number.bytes, how, count);
}

}  // namespace

// Directories of the usual tree against what the table of mounts says they lie on. Numbers of
// devices are left out: they count what was mounted before.
void read_disk(const Channel& channel) {
  const char* how = "stat directories and read /proc/self/mountinfo";
  if (read_file("/proc/self/mountinfo", table, sizeof(table)) <= 0)
    return say_error(channel, "device", how, errno);
  static constexpr const char* directories[] = {
      "/",    "/etc", "/home", "/media",   "/mnt",     "/opt",     "/root",   "/srv",
      "/tmp", "/usr", "/var",  "/usr/lib", "/var/lib", "/var/log", "/var/tmp"};
  Text other_device;
  Text unlisted;
  Text odd_size;
  Text few_links;
  long others = 0;
  long without = 0;
  long odd = 0;
  long few = 0;
  dev_t on_root[sizeof(directories) / sizeof(*directories)] = {};
  long devices = 0;
  for (const char* path : directories) {
    struct stat info {};
    if (::lstat(path, &info) != 0 || !S_ISDIR(info.st_mode)) continue;
    std::size_t place = 0;
    const char* row = row_of(path, &place);
    const char* word = nullptr;
    std::size_t length = 0;
    if (row == nullptr || !find_word(row, 2, &word, &length)) continue;
    unsigned high = 0;
    unsigned minor_number = 0;
    const bool read = std::sscanf(word, "%u:%u", &high, &minor_number) == 2;
    // Subvolumes of btrfs have devices of their own everywhere.
    if (read && !has_type(row, "btrfs ") && makedev(high, minor_number) != info.st_dev)
      other_device.add("%s%s", others++ == 0 ? "" : " ", path);
    // As df does: what is on another device than its mount point has no row for it.
    char point[256];
    struct stat above {};
    if (place < sizeof(point) && !has_type(row, "btrfs ")) {
      std::memcpy(point, path, place);
      point[place] = 0;
      if (::lstat(point, &above) == 0 && above.st_dev != info.st_dev)
        unlisted.add("%s%s", without++ == 0 ? "" : " ", path);
    }
    if (place == 1) {
      long known = 0;
      while (known < devices && on_root[known] != info.st_dev) ++known;
      if (known == devices) on_root[devices++] = info.st_dev;
    }
    if (!has_type(row, "ext")) continue;
    // Whole blocks, of 1 KiB at least; an entry for itself and one in the directory above.
    if (info.st_size % 1024 != 0) odd_size.add("%s%s", odd++ == 0 ? "" : " ", path);
    if (info.st_nlink < 2) few_links.add("%s%s", few++ == 0 ? "" : " ", path);
  }
  say_names(channel, "device", how, other_device, others);
  say_names(channel, "unlisted", how, unlisted, without);
  say_number(channel, "devices_of_root", how, devices);
  say_names(channel, "size", how, odd_size, odd);
  say_names(channel, "links", how, few_links, few);
}

// One observation for each mount point: root of the file system, options, type, source, options of
// the file system. Numbers of mounts and devices are left out: they count what was mounted before.
void read_mounts(const Channel& channel) {
  const char* how = "read /proc/self/mountinfo";
  if (read_file("/proc/self/mountinfo", table, sizeof(table)) < 0)
    return say_error(channel, "table", how, errno);
  long count = 0;
  char* state = nullptr;
  for (char* line = ::strtok_r(table, "\n", &state); line != nullptr;
       line = ::strtok_r(nullptr, "\n", &state)) {
    ++count;
    const char* part[5] = {};
    std::size_t length[5] = {};
    bool whole = true;
    for (int i = 0; i < 4; ++i)  // root, mount point, options of the mount
      if (i < 3) whole = whole && find_word(line, 3 + i, &part[i], &length[i]);
    const char* rest = std::strstr(line, " - ");
    if (!whole || rest == nullptr) continue;
    char place[512];
    std::size_t size = length[1] < sizeof(place) - 1 ? length[1] : sizeof(place) - 1;
    std::memcpy(place, part[1], size);
    place[size] = 0;
    Text text;
    text.add("root=%.*s options=%.*s system=%s", static_cast<int>(length[0]), part[0],
             static_cast<int>(length[2]), part[2], rest + 3);
    say(channel, place, how, text.bytes);
  }
  say_number(channel, "number", how, count);
}

}  // namespace gyges::probe
