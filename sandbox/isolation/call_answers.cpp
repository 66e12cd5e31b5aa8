#include "sandbox/isolation/call_answers.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace gyges::isolation {
namespace {

Answer leave_to_kernel() {
  return {true, 0, 0};
}

// Of a caller that is gone the kernel takes no answer.
Answer written(int error) {
  return error == ESRCH ? leave_to_kernel() : Answer{false, 0, error};
}

void put(char (&field)[65], std::string_view text) {
  const std::size_t length = std::min(text.size(), sizeof(field) - 1);
  std::memcpy(field, text.data(), length);
}

Answer answer_uname(const Emulation& emulation, const seccomp_notif& call, CallerMemory& memory) {
  utsname name{};
  put(name.sysname, "Linux");
  put(name.nodename, emulation.hostname);
  put(name.release, emulation.release);
  put(name.version, emulation.version);
  put(name.machine, "x86_64");
  put(name.domainname, "(none)");
  return written(memory.write(call, call.data.args[0], &name, sizeof(name)));
}

Answer answer_sysinfo(const Emulation& emulation, const OwnUse& use, const seccomp_notif& call,
                      CallerMemory& memory) {
  const struct sysinfo info = emulation.sysinfo(use);
  return written(memory.write(call, call.data.args[0], &info, sizeof(info)));
}

// sched_getaffinity(2): the mask's bytes are the result. Of other processes the kernel tells.
Answer answer_affinity(const Emulation& emulation, const seccomp_notif& notified,
                       CallerMemory& memory) {
  const seccomp_data& call = notified.data;
  if (static_cast<pid_t>(call.args[0]) != 0) return leave_to_kernel();
  std::uint64_t mask = 0;
  for (std::uint32_t i = 0; i < emulation.processors; ++i) mask |= 1ULL << i;
  const auto room = static_cast<std::uint32_t>(call.args[1]);
  if (room < sizeof(mask) || room % sizeof(mask) != 0) return {false, 0, EINVAL};
  Answer answer = written(memory.write(notified, call.args[2], &mask, sizeof(mask)));
  answer.value = sizeof(mask);
  return answer;
}

// The mount of the longest point that a path is at or below.
const ShownMount* mount_of(const Emulation& emulation, std::string_view path) {
  const ShownMount* found = nullptr;
  for (const ShownMount& mount : emulation.mounts) {
    const std::string_view point = mount.point;
    const bool below =
        point == "/" || path == point || (path.starts_with(point) && path[point.size()] == '/');
    if (below && (found == nullptr || point.size() > found->point.size())) found = &mount;
  }
  return found;
}

// Which mount a call of statfs(2) or fstatfs(2) means; null: the kernel is to answer.
const ShownMount* mount_meant(const Emulation& emulation, pid_t tid, const seccomp_data& call,
                              CallerPaths& paths) {
  std::optional<std::string> path;
  if (call.nr == SYS_fstatfs) {
    path = paths.resolve(tid, static_cast<int>(call.args[0]), ".");
    if (path && path->starts_with("/memfd:")) return nullptr;
  } else if (auto text = CallerPaths::text(tid, call.args[0])) {
    // What is not there is the kernel's to say.
    path = paths.existing(tid, *text);
  }
  return path ? mount_of(emulation, *path) : nullptr;
}

Answer answer_statfs(const Emulation& emulation, const seccomp_notif& call, CallerMemory& memory,
                     CallerPaths& paths) {
  const ShownMount* mount = mount_meant(emulation, static_cast<pid_t>(call.pid), call.data, paths);
  if (mount == nullptr || mount->type == 0) return leave_to_kernel();
  struct statfs info {};
  info.f_type = static_cast<decltype(info.f_type)>(mount->type);
  info.f_bsize = info.f_frsize = 4096;
  info.f_blocks = mount->bytes / 4096;
  info.f_bfree = mount->free / 4096;
  // Whichever part of the disk is mounted there: of files of the host in a container, too.
  const bool disk = mount->type == EXT4_SUPER_MAGIC || mount->type == OVERLAYFS_SUPER_MAGIC;
  info.f_bavail = info.f_bfree - (disk ? info.f_blocks / 20 : 0);
  info.f_files = mount->inodes > 0 ? mount->inodes : mount->bytes / 4096;
  const std::uint64_t used = mount->inodes_used > 0 ? mount->inodes_used : 9;
  info.f_ffree = info.f_files - std::min<std::uint64_t>(info.f_files, used);
  info.f_namelen = 255;
  info.f_flags = mount->flags | 0x20;  // ST_VALID, which the C library does not name
  return written(memory.write(call, call.data.args[1], &info, sizeof(info)));
}

Answer answer_prctl(const ShownState& state, const seccomp_data& call) {
  switch (call.args[0]) {
    case PR_GET_SECCOMP:
      return {false, state.seccomp, 0};
    case PR_GET_NO_NEW_PRIVS:
      if (call.args[1] != 0 || call.args[2] != 0 || call.args[3] != 0 || call.args[4] != 0)
        return {false, 0, EINVAL};
      return {false, state.no_new_privs, 0};
    default:  // PR_CAPBSET_READ; what the kernel does not know, it says
      if (call.args[1] > 40) return leave_to_kernel();
      return {false, static_cast<std::int64_t>(state.bounding >> call.args[1] & 1U), 0};
  }
}

// An open for reading: a generated file, or the kernel's.
Answer answer_open(pid_t tid, const seccomp_data& call, CallerPaths& paths, ProcessFiles& files) {
  const bool plain = call.nr == SYS_open;
  const std::uint64_t address = call.args[plain ? 0 : 1];
  const int directory = plain ? AT_FDCWD : static_cast<int>(call.args[0]);
  std::optional<std::string> path = CallerPaths::text(tid, address);
  if (!path || path->empty()) return leave_to_kernel();
  std::uint64_t flags = call.args[plain ? 1 : 2];
  if (call.nr == SYS_openat2) {
    open_how how{};
    if (call.args[3] < sizeof(how)) return leave_to_kernel();
    iovec here{&how, sizeof(how)};
    iovec there{reinterpret_cast<void*>(call.args[2]), sizeof(how)};
    if (::process_vm_readv(tid, &here, 1, &there, 1, 0) != sizeof(how)) return leave_to_kernel();
    if ((how.resolve & RESOLVE_IN_ROOT) != 0) path->erase(0, path->find_first_not_of('/'));
    if (path->empty()) return leave_to_kernel();
    // What such a restriction refuses, the kernel has to refuse; what it lets through is named
    // from its directory, or, where links alone are refused, by a name that has none.
    const bool absolute = path->front() == '/' || path->find("..") != std::string::npos;
    const bool by_name =
        (how.resolve & ~std::uint64_t{RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS}) == 0 &&
        files.is_fixed(*path);
    if ((how.flags & unanswered_opens) != 0 ||
        (how.resolve != 0 && (!files.may_name(*path) || (absolute && !by_name))))
      return leave_to_kernel();
    flags = how.flags;
  }
  // That it is there already is the kernel's to say.
  if ((flags & O_CREAT) != 0 && (flags & O_EXCL) != 0) return leave_to_kernel();
  Answer answer = leave_to_kernel();
  if (auto file = files.open(tid, directory, std::move(*path), (flags & O_NOFOLLOW) == 0, paths)) {
    answer = {false, 0, 0, std::move(*file), (flags & O_CLOEXEC) != 0};
  }
  return answer;
}

// "pid:[4026531836]": the numbers of a machine's first namespaces are fixed (linux/proc_ns.h),
// those of mnt and net are not, but come out so on most machines. Containers share two of them.
std::string first_namespace(std::string_view name, Emulation::Namespaces which) {
  struct Row {
    std::string_view file, kind;
    std::uint32_t number;
    bool shared = false;
  };
  static constexpr std::array rows{Row{"time", "time", 0xEFFFFFFA, true},
                                   Row{"time_for_children", "time", 0xEFFFFFFA, true},
                                   Row{"cgroup", "cgroup", 0xEFFFFFFB},
                                   Row{"pid", "pid", 0xEFFFFFFC},
                                   Row{"pid_for_children", "pid", 0xEFFFFFFC},
                                   Row{"user", "user", 0xEFFFFFFD, true},
                                   Row{"uts", "uts", 0xEFFFFFFE},
                                   Row{"ipc", "ipc", 0xEFFFFFFF},
                                   Row{"net", "net", 0xF0000000},
                                   Row{"mnt", "mnt", 0xF0000001}};
  for (const Row& row : rows)
    if (row.file == name && (row.shared || which == Emulation::Namespaces::machines))
      return fmt::format("{}:[{}]", row.kind, row.number);
  return {};
}

// Made by the kernel. Its target is remembered for the opens that come.
Answer note_symlink(const seccomp_notif& call, ProcessFiles& files) {
  if (const auto target = CallerPaths::text(static_cast<pid_t>(call.pid), call.data.args[0]))
    files.note_link(*target);
  return leave_to_kernel();
}

Answer answer_readlink(const seccomp_notif& notified, CallerMemory& memory, CallerPaths& paths,
                       Emulation::Namespaces which) {
  const seccomp_data& call = notified.data;
  const auto tid = static_cast<pid_t>(notified.pid);
  const bool plain = call.nr == SYS_readlink;
  const auto* args = call.args + (plain ? 0 : 1);
  const std::optional<std::string> path = CallerPaths::text(tid, args[0]);
  if (!path || path->empty()) return leave_to_kernel();
  const std::string text =
      first_namespace(std::string_view(*path).substr(path->rfind('/') + 1), which);
  if (text.empty()) return leave_to_kernel();
  const std::optional<std::string> whole =
      paths.resolve(tid, plain ? AT_FDCWD : static_cast<int>(call.args[0]), *path);
  const std::optional<ProcessPath> file = whole ? process_path(*whole) : std::nullopt;
  // The links of other users' processes are the kernel's to refuse.
  if (!file || !file->name.starts_with("ns/") || !paths.same_user(tid, file->process))
    return leave_to_kernel();
  const std::size_t length =
      std::min<std::size_t>(text.size(), static_cast<std::uint32_t>(args[2]));
  if (length == 0) return leave_to_kernel();
  Answer answer = written(memory.write(notified, args[1], text.data(), length));
  answer.value = static_cast<std::int64_t>(length);
  return answer;
}

}  // namespace

