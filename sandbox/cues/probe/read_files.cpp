#include <dirent.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
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

char content[1U << 18U];

struct Path {
  char bytes[4096];
};

// A leading "~/" stands for the home directory.
Path path_of(const Channel& channel) {
  Path path;
  const char* home = std::getenv("HOME");
  if (std::strncmp(channel.argument, "~/", 2) == 0)
    std::snprintf(path.bytes, sizeof(path.bytes), "%s/%s", home != nullptr ? home : "/nonexistent",
                  channel.argument + 2);
  else
    std::snprintf(path.bytes, sizeof(path.bytes), "%s", channel.argument);
  return path;
}

struct How {
  Text text;
  How(const char* verb, const Channel& channel) { text.add("%s %s", verb, channel.argument); }
  [[nodiscard]] const char* c() const { return text.bytes; }
};

void trim(const char** bytes, std::size_t* length) {
  auto space = [](char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == 0; };
  while (*length > 0 && space(**bytes)) ++*bytes, --*length;
  while (*length > 0 && space((*bytes)[*length - 1])) --*length;
}

// The content, or -1 after the error has been said.
long get(const Channel& channel, const How& how) {
  long got = read_file(path_of(channel).bytes, content, sizeof(content));
  if (got < 0) say_error(channel, "", how.c(), errno);
  return got;
}

}  // namespace

void read_content(const Channel& channel) {
  How how("read", channel);
  long got = get(channel, how);
  if (got < 0) return;
  const char* at = content;
  auto length = static_cast<std::size_t>(got);
  trim(&at, &length);
  say(channel, "", how.c(), at, length);
}

void read_line(const Channel& channel) {
  How how("read", channel);
  if (get(channel, how) < 0) return;
  const char* value = nullptr;
  std::size_t length = 0;
  if (find_line(content, channel.key, &value, &length))
    say(channel, "", how.c(), value, length);
  else
    say_error(channel, "", how.c(), ENODATA);
}

void read_word(const Channel& channel) {
  How how("read", channel);
  if (get(channel, how) < 0) return;
  const char* value = nullptr;
  std::size_t length = 0;
  if (find_word(content, std::atoi(channel.key), &value, &length))
    say(channel, "", how.c(), value, length);
  else
    say_error(channel, "", how.c(), ENODATA);
}

void read_hash(const Channel& channel) {
  How how("read", channel);
  long got = get(channel, how);
  if (got < 0) return;
  Text text;
  text.add("%ld bytes, hash %016llx", got, hash_of(content, static_cast<std::size_t>(got)));
  say(channel, "", how.c(), text.bytes);
}

