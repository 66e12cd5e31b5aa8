#include "sandbox/isolation/cgroup.h"

#include <fmt/format.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <sstream>

#include "base/fd.h"
#include "base/files.h"
#include "base/text.h"
#include "sandbox/isolation/launch.h"
#include "sandbox/recorder/slow_down.h"

#include <fcntl.h>

namespace gyges::isolation {
namespace {

struct Hierarchy {
  std::string mount;     // where it is mounted
  std::string own_path;  // of this process, below the mount
  bool v2 = false;
  bool pids = false;
  bool memory = false;
  bool processor = false;
};

bool has_word(const std::string& list, std::string_view word, char separator) {
  for (const std::string& part : split(list, separator))
    if (part == word) return true;
  return false;
}

// Joins /proc/self/mountinfo and /proc/self/cgroup (proc(5), cgroups(7)).
Result<std::vector<Hierarchy>> hierarchies() {
  std::vector<Hierarchy> found;
  GYGES_TRY(std::string mounts, read_file("/proc/self/mountinfo"));
  auto groups = read_file("/proc/self/cgroup");
  // A kernel without cgroups has no such file.
  if (!groups && groups.error().code == ENOENT) return found;
  if (!groups) return tl::unexpected<Error>(groups.error());
  for (const std::string& line : split(mounts, '\n')) {
    auto dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::vector<std::string> left = split(line.substr(0, dash), ' ');
    std::vector<std::string> right = split(line.substr(dash + 3), ' ');
    if (left.size() < 5 || right.size() < 3) continue;
    Hierarchy hierarchy;
    hierarchy.mount = left[4];
    hierarchy.v2 = right[0] == "cgroup2";
    if (!hierarchy.v2 && right[0] != "cgroup") continue;
    hierarchy.pids = hierarchy.v2 || has_word(right[2], "pids", ',');
    hierarchy.memory = hierarchy.v2 || has_word(right[2], "memory", ',');
    hierarchy.processor = hierarchy.v2 || has_word(right[2], "cpu", ',');
    if (!hierarchy.pids && !hierarchy.memory && !hierarchy.processor) continue;
    for (const std::string& group : split(*groups, '\n')) {
      std::size_t first = group.find(':');
      std::size_t second = first == std::string::npos ? first : group.find(':', first + 1);
      if (second == std::string::npos) continue;
      std::string controllers = group.substr(first + 1, second - first - 1);
      bool match = hierarchy.v2 ? controllers.empty()
                                : has_word(controllers,
                                           hierarchy.pids     ? "pids"
                                           : hierarchy.memory ? "memory"
                                                              : "cpu",
                                           ',');
      if (match) hierarchy.own_path = group.substr(second + 1);
    }
    found.push_back(std::move(hierarchy));
  }
  return found;
}

Status write_value(const std::string& file, const std::string& value) {
  UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return fail_errno("open", file);
  if (::write(fd.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size()))
    return fail_errno("write", file);
  return ok();
}

// Supervisors of several pid namespaces may share a hierarchy: the pid alone names nobody. The time
// tells whoever finds it without processes whether it is still to be used (remove_orphans() in
// sandbox/init/keeper.cpp).
Result<std::string> fresh_name() {
  static std::atomic<unsigned> counter{0};
  std::uint32_t random = 0;
  if (::getrandom(&random, sizeof(random), 0) != sizeof(random))
    return fail_errno("get random bytes for", "the name of a cgroup");
  return fmt::format("gyges-{}-{}-{:08x}-{}", ::getpid(), counter++, random, ::time(nullptr));
}

// The value of `key` in a file of "key value" lines, or the whole number if key is empty.
std::uint64_t read_number(const std::string& file, std::string_view key) {
  auto text = read_file(file);
  if (!text) return 0;
  if (key.empty()) return std::strtoull(text->c_str(), nullptr, 10);
  for (const std::string& line : split(*text, '\n'))
    if (line.starts_with(key) && line.size() > key.size() && line[key.size()] == ' ')
      return std::strtoull(line.c_str() + key.size() + 1, nullptr, 10);
  return 0;
}

// Whether an error says that the hierarchy is somebody else's, rather than that something went
// wrong.
bool is_out_of_reach(int code) {
  return code == EACCES || code == EPERM || code == EROFS || code == ENOENT;
}

// Whether a group of version 2 may hand controllers to groups below it that hold processes: the
// kernel's root may, any other only without processes of its own (cgroups(7), "no internal
// processes"). Trying is no way to find out: +pids alone would be taken by a group with processes
// and turn it, and for good, into one whose children hold threads only.
bool may_have_children(const std::string& group) {
  auto type = read_file(group + "/cgroup.type");
  if (!type) return type.error().code == ENOENT && ::access(group.c_str(), F_OK) == 0;
  if (*type != "domain\n") return false;
  auto processes = read_file(group + "/cgroup.procs");
  return processes && processes->empty();
}

// Whether a group of version 2 is left to us with all that is in it: by systemd (Delegate=yes), or
// as the whole of the hierarchy that a container sees.
bool is_delegated(const std::string& group, bool whole) {
  char mark = 0;
  return whole || (::getxattr(group.c_str(), "user.delegate", &mark, 1) == 1 && mark == '1') ||
         (::getxattr(group.c_str(), "trusted.delegate", &mark, 1) == 1 && mark == '1');
}

// The group below a delegated one that its processes are moved to.
constexpr const char* callers = "/gyges-callers";

// Moves the processes of a delegated group into a group of their own below it, as delegation asks
// of those who want more groups there. That it worked shows in may_have_children(). Nothing is
// moved where no group below could count processes: it would be in vain.
void clear_for_children(const std::string& group) {
  const auto controllers = read_file(group + "/cgroup.controllers");
  if (!controllers || !has_word(controllers->substr(0, controllers->find('\n')), "pids", ' '))
    return;
  const std::string below = group + callers;
  if (::mkdir(below.c_str(), 0755) != 0 && errno != EEXIST) return;
  // Again for what was forked meanwhile.
  for (int round = 0; round < 10; ++round) {
    auto processes = read_file(group + "/cgroup.procs");
    if (!processes || processes->empty()) return;
    for (const std::string& process : split(*processes, '\n'))
      if (!process.empty()) (void)write_value(below + "/cgroup.procs", process).has_value();
  }
}

// The group `name` below `parent`; empty where that may not be written.
Result<std::string> make_directory(const std::string& parent, bool v2, bool processor,
                                   const std::string& name) {
  if (v2 && !may_have_children(parent)) return std::string();
  if (v2)
    for (const char* controller : {"+pids", "+memory", "+cpu"})
      if (processor || std::string_view(controller) != "+cpu")
        (void)write_value(parent + "/cgroup.subtree_control", controller).has_value();
  std::string path = parent + "/" + name;
  // Before there is one: the keeper is told in time even if we are killed at the next call.
  GYGES_CHECK(keep_directory(path));
  if (::mkdir(path.c_str(), 0755) != 0) {
    if (is_out_of_reach(errno)) return std::string();
    return fail_errno("make cgroup", path);
  }
  return path;
}

// The part of a sandbox's memory that may wait in its sockets besides.
constexpr std::uint64_t socket_share = 8;

// Sets a limit where the group has the file for it. Whether it has.
Result<bool> set_limit(const std::string& file, std::uint64_t value) {
  if (::access(file.c_str(), F_OK) != 0) {
    if (errno == ENOENT) return false;
    return fail_errno("look for", file);
  }
  if (value > 0) GYGES_CHECK(write_value(file, std::to_string(value)));
  return true;
}

// What was found, unless the keeper takes it along.
template <class Found>
Result<Found> unless_deaf_keeper(Result<Found> found) {
  if (auto end = deaf_keeper()) return tl::unexpected<Error>(std::move(*end));
  return found;
}

}  // namespace

Result<std::optional<Cgroup>> Cgroup::create(const CgroupLimits& limits) {
  return unless_deaf_keeper(make(limits));
}

Result<std::optional<Cgroup>> Cgroup::make(const CgroupLimits& limits) {
  Cgroup cgroup;
  GYGES_TRY(std::string name, fresh_name());
  bool have_pids = false;
  bool have_memory = false;
  bool have_processor = !limits.processor;
  GYGES_TRY(std::vector<Hierarchy> found, hierarchies());
  for (const Hierarchy& hierarchy : found) {
    bool want = (hierarchy.pids && !have_pids) || (hierarchy.memory && !have_memory) ||
                (hierarchy.processor && !have_processor);
    if (!want) continue;
    std::string own = hierarchy.mount + (hierarchy.own_path == "/" ? "" : hierarchy.own_path);
    // In v2 a group with processes cannot hand controllers to children; then a sibling serves, or
    // else the processes move.
    const bool whole = hierarchy.own_path.size() <= 1;
    std::string home = own;
    std::vector<std::string> parents = {own};
    if (hierarchy.v2 && !whole) parents.push_back(own.substr(0, own.rfind('/')));
    if (hierarchy.v2 && is_delegated(own, whole)) parents.push_back(own);
    for (std::size_t i = 0; i < parents.size(); ++i) {
      const std::string& parent = parents[i];
      if (i > 0 && parent == own && !may_have_children(own)) {
        clear_for_children(own);
        home = own + callers;
      }
      GYGES_TRY(std::string path, make_directory(parent, hierarchy.v2, limits.processor, name));
      if (path.empty()) continue;
      // Owned from here on, so that an error removes it.
      cgroup.directories_.push_back({path, home, false, false, hierarchy.v2, false});
      Directory& directory = cgroup.directories_.back();
      if (!have_pids) {
        GYGES_TRY(directory.pids,
                  set_limit(path + "/pids.max", limits.processes > 0 ? limits.processes + 1 : 0));
      }
      if (!have_memory) {
        GYGES_TRY(directory.memory,
                  set_limit(path + (hierarchy.v2 ? "/memory.max" : "/memory.limit_in_bytes"),
                            limits.memory_bytes));
        // Version 1 counts what waits in sockets, of TCP and UDP, only where it has a limit, and
        // apart from all other memory.
        if (directory.memory && !hierarchy.v2) {
          GYGES_CHECK(set_limit(path + "/memory.kmem.tcp.limit_in_bytes",
                                limits.memory_bytes / socket_share));
        }
      }
      if (!have_processor) {
        GYGES_TRY(directory.processor,
                  set_limit(path + (hierarchy.v2 ? "/cpu.max" : "/cpu.cfs_period_us"),
                            hierarchy.v2 ? 0 : recorder::cpu_quota_period_us));
      }
      if (!directory.pids && !directory.memory && !directory.processor) {
        ::rmdir(path.c_str());
        cgroup.directories_.pop_back();
        continue;
      }
      have_pids |= directory.pids;
      have_memory |= directory.memory;
      have_processor |= directory.processor;
      break;
    }
  }
  if (!have_pids) return std::optional<Cgroup>();
  return std::optional<Cgroup>(std::move(cgroup));
}

Cgroup::~Cgroup() {
  for (const Directory& directory : directories_) {
    // The last exiting task leaves its group a moment after it was reaped.
    for (int attempt = 0; attempt < 200; ++attempt) {
      if (::rmdir(directory.path.c_str()) == 0 || errno != EBUSY) break;
      timespec pause{0, 1000000};
      ::nanosleep(&pause, nullptr);
    }
  }
}

std::vector<UniqueFd> Cgroup::exits() const {
  std::vector<UniqueFd> files;
  for (const Directory& directory : directories_) {
    const std::string path = directory.home + (directory.v2 ? "/cgroup.procs" : "/tasks");
    files.emplace_back(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!files.back()) return {};
  }
  return files;
}

Result<std::vector<UniqueFd>> Cgroup::entrances() const {
  GYGES_CHECK(keeper_executed());
  return unless_deaf_keeper(open_entrances());
}

Result<std::vector<UniqueFd>> Cgroup::open_entrances() const {
  std::vector<UniqueFd> files;
  for (const Directory& directory : directories_) {
    std::string path = directory.path + (directory.v2 ? "/cgroup.procs" : "/tasks");
    UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!fd) return fail_errno("open entrance of cgroup", directory.path);
    files.push_back(std::move(fd));
  }
  return files;
}

bool Cgroup::limits_memory() const {
  for (const Directory& directory : directories_)
    if (directory.memory) return true;
  return false;
}

std::optional<Cgroup::Quota> Cgroup::quota() const {
  for (const Directory& directory : directories_) {
    if (!directory.processor) continue;
    const std::string path = directory.path + (directory.v2 ? "/cpu.max" : "/cpu.cfs_quota_us");
    UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (file) return Quota{std::move(file), directory.v2};
  }
  return std::nullopt;
}

bool Cgroup::processes_hit() const {
  for (const Directory& directory : directories_)
    if (directory.pids && read_number(directory.path + "/pids.events", "max") > 0) return true;
  return false;
}

bool Cgroup::memory_hit() const {
  for (const Directory& directory : directories_) {
    if (!directory.memory) continue;
    std::uint64_t hits = directory.v2
                             ? read_number(directory.path + "/memory.events", "oom_kill")
                             : read_number(directory.path + "/memory.oom_control", "oom_kill");
    if (hits > 0) return true;
  }
  return false;
}

}  // namespace gyges::isolation
