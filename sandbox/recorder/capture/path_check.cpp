#include "sandbox/recorder/capture/path_check.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include "sandbox/recorder/format/resolved_paths.h"
#include "sandbox/recorder/format/syscall_table.h"

namespace gyges::recorder {
namespace {

constexpr std::size_t most_agreed = 4096;
constexpr std::string_view deleted = " (deleted)";

std::string link_of(const std::string& link) {
  char target[PATH_MAX];
  const ssize_t length = readlink(link.c_str(), target, sizeof(target));
  return length > 0 ? std::string(target, static_cast<std::size_t>(length)) : std::string();
}

// Names that mean something else for whoever looks them up.
bool depends_on_caller(std::string_view path) {
  return path.starts_with("/proc/") || path.starts_with("/dev/fd/") ||
         path.starts_with("/dev/std") || path == "/dev/tty" || path == "/dev/fd";
}

// Calls after which a way that led through no link may lead through one.
bool puts_links(std::string_view call) {
  return call.starts_with("symlink") || call.starts_with("rename") || call.starts_with("mount") ||
         call.starts_with("umount") || call == "move_mount" || call == "pivot_root" ||
         call == "chroot";
}

// Whether the call goes through a link that the path itself names.
bool follows_last(const Event& call, std::size_t argument) {
  const SyscallSpec* const spec = find_syscall(call.abi, call.number);
  if (spec == nullptr || !spec->arguments[argument].mutates) return false;
  const std::string_view name = spec->name;
  for (const std::string_view always :
       {"chmod", "chown", "chown32", "truncate", "truncate64", "setxattr", "removexattr", "utime",
        "utimes", "futimesat", "fchmodat"})
    if (name == always) return true;
  const std::size_t flags = name == "fchownat"                           ? 4
                            : name == "utimensat" || name == "fchmodat2" ? 3
                                                                         : 0;
  return flags != 0 && (call.args[flags] & AT_SYMLINK_NOFOLLOW) == 0;
}

// A file without a name, made in the directory that was asked for.
bool is_temporary(std::string_view used) {
  const std::size_t slash = used.rfind('/');
  return slash != std::string_view::npos && used.substr(slash).starts_with("/#");
}

}  // namespace

bool PathCheck::find(int directory, const std::string& path, std::uint64_t flags, Object& found) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC | flags;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  const UniqueFd object(
      static_cast<int>(syscall(SYS_openat2, directory, path.c_str(), &how, sizeof(how))));
  struct stat about {};
  if (!object || fstat(object.get(), &about) != 0) return false;
  found.inode = about.st_ino;
  found.device = about.st_dev;
  found.path = link_of("/proc/self/fd/" + std::to_string(object.get()));
  return true;
}

