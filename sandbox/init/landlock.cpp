#include "sandbox/init/landlock.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

namespace gyges::init {
namespace {

// As in linux/landlock.h, which in older distributions lacks the later fields. A kernel takes a
// shorter structure too; fields it does not know must be zero.
struct RulesetAttributes {
  std::uint64_t files;
  std::uint64_t network;
  std::uint64_t scope;
};
struct [[gnu::packed]] PathAttributes {
  std::uint64_t access;
  std::int32_t parent;
};
struct PortAttributes {
  std::uint64_t access;
  std::uint64_t port;
};
constexpr int rule_path = 1;
constexpr int rule_port = 2;

// EXECUTE, WRITE_FILE, READ_FILE, TRUNCATE, IOCTL_DEV: what a rule on a file may hold.
constexpr std::uint64_t of_files = 1U << 0U | 1U << 1U | 1U << 2U | 1U << 14U | 1U << 15U;

int ruleset = -1;

}  // namespace

int begin_ruleset(std::uint64_t files, std::uint64_t network, std::uint64_t scope) {
  RulesetAttributes attributes{files, network, scope};
  // ABI 1 to 3 know the first field alone, ABI 4 and 5 the first two.
  std::size_t size = scope != 0     ? sizeof(attributes)
                     : network != 0 ? offsetof(RulesetAttributes, scope)
                                    : offsetof(RulesetAttributes, network);
  ruleset = static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, size, 0));
  return ruleset < 0 ? -1 : 0;
}

int allow_path(const char* path, std::uint64_t access) {
  int fd = ::open(path, O_PATH | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 0 : -1;
  struct stat info {};
  int result = ::fstat(fd, &info);
  if (result == 0 && !S_ISDIR(info.st_mode)) access &= of_files;
  PathAttributes attributes{access, fd};
  if (result == 0 && access != 0)
    result = static_cast<int>(::syscall(SYS_landlock_add_rule, ruleset, rule_path, &attributes, 0));
  int code = errno;
  ::close(fd);
  errno = code;
  return result;
}

int allow_port(std::uint64_t port, std::uint64_t access) {
  PortAttributes attributes{access, port};
  return static_cast<int>(::syscall(SYS_landlock_add_rule, ruleset, rule_port, &attributes, 0));
}

int enforce_ruleset() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
  if (::syscall(SYS_landlock_restrict_self, ruleset, 0) != 0) return -1;
  return ::close(ruleset);
}

}  // namespace gyges::init
