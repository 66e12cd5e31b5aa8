#include "sandbox/init/disguise.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace gyges::init {

int cover(const char* file, const char* path) {
  struct stat info {};
  if (::stat(path, &info) != 0) return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
  // Read-only as the mount that it is taken from; the supervisor goes on writing through another.
  return ::mount(file, path, nullptr, MS_BIND, nullptr);
}

// sysfs shows the network namespace in which it was mounted.
int show_network(const char* place, const char* path) {
  if (::mkdir(place, 0700) != 0) return -1;
  if (::mount("sysfs", place, "sysfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0)
    return -1;
  char source[128];
  std::strcpy(source, place);
  std::strcat(source, "/devices/virtual/net");
  int result = ::mount(source, path, nullptr, MS_BIND, nullptr);
  int code = errno;
  leave_behind(place);
  errno = code;
  return result;
}

int leave_behind(const char* path) {
  if (::mount(path, "/dev", nullptr, MS_MOVE, nullptr) != 0 && ::umount2(path, MNT_DETACH) != 0)
    return -1;
  return ::rmdir(path);
}

int set_time(const char* path, std::int64_t seconds) {
  const timespec times[2] = {{seconds, 0}, {seconds, 0}};
  return static_cast<int>(::syscall(SYS_utimensat, AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW));
}

int date_root(std::int64_t seconds) {
  struct stat root {};
  DIR* directory = ::opendir("/");
  if (directory == nullptr || ::stat("/", &root) != 0) return -1;
  int result = 0;
  while (const dirent* entry = ::readdir(directory)) {
    char path[300] = "/";
    std::strcat(path, entry->d_name);
    struct stat info {};
    const bool here = std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0;
    // A host's directory that is mounted here is none of ours.
    if (here && ::syscall(SYS_newfstatat, AT_FDCWD, path, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
        info.st_dev == root.st_dev && set_time(path, seconds) != 0)
      result = -1;
  }
  ::closedir(directory);
  return set_time("/", seconds) != 0 ? -1 : result;
}

int choose_next_pid(std::uint64_t pid) {
  char digits[24];
  std::size_t at = sizeof(digits);
  std::uint64_t last = pid > 1 ? pid - 1 : 1;
  for (; last > 0; last /= 10) digits[--at] = static_cast<char>('0' + last % 10);
  int fd = ::open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t n = ::write(fd, digits + at, sizeof(digits) - at);
  int code = errno;
  ::close(fd);
  errno = code;
  return n > 0 ? 0 : -1;
}

}  // namespace gyges::init