void PathCheck::add_root(pid_t pid) {
  if (root_) return;
  const std::string link = "/proc/" + std::to_string(pid) + "/root";
  UniqueFd root(open(link.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  struct stat about {};
  if (!root || fstat(root.get(), &about) != 0) return;
  root_object_.inode = about.st_ino;
  root_object_.device = about.st_dev;
  root_object_.path = link_of("/proc/self/fd/" + std::to_string(root.get()));
  const std::string mounts = "/proc/" + std::to_string(pid) + "/ns/mnt";
  mounts_.reset(open(mounts.c_str(), O_RDONLY | O_CLOEXEC));
  root_ = std::move(root);
}

// The root of the task if it can be relied on; the number may have another owner by now.
UniqueFd PathCheck::root_of(pid_t tid) const {
  const std::string link = "/proc/" + std::to_string(tid) + "/root";
  UniqueFd root(open(link.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (stopped_) return root;
  struct stat about {};
  if (root && (fstat(root.get(), &about) != 0 || about.st_ino != root_object_.inode ||
               about.st_dev != root_object_.device))
    return {};
  return root_ ? UniqueFd(fcntl(root_.get(), F_DUPFD_CLOEXEC, 0)) : UniqueFd();
}

PathCheck::Answer PathCheck::look_up(const Event& call, std::size_t argument,
                                     const std::string& requested, const Object& used) {
  const UniqueFd root = root_of(call.tid);
  if (!root || (!stopped_ && !mounts_)) return Answer::unknown;
  const bool absolute = requested.front() == '/';
  std::string path = requested;
  if (!absolute) {
    // Relative to a directory that the caller may have left or closed meanwhile.
    const std::string base = base_of(call, argument);
    if (base.empty() || base.front() != '/') return Answer::unknown;
    path = below_root(base) + "/" + requested;
  }
  bool exists = false;
  for (const std::uint64_t flags : {std::uint64_t{0}, std::uint64_t{O_NOFOLLOW}}) {
    Object found;
    errno = 0;
    if (find(root.get(), path, flags, found)) {
      exists = true;
      found.path = below_root(std::move(found.path));
      if (found == used) {
        if (absolute && agreed_.size() >= most_agreed) agreed_.clear();
        if (absolute) agreed_.insert_or_assign(requested, used);
        return Answer::agrees;
      }
    } else if (errno != ENOENT && errno != ENOTDIR) {
      return Answer::unknown;
    }
  }
  // That a relative path is not there may as well mean that the directory is another one by now.
  return exists || absolute ? Answer::elsewhere : Answer::unknown;
}

int PathCheck::disagreement(const Event& call) {
  if (call.kind != EventKind::syscall || !call.has_exit || call.result < 0) return -1;
  const Capture* asked = nullptr;
  const Capture* identity = nullptr;
  for (const Capture& capture : call.captures) {
    if (capture.kind == CaptureKind::path && asked == nullptr) asked = &capture;
    if (capture.kind == CaptureKind::file_identity && capture.argument == result_argument)
      identity = &capture;
  }
  if (asked == nullptr || identity == nullptr || asked->truncated || asked->bytes.empty() ||
      asked->provenance == Provenance::missing)
    return -1;
  const std::string_view named = identity_path(*identity);
  if (named.empty() || named == asked->bytes) return -1;
  const std::string normal = join_path("/", asked->bytes);
  const bool absolute = asked->bytes.front() == '/';
  if (absolute ? named == normal : named.ends_with(normal)) return -1;
  if (depends_on_caller(normal) || depends_on_caller(named) || is_temporary(named)) return -1;
  FileIdentity facts{};
  std::memcpy(&facts, identity->bytes.data(), sizeof(facts));
  const Object used{facts.inode, makedev(facts.device_major, facts.device_minor),
                    std::string(named)};
  const std::string requested(asked->bytes);
  if (const auto known = agreed_.find(requested); known != agreed_.end() && known->second == used)
    return -1;
  return look_up(call, asked->argument, requested, used) == Answer::elsewhere ? asked->argument
                                                                              : -1;
}

std::string PathCheck::below_root(std::string path) const {
  const std::size_t prefix = root_object_.path.size() > 1 ? root_object_.path.size() : 0;
  if (path.compare(0, prefix, root_object_.path, 0, prefix) == 0) path.erase(0, prefix);
  return path;
}

std::string PathCheck::base_of(const Event& call, std::size_t argument) {
  std::string base = "/proc/" + std::to_string(call.tid) + "/cwd";
  const SyscallSpec* const spec = find_syscall(call.abi, call.number);
  if (spec != nullptr && argument > 0 &&
      spec->arguments[argument - 1].kind == ArgumentKind::dirfd &&
      static_cast<int>(call.args[argument - 1]) != AT_FDCWD)
    base = "/proc/" + std::to_string(call.tid) + "/fd/" +
           std::to_string(static_cast<int>(call.args[argument - 1]));
  return link_of(base);
}

bool PathCheck::may_change(const Event& call) {
  if (call.kind != EventKind::syscall || !call.has_exit || call.result < 0 ||
      call.verdict != Verdict::allowed || call.captures.empty())
    return false;
  const SyscallSpec* const spec = find_syscall(call.abi, call.number);
  if (spec == nullptr) return false;
  if (puts_links(spec->name)) straight_.clear();
  return std::any_of(spec->arguments.begin(), spec->arguments.begin() + spec->argument_count,
                     [](const ArgumentSpec& argument) {
                       return argument.kind == ArgumentKind::path && argument.mutates;
                     });
}

bool PathCheck::is_changed_name(const Event& call, const Capture& capture) {
  if (capture.kind != CaptureKind::path || capture.truncated || capture.bytes.empty() ||
      capture.provenance == Provenance::missing)
    return false;
  const SyscallSpec* const spec = find_syscall(call.abi, call.number);
  return spec != nullptr && capture.argument < spec->argument_count &&
         spec->arguments[capture.argument].mutates;
}

std::string PathCheck::through_links(const Event& call, std::size_t argument,
                                     const std::string& whole) {
  const std::string_view trimmed =
      std::string_view(whole).substr(0, whole.find_last_not_of('/') + 1);
  const std::size_t slash = trimmed.rfind('/');
  if (slash == std::string_view::npos) return {};
  const std::string name(trimmed.substr(slash + 1));
  if (name == "." || name == "..") return {};
  const std::string parent(trimmed.substr(0, slash + 1));
  const bool follows = follows_last(call, argument);
  if (depends_on_caller(whole) || (!follows && (parent == "/" || straight_.count(parent) != 0)))
    return {};
  const UniqueFd root = root_of(call.tid);
  if (!root || (!stopped_ && !mounts_)) return {};
  Object found;
  if (!find(root.get(), follows ? whole : parent, follows ? 0 : O_DIRECTORY, found)) return {};
  std::string path = below_root(std::move(found.path));
  // A directory that has been removed since has this behind its name.
  if (!path.starts_with('/') || path.ends_with(deleted)) return {};
  if (!follows) {
    if (path == join_path("/", parent)) {
      if (straight_.size() >= most_agreed) straight_.clear();
      straight_.insert(parent);
      return {};
    }
    path += (path.ends_with('/') ? "" : "/") + name;
  }
  return path == join_path("/", whole) ? std::string() : path;
}

Capture looked_up_capture(std::uint8_t argument, std::string_view path) {
  Capture capture;
  capture.argument = argument;
  capture.kind = CaptureKind::absolute_path;
  capture.provenance = Provenance::exit;
  capture.bytes = path;
  capture.full_length = static_cast<std::uint32_t>(path.size());
  return capture;
}

Event disagreement_event(const Event& call, int argument) {
  Event event = call;
  event.kind = EventKind::path_disagreement;
  event.args = {static_cast<std::uint64_t>(argument)};
  event.result = 0;
  event.duration_ns = 0;
  event.has_enter = true;
  event.has_exit = true;
  return event;
}

}  // namespace gyges::recorder
