#include "sandbox/isolation/mapped_mount.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <vector>

namespace gyges::isolation {
namespace {

// Ends with the thread that made it, which may be killed before it can do so itself.
int wait_for_kill(void* parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (::getppid() != static_cast<pid_t>(reinterpret_cast<std::intptr_t>(parent))) return 0;
  for (;;) ::pause();
}

// A uid_map or gid_map of all ids below 65536 that swaps `a` and `b`.
std::string swap_map(std::uint32_t a, std::uint32_t b) {
  constexpr std::uint32_t end = 65536;
  if (a == b) return fmt::format("0 0 {}\n", end);
  if (a > b) std::swap(a, b);
  std::string map;
  auto range = [&](std::uint32_t inside, std::uint32_t outside, std::uint32_t count) {
    if (count > 0) map += fmt::format("{} {} {}\n", inside, outside, count);
  };
  range(0, 0, std::min(a, end));
  range(a, b, 1);
  if (a < end) range(a + 1, a + 1, std::min(b, end) - a - 1);
  range(b, a, 1);
  if (b < end) range(b + 1, b + 1, end - b - 1);
  return map;
}

Status write_map(pid_t pid, const char* file, const std::string& map) {
  std::string path = fmt::format("/proc/{}/{}", pid, file);
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return fail_errno("open", path);
  if (::write(fd.get(), map.data(), map.size()) != static_cast<ssize_t>(map.size()))
    return fail_errno("write", path);
  return ok();
}

struct NamespaceWithMaps {
  UniqueFd fd;
  EndingProcess process;
};

// A user namespace that exists only to carry the maps: its one process waits to be killed.
Result<NamespaceWithMaps> namespace_with_maps(const std::string& uids, const std::string& gids) {
  std::vector<char> stack(16U << 10U);
  // By value: the process may read it when this function has returned already.
  auto* self = reinterpret_cast<void*>(static_cast<std::intptr_t>(::getpid()));
  // The process shares our memory but only ever waits.
  pid_t pid = ::clone(&wait_for_kill, stack.data() + stack.size(),
                      CLONE_NEWUSER | CLONE_VM | SIGCHLD, self);
  if (pid < 0) return fail_errno("make user namespace for", "id-mapped mount");
  Result<UniqueFd> result = [&]() -> Result<UniqueFd> {
    GYGES_CHECK(write_map(pid, "uid_map", uids));
    GYGES_CHECK(write_map(pid, "gid_map", gids));
    std::string path = fmt::format("/proc/{}/ns/user", pid);
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return fail_errno("open", path);
    return fd;
  }();
  ::kill(pid, SIGKILL);
  EndingProcess process(pid, std::move(stack));
  if (!result) return tl::unexpected<Error>(std::move(result.error()));
  return NamespaceWithMaps{std::move(*result), std::move(process)};
}

}  // namespace

EndingProcess::~EndingProcess() {
  if (pid_ < 0) return;
  while (::waitpid(pid_, nullptr, __WALL) < 0 && errno == EINTR) {
  }
}

Result<MappedCopy> mapped_copy(const MappedSource& source, const Identity& agent) {
  GYGES_TRY(NamespaceWithMaps maps, namespace_with_maps(swap_map(source.owner, agent.uid),
                                                        swap_map(source.group, agent.gid)));
  UniqueFd tree(::open_tree(AT_FDCWD, source.path.c_str(),
                            OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW));
  if (!tree) return fail_errno("take a copy of", source.path);
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_IDMAP | MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
  attributes.userns_fd = static_cast<std::uint64_t>(maps.fd.get());
  if (::mount_setattr(tree.get(), "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) != 0)
    return fail_errno(
        "map the owner of", source.path, errno,
        "its file system or kernel has no id-mapped mounts: give the directory to the "
        "policy's uid, or run gyges as the user who owns it");
  return MappedCopy{std::move(tree), std::move(maps.process)};
}

}  // namespace gyges::isolation
