#include "base/regular_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

namespace gyges {
namespace {

std::string_view kind_of(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR:
      return "is a directory, not a file";
    case S_IFIFO:
      return "is a FIFO or pipe, not a file";
    case S_IFSOCK:
      return "is a socket, not a file";
    default:
      return "is a device, not a file";
  }
}

}  // namespace

Result<UniqueFd> open_regular_file(const std::filesystem::path& path) {
  // A FIFO that nobody writes to would be waited for in open(2) already; a device may have no end.
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd && errno == ENXIO) return fail("read", path.string(), kind_of(S_IFSOCK));
  if (!fd) return fail_errno("open", path.string());
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return fail_errno("stat", path.string());
  if (S_ISREG(info.st_mode)) return fd;
  return fail("read", path.string(), kind_of(info.st_mode),
              S_ISDIR(info.st_mode) ? "" : "write its content to a file and name that one");
}

Status check_regular_file(const std::filesystem::path& path) {
  GYGES_TRY([[maybe_unused]] UniqueFd fd, open_regular_file(path));
  return ok();
}

}  // namespace gyges