// In pieces, because kallsyms is ten megabytes.
void read_count(const Channel& channel) {
  How how("count lines of", channel);
  int fd = ::open(path_of(channel).bytes, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return say_error(channel, "", how.c(), errno);
  long lines = 0;
  std::size_t kept = 0;
  int error = 0;
  for (;;) {
    ssize_t got = ::read(fd, content + kept, sizeof(content) - 1 - kept);
    if (got < 0) error = errno;
    if (got <= 0) break;
    std::size_t have = kept + static_cast<std::size_t>(got);
    content[have] = 0;
    char* line = content;
    for (char* end = nullptr;
         (end = static_cast<char*>(
              std::memchr(line, '\n', have - static_cast<std::size_t>(line - content)))) != nullptr;
         line = end + 1) {
      *end = 0;
      if (*channel.key == 0 || std::strstr(line, channel.key) != nullptr) ++lines;
    }
    kept = have - static_cast<std::size_t>(line - content);
    if (kept == sizeof(content) - 1) kept = 0;
    std::memmove(content, line, kept);
  }
  ::close(fd);
  if (error != 0)
    say_error(channel, "", how.c(), error);
  else
    say_number(channel, "", how.c(), lines);
}

void read_link(const Channel& channel) {
  How how("readlink", channel);
  char target[1024];
  ssize_t got = ::readlink(path_of(channel).bytes, target, sizeof(target));
  if (got < 0)
    say_error(channel, "", how.c(), errno);
  else
    say(channel, "", how.c(), target, static_cast<std::size_t>(got));
}

void read_presence(const Channel& channel) {
  How how("stat", channel);
  struct stat info {};
  if (::lstat(path_of(channel).bytes, &info) != 0) return say_error(channel, "", how.c(), errno);
  const char* type = S_ISREG(info.st_mode)    ? "file"
                     : S_ISDIR(info.st_mode)  ? "directory"
                     : S_ISLNK(info.st_mode)  ? "link"
                     : S_ISSOCK(info.st_mode) ? "socket"
                     : S_ISCHR(info.st_mode)  ? "character device"
                                              : "other";
  Text text;
  text.add("%s mode=%o", type, info.st_mode & 07777U);
  if (S_ISREG(info.st_mode)) text.add(" %s", info.st_size == 0 ? "empty" : "filled");
  say(channel, "", how.c(), text.bytes);
}

void read_owner(const Channel& channel) {
  How how("stat", channel);
  struct stat info {};
  if (::stat(path_of(channel).bytes, &info) != 0) return say_error(channel, "", how.c(), errno);
  Text text;
  text.add("%u:%u", info.st_uid, info.st_gid);
  say(channel, "", how.c(), text.bytes);
}

void read_dates(const Channel& channel) {
  How how("statx", channel);
  struct statx info {};
  if (::statx(AT_FDCWD, path_of(channel).bytes, AT_SYMLINK_NOFOLLOW,
              STATX_BASIC_STATS | STATX_BTIME, &info) != 0)
    return say_error(channel, "", how.c(), errno);
  say_number(channel, "modified", how.c(), info.stx_mtime.tv_sec);
  Channel born = channel;
  born.kind = Kind::changing;  // every fresh layer gives its own
  if ((info.stx_mask & STATX_BTIME) != 0)
    say_number(born, "born", how.c(), info.stx_btime.tv_sec);
  else
    say_error(born, "born", how.c(), ENODATA);
}

void read_listing(const Channel& channel) {
  How how("list", channel);
  Text names;
  long count = list_directory(path_of(channel).bytes, names, nullptr);
  if (count < 0) return say_error(channel, "", how.c(), errno);
  say(channel, "names", how.c(), names.bytes, names.length);
  say_number(channel, "count", how.c(), count);
}

void read_size(const Channel& channel) {
  How how("stat", channel);
  struct stat info {};
  if (::stat(path_of(channel).bytes, &info) != 0) return say_error(channel, "", how.c(), errno);
  say_number(channel, "", how.c(), info.st_size);
}

// Opening for writing changes nothing; none of the rows that use this acts at open.
void read_opening(const Channel& channel) {
  How how("open for writing", channel);
  int fd = ::open(path_of(channel).bytes, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return say_error(channel, "", how.c(), errno);
  ::close(fd);
  say(channel, "", how.c(), "allowed");
}

void read_file_system(const Channel& channel) {
  How how("statfs", channel);
  struct statfs info {};
  if (::statfs(path_of(channel).bytes, &info) != 0) return say_error(channel, "", how.c(), errno);
  Text text;
  text.add("type=%lx flags=%lx", static_cast<unsigned long>(info.f_type),
           static_cast<unsigned long>(info.f_flags));
  say(channel, "", how.c(), text.bytes);
}

void read_room(const Channel& channel) {
  How how("statfs", channel);
  struct statfs info {};
  if (::statfs(path_of(channel).bytes, &info) != 0) return say_error(channel, "", how.c(), errno);
  Text text;
  text.add("%llu of %lu bytes", static_cast<unsigned long long>(info.f_blocks),
           static_cast<unsigned long>(info.f_bsize));
  say(channel, "", how.c(), text.bytes);
}

void read_disguise(const Channel& channel) {
  How how("stat and statfs", channel);
  struct stat info {};
  struct stat proc {};
  struct statfs system {};
  if (::stat(channel.argument, &info) != 0 || ::stat("/proc", &proc) != 0)
    return say_error(channel, "", how.c(), errno);
  if (::statfs(channel.argument, &system) != 0) return say_error(channel, "", how.c(), errno);
  Text text;
  text.add("%s size=%lld type=%lx mode=%o",
           info.st_dev == proc.st_dev ? "same device" : "foreign device",
           static_cast<long long>(info.st_size), static_cast<unsigned long>(system.f_type),
           info.st_mode & 0777U);
  say(channel, "", how.c(), text.bytes);
}

void read_date_spread(const Channel& channel) {
  How how("stat the entries of", channel);
  DIR* directory = ::opendir(path_of(channel).bytes);
  if (directory == nullptr) return say_error(channel, "", how.c(), errno);
  static long days[512];
  int distinct = 0;
  int entries = 0;
  while (const dirent* entry = ::readdir(directory)) {
    struct stat info {};
    if (entry->d_name[0] == '.' || entries >= 2000) continue;
    if (::fstatat(::dirfd(directory), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
    ++entries;
    long day = info.st_mtime / 86400;
    bool known = false;
    for (int i = 0; i < distinct; ++i) known = known || days[i] == day;
    if (!known && distinct < 512) days[distinct++] = day;
  }
  ::closedir(directory);
  Text text;
  text.add("%d days in %d entries", distinct, entries);
  say(channel, "", how.c(), text.bytes);
}

void read_children(const Channel& channel) {
  How how("read the files of", channel);
  DIR* directory = ::opendir(path_of(channel).bytes);
  if (directory == nullptr) return say_error(channel, "", how.c(), errno);
  int said = 0;
  while (const dirent* entry = ::readdir(directory)) {
    if (entry->d_name[0] == '.' || ++said > 64) continue;
    char path[4400];
    std::snprintf(path, sizeof(path), "%s/%s", channel.argument, entry->d_name);
    struct stat info {};
    if (::stat(path, &info) != 0 || !S_ISREG(info.st_mode)) continue;
    long got = read_file(path, content, 4096);
    if (got < 0) {
      say_error(channel, entry->d_name, how.c(), errno);
      continue;
    }
    const char* at = content;
    auto length = static_cast<std::size_t>(got);
    trim(&at, &length);
    say(channel, entry->d_name, how.c(), at, length);
  }
  ::closedir(directory);
}

void read_named_file(const char* path) {
  const Channel channel{"W.file", Kind::fact, nullptr, path, ""};
  How how("read", channel);
  struct stat info {};
  if (::lstat(path, &info) != 0) return say_error(channel, path, how.c(), errno);
  Text text;
  text.add("mode=%o owner=%u:%u modified=%lld size=%lld", info.st_mode, info.st_uid, info.st_gid,
           static_cast<long long>(info.st_mtime),
           static_cast<long long>(S_ISDIR(info.st_mode) ? 0 : info.st_size));
  if (S_ISREG(info.st_mode)) {
    long got = read_file(path, content, sizeof(content));
    if (got < 0)
      text.add(" content=%s", error_name(errno));
    else
      text.add(" hash=%016llx", hash_of(content, static_cast<std::size_t>(got)));
  }
  say(channel, path, how.c(), text.bytes);
}

}  // namespace gyges::probe