CallAnswers::CallAnswers(std::shared_ptr<const Emulation> emulation,
                         std::shared_ptr<const SharedUse> use)
    : emulation_(std::move(emulation)), use_(std::move(use)) {}

void CallAnswers::make_files_in(UniqueFd directory) {
  if (emulation_->answers_opens())
    files_ = std::make_unique<ProcessFiles>(emulation_, use_, std::move(directory));
}

Answer CallAnswers::to(const seccomp_notif& call, int listener, CallerMemory& memory) {
  switch (call.data.nr) {
    case SYS_prctl:  // the filter lets only the questions through
      return answer_prctl(*emulation_->state, call.data);
    case SYS_uname:
      return answer_uname(*emulation_, call, memory);
    case SYS_sysinfo:
      return answer_sysinfo(*emulation_, use_->get(), call, memory);
    case SYS_sched_getaffinity:
      return answer_affinity(*emulation_, call, memory);
    default:
      return with_paths(call, listener, memory);
  }
}

Answer CallAnswers::with_paths(const seccomp_notif& call, int listener, CallerMemory& memory) {
  std::scoped_lock lock(mutex_);
  const auto tid = static_cast<pid_t>(call.pid);
  const bool held = paths_.hold_root(tid, [&] {
    std::uint64_t id = call.id;
    return ::ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
  });
  if (!held) return leave_to_kernel();
  switch (call.data.nr) {
    case SYS_open:
    case SYS_openat:
    case SYS_openat2:
      return files_ ? answer_open(tid, call.data, paths_, *files_) : leave_to_kernel();
    case SYS_symlink:
    case SYS_symlinkat:
      return files_ ? note_symlink(call, *files_) : leave_to_kernel();
    case SYS_readlink:
    case SYS_readlinkat:
      return answer_readlink(call, memory, paths_, emulation_->namespaces);
    case SYS_statfs:
    case SYS_fstatfs:
      return answer_statfs(*emulation_, call, memory, paths_);
    default:
      return leave_to_kernel();
  }
}

}  // namespace gyges::isolation
