#include "sandbox/init/bus_sockets.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "sandbox/init/channel.h"
#include "sandbox/init/disguise.h"

namespace gyges::init {
namespace {

constexpr int waiting_clients = 128;

int bind_at(int fd, const char* path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::size_t length = std::strlen(path);
  if (length >= sizeof(address.sun_path)) {
    errno = ENAMETOOLONG;
    return -1;
  }
  std::memcpy(address.sun_path, path, length);
  return ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address.sun_family) + length + 1);
}

int listen_at(const char* path, unsigned mode, std::int64_t seconds) {
  char parent[128];
  std::size_t length = std::strlen(path);
  while (length > 1 && path[length - 1] != '/') --length;
  if (length >= sizeof(parent)) {
    errno = ENAMETOOLONG;
    return -1;
  }
  std::memcpy(parent, path, length);
  parent[length] = '\0';
  struct stat before {};
  if (::stat(parent, &before) != 0) return -1;
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  const timespec times[2] = {before.st_atim, before.st_mtim};
  if (bind_at(fd, path) == 0 && ::chmod(path, mode) == 0 && set_time(path, seconds) == 0 &&
      ::syscall(SYS_utimensat, AT_FDCWD, parent, times, 0) == 0 &&
      ::listen(fd, waiting_clients) == 0)
    return fd;
  const int code = errno;
  ::close(fd);
  errno = code;
  return -1;
}

}  // namespace

int offer_bus_sockets(const char* bus, const char* manager, std::int64_t seconds) {
  const int first = listen_at(bus, 0666, seconds);
  if (first < 0) return -1;
  const int second = listen_at(manager, 0777, seconds);
  if (second < 0) {
    const int code = errno;
    ::close(first);
    errno = code;
    return -1;
  }
  return offer(first, Hand::bus) != 0 || offer(second, Hand::bus) != 0 ? -1 : 0;
}

}  // namespace gyges::init
