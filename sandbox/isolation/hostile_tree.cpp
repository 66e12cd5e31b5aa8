#include "sandbox/isolation/hostile_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

namespace gyges::isolation {
namespace {

struct CloseDirectory {
  void operator()(DIR* stream) const { ::closedir(stream); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

constexpr std::size_t most_attributes = 64;
constexpr std::size_t attribute_bytes = 64U << 10U;

}  // namespace

UniqueFd open_beneath(int root, const std::string& path, std::uint64_t flags) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const char* at = path.empty() ? "." : path.c_str();
  return UniqueFd(static_cast<int>(::syscall(SYS_openat2, root, at, &how, sizeof(how))));
}

bool says_absent(int code) {
  return code == ENOENT || code == ENOTDIR || code == ELOOP || code == EXDEV;
}

UniqueFd open_entry(int directory, const std::string& name, int flags, unsigned mode) {
  UniqueFd fd(::openat(directory, name.c_str(), flags | O_NOFOLLOW | O_CLOEXEC));
  if (fd || errno != EACCES) return fd;
  UniqueFd path(::openat(directory, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!path) return path;
  std::string link = fmt::format("/proc/self/fd/{}", path.get());
  if (::chmod(link.c_str(), mode) != 0) return UniqueFd();
  return UniqueFd(::openat(directory, name.c_str(), flags | O_NOFOLLOW | O_CLOEXEC));
}

bool names_in(int directory, std::vector<std::string>& names) {
  UniqueFd copy(::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!copy) return false;
  Directory stream(::fdopendir(copy.get()));
  if (!stream) return false;
  (void)copy.release();
  errno = 0;
  while (const dirent* entry = ::readdir(stream.get())) {
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(std::move(name));
    errno = 0;
  }
  bool whole = errno == 0;
  std::sort(names.begin(), names.end());
  return whole;
}

bool read_attributes(int fd, const std::string& without, ExtendedAttributes& attributes) {
  ssize_t length = ::flistxattr(fd, nullptr, 0);
  if (length <= 0) return length == 0 || errno == EOPNOTSUPP;
  std::string names(static_cast<std::size_t>(length), '\0');
  length = ::flistxattr(fd, names.data(), names.size());
  if (length < 0) return false;
  std::size_t bytes = 0;
  bool whole = true;
  for (const char* name = names.data(); name < names.data() + length;
       name += std::strlen(name) + 1) {
    if (!without.empty() && std::strncmp(name, without.c_str(), without.size()) == 0) continue;
    // The host's label, not the agent's doing.
    if (std::strcmp(name, "security.selinux") == 0) continue;
    // No room must not become a size of 0, to which the kernel answers with a length and no bytes.
    if (attributes.size() == most_attributes || bytes == attribute_bytes) {
      whole = false;
      break;
    }
    std::string value(attribute_bytes - bytes, '\0');
    ssize_t size = ::fgetxattr(fd, name, value.data(), value.size());
    if (size < 0) {
      whole = false;
      continue;
    }
    value.resize(static_cast<std::size_t>(size));
    value.shrink_to_fit();
    bytes += value.size();
    attributes.emplace_back(name, std::move(value));
  }
  std::sort(attributes.begin(), attributes.end());
  return whole;
}

}  // namespace gyges::isolation
