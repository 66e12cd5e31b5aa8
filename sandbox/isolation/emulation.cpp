#include "sandbox/isolation/emulation.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
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
#include <cstddef>
#include <cstring>

#include "sandbox/isolation/caller_path.h"
#include "sandbox/isolation/process_files.h"

namespace gyges::isolation {
namespace {

// Fixed by the kernel's interface (linux/seccomp.h); a kernel that knows more fills no more of it
// than the size in the request's number says.
constexpr std::size_t reply_room = 128;

struct Answer {
  bool by_kernel = false;  // the kernel executes the call
  std::int64_t value = 0;
  int error = 0;               // errno value
  UniqueFd file = UniqueFd();  // the caller gets it, and its number for an answer
  bool close_on_exec = false;
};
Answer leave_to_kernel() {
  return {true, 0, 0};
}

// Newer than some kernels' headers.
struct AddFile {  // struct seccomp_notif_addfd
  std::uint64_t id = 0;
  std::uint32_t flags = 0, from = 0, to = 0, to_flags = 0;
};
constexpr std::uint32_t add_and_send = 2;  // SECCOMP_ADDFD_FLAG_SEND, Linux 5.14
constexpr unsigned long add_request = SECCOMP_IOW(3, AddFile);
// SECCOMP_IOCTL_NOTIF_SET_FLAGS with SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, Linux 6.6: caller and
// supervisor take turns on one processor.
constexpr unsigned long flags_request = SECCOMP_IOW(4, std::uint64_t);
constexpr std::uint64_t take_turns = 1;

// Opens that may read a file of procfs; others are not answered and keep their speed.
constexpr std::uint32_t other_opens =
    O_WRONLY | O_RDWR | O_CREAT | O_DIRECTORY | O_PATH | O_TRUNC | O_APPEND;

// The caller's memory, held by descriptor: it stays that of the process which made the call, even
// where its number is taken by another meanwhile.
class CallerMemory {
 public:
  // Invalid where the caller is gone; the listener is asked after the descriptor is there.
  CallerMemory(int listener, const seccomp_notif& call)
      : file_(::open(fmt::format("/proc/{}/mem", call.pid).c_str(), O_RDWR | O_CLOEXEC)) {
    std::uint64_t id = call.id;
    if (file_ && ::ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) != 0) file_.reset();
  }
  [[nodiscard]] bool valid() const { return static_cast<bool>(file_); }

  // 0, or EFAULT as the kernel would have it.
  [[nodiscard]] int write(std::uint64_t address, const void* bytes, std::size_t size) const {
    return ::pwrite(file_.get(), bytes, size, static_cast<off_t>(address)) ==
                   static_cast<ssize_t>(size)
               ? 0
               : EFAULT;
  }
  // At most size bytes up to the end of what is mapped; -1 where nothing is.
  [[nodiscard]] ssize_t read(std::uint64_t address, void* bytes, std::size_t size) const {
    return ::pread(file_.get(), bytes, size, static_cast<off_t>(address));
  }

 private:
  UniqueFd file_;
};

Answer written(int error) {
  return {false, 0, error};
}

void put(char (&field)[65], std::string_view text) {
  const std::size_t length = std::min(text.size(), sizeof(field) - 1);
  std::memcpy(field, text.data(), length);
}

Answer answer_uname(const Emulation& emulation, const seccomp_data& call,
                    const CallerMemory& memory) {
  utsname name{};
  put(name.sysname, "Linux");
  put(name.nodename, emulation.hostname);
  put(name.release, emulation.release);
  put(name.version, emulation.version);
  put(name.machine, "x86_64");
  put(name.domainname, "(none)");
  return written(memory.write(call.args[0], &name, sizeof(name)));
}

Answer answer_sysinfo(const Emulation& emulation, const seccomp_data& call,
                      const CallerMemory& memory) {
  const struct sysinfo info = emulation.sysinfo();
  return written(memory.write(call.args[0], &info, sizeof(info)));
}

// sched_getaffinity(2): the mask's bytes are the result. Of other processes the kernel tells.
Answer answer_affinity(const Emulation& emulation, const seccomp_data& call,
                       const CallerMemory& memory) {
  if (static_cast<pid_t>(call.args[0]) != 0) return leave_to_kernel();
  std::uint64_t mask = 0;
  for (std::uint32_t i = 0; i < emulation.processors; ++i) mask |= 1ULL << i;
  const auto room = static_cast<std::uint32_t>(call.args[1]);
  if (room < sizeof(mask) || room % sizeof(mask) != 0) return {false, 0, EINVAL};
  Answer answer = written(memory.write(call.args[2], &mask, sizeof(mask)));
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

Answer answer_statfs(const Emulation& emulation, pid_t tid, const seccomp_data& call,
                     const CallerMemory& memory, CallerPaths& paths) {
  std::optional<std::string> path;
  if (call.nr == SYS_fstatfs) {
    path = paths.resolve(tid, static_cast<int>(call.args[0]), ".");
    if (path && path->starts_with("/memfd:")) return leave_to_kernel();
  } else if (auto text = CallerPaths::text(tid, call.args[0])) {
    path = paths.resolve(tid, AT_FDCWD, *text);
    // What is not there is the kernel's to say.
    if (path && !paths.exists(tid, *path)) return leave_to_kernel();
  }
  const ShownMount* mount = path ? mount_of(emulation, *path) : nullptr;
  if (mount == nullptr || mount->type == 0) return leave_to_kernel();
  struct statfs info {};
  info.f_type = static_cast<decltype(info.f_type)>(mount->type);
  info.f_bsize = info.f_frsize = 4096;
  info.f_blocks = mount->bytes / 4096;
  info.f_bfree = mount->free / 4096;
  const bool disk = mount->point == "/";
  info.f_bavail = info.f_bfree - (disk ? info.f_blocks / 20 : 0);
  info.f_files = mount->bytes / (disk ? 16384 : 4096);
  info.f_ffree = info.f_files - std::min(info.f_files, disk ? info.f_files / 17 : 9);
  info.f_namelen = 255;
  info.f_flags = mount->flags | 0x20;  // ST_VALID, which the C library does not name
  return written(memory.write(call.args[1], &info, sizeof(info)));
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
    if (call.args[3] < sizeof(how) || !files.may_name(*path)) return leave_to_kernel();
    iovec here{&how, sizeof(how)};
    iovec there{reinterpret_cast<void*>(call.args[2]), sizeof(how)};
    if (::process_vm_readv(tid, &here, 1, &there, 1, 0) != sizeof(how)) return leave_to_kernel();
    // What such a restriction refuses, the kernel has to refuse; what it lets through is named
    // from its directory.
    const bool absolute = path->front() == '/' || path->find("..") != std::string::npos;
    if ((how.flags & other_opens) != 0 || (how.resolve != 0 && absolute)) return leave_to_kernel();
    flags = how.flags;
  }
  Answer answer = leave_to_kernel();
  if (auto file = files.open(tid, directory, std::move(*path), (flags & O_NOFOLLOW) == 0, paths)) {
    answer = {false, 0, 0, std::move(*file), (flags & O_CLOEXEC) != 0};
  }
  return answer;
}

// "pid:[4026531836]": the numbers of a machine's first namespaces are fixed (linux/proc_ns.h),
// those of mnt and net are not, but come out so on most machines.
std::string first_namespace(std::string_view name) {
  struct Row {
    std::string_view file, kind;
    std::uint32_t number;
  };
  static constexpr std::array rows{Row{"time", "time", 0xEFFFFFFA},
                                   Row{"time_for_children", "time", 0xEFFFFFFA},
                                   Row{"cgroup", "cgroup", 0xEFFFFFFB},
                                   Row{"pid", "pid", 0xEFFFFFFC},
                                   Row{"pid_for_children", "pid", 0xEFFFFFFC},
                                   Row{"user", "user", 0xEFFFFFFD},
                                   Row{"uts", "uts", 0xEFFFFFFE},
                                   Row{"ipc", "ipc", 0xEFFFFFFF},
                                   Row{"net", "net", 0xF0000000},
                                   Row{"mnt", "mnt", 0xF0000001}};
  for (const Row& row : rows)
    if (row.file == name) return fmt::format("{}:[{}]", row.kind, row.number);
  return {};
}

Answer answer_readlink(pid_t tid, int listener, const seccomp_notif& notified, CallerPaths& paths) {
  const seccomp_data& call = notified.data;
  const bool plain = call.nr == SYS_readlink;
  const auto* args = call.args + (plain ? 0 : 1);
  const std::optional<std::string> path = CallerPaths::text(tid, args[0]);
  if (!path || path->empty()) return leave_to_kernel();
  const std::string text = first_namespace(std::string_view(*path).substr(path->rfind('/') + 1));
  if (text.empty()) return leave_to_kernel();
  const std::optional<std::string> whole =
      paths.resolve(tid, plain ? AT_FDCWD : static_cast<int>(call.args[0]), *path);
  const std::optional<ProcessPath> file = whole ? process_path(*whole) : std::nullopt;
  // The links of other users' processes are the kernel's to refuse.
  if (!file || !file->name.starts_with("ns/") || !paths.same_user(tid, file->process))
    return leave_to_kernel();
  const std::size_t length =
      std::min<std::size_t>(text.size(), static_cast<std::uint32_t>(args[2]));
  const CallerMemory memory(listener, notified);
  if (length == 0 || !memory.valid()) return leave_to_kernel();
  Answer answer = written(memory.write(args[1], text.data(), length));
  answer.value = static_cast<std::int64_t>(length);
  return answer;
}

Answer answer_call(const Emulation& emulation, int listener, const seccomp_notif& call,
                   CallerPaths& paths, ProcessFiles* files) {
  const seccomp_data& data = call.data;
  const auto tid = static_cast<pid_t>(call.pid);
  switch (data.nr) {
    case SYS_prctl:  // the filter lets only the questions through
      return answer_prctl(*emulation.state, data);
    case SYS_open:
    case SYS_openat:
    case SYS_openat2:
      return files != nullptr ? answer_open(tid, data, paths, *files) : leave_to_kernel();
    case SYS_readlink:
    case SYS_readlinkat:
      return answer_readlink(tid, listener, call, paths);
    default:
      break;
  }
  CallerMemory memory(listener, call);
  if (!memory.valid()) return leave_to_kernel();
  switch (data.nr) {
    case SYS_uname:
      return answer_uname(emulation, data, memory);
    case SYS_sysinfo:
      return answer_sysinfo(emulation, data, memory);
    case SYS_sched_getaffinity:
      return answer_affinity(emulation, data, memory);
    case SYS_statfs:
    case SYS_fstatfs:
      return answer_statfs(emulation, tid, data, memory, paths);
    default:
      return leave_to_kernel();
  }
}

sock_filter statement(unsigned code, std::uint32_t value) {
  return {static_cast<__u16>(code), 0, 0, value};
}
sock_filter jump(unsigned code, std::uint32_t value, std::size_t yes, std::size_t no) {
  return {static_cast<__u16>(code), static_cast<__u8>(yes), static_cast<__u8>(no), value};
}

}  // namespace

std::vector<std::string> emulation_names() {
  return {"uname", "sysinfo", "affinity", "statfs", "prctl", "process_files", "namespaces"};
}

std::string emulation_program(const Emulation& emulation) {
  std::vector<std::uint32_t> calls;
  if (!emulation.release.empty()) calls.push_back(SYS_uname);
  if (emulation.sysinfo) calls.push_back(SYS_sysinfo);
  if (emulation.processors > 0) calls.push_back(SYS_sched_getaffinity);
  if (!emulation.mounts.empty()) calls.insert(calls.end(), {SYS_statfs, SYS_fstatfs});
  if (emulation.first_namespaces) calls.insert(calls.end(), {SYS_readlink, SYS_readlinkat});
  if (emulation.answers_opens()) calls.push_back(SYS_openat2);
  const unsigned load = BPF_LD | BPF_W | BPF_ABS;
  const unsigned equal = BPF_JMP | BPF_JEQ | BPF_K;
  const sock_filter allow = statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  const sock_filter notify = statement(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
  auto argument = [&](unsigned index) {  // its lower half
    return statement(load, static_cast<std::uint32_t>(offsetof(seccomp_data, args) + 8 * index));
  };
  std::vector<sock_filter> program;
  program.push_back(statement(load, offsetof(seccomp_data, arch)));
  program.push_back(jump(equal, AUDIT_ARCH_X86_64, 1, 0));
  program.push_back(allow);
  program.push_back(statement(load, offsetof(seccomp_data, nr)));
  for (std::uint32_t number : calls) {
    program.push_back(jump(equal, number, 0, 1));
    program.push_back(notify);
  }
  if (emulation.answers_opens())
    for (auto [number, flags] :
         {std::pair<std::uint32_t, unsigned>{SYS_open, 1}, {SYS_openat, 2}}) {
      program.push_back(jump(equal, number, 0, 4));
      program.push_back(argument(flags));
      program.push_back(jump(BPF_JMP | BPF_JSET | BPF_K, other_opens, 0, 1));
      program.push_back(allow);
      program.push_back(notify);
    }
  if (emulation.state) {
    program.push_back(jump(equal, SYS_prctl, 0, 5));
    program.push_back(argument(0));
    program.push_back(jump(equal, PR_GET_SECCOMP, 2, 0));
    program.push_back(jump(equal, PR_GET_NO_NEW_PRIVS, 1, 0));
    program.push_back(jump(equal, PR_CAPBSET_READ, 0, 1));
    program.push_back(notify);
  }
  program.push_back(allow);
  return {reinterpret_cast<const char*>(program.data()), program.size() * sizeof(sock_filter)};
}

void Emulator::answer(int listener) {
  alignas(8) std::array<char, sizeof(seccomp_notif) + reply_room> room{};
  auto* call = reinterpret_cast<seccomp_notif*>(room.data());
  // ENOENT: the caller is gone, or was interrupted before this.
  if (::ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, call) != 0) return;
  const bool held = paths_->hold_root(static_cast<pid_t>(call->pid), [&] {
    std::uint64_t id = call->id;
    return ::ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
  });
  if (!held) return;
  Answer result = answer_call(*emulation_, listener, *call, *paths_, files_.get());
  if (result.file) {
    AddFile add;
    add.id = call->id;
    add.flags = add_and_send;
    add.from = static_cast<std::uint32_t>(result.file.get());
    add.to_flags = result.close_on_exec ? O_CLOEXEC : 0;
    if (::ioctl(listener, add_request, &add) >= 0 || errno == ENOENT) return;
    // The caller's table is full, which it is told; a kernel that cannot do it opens its own file.
    result.error = errno;
    result.by_kernel = errno != EMFILE;
  }
  alignas(8) std::array<char, sizeof(seccomp_notif_resp) + reply_room> reply_bytes{};
  auto* reply = reinterpret_cast<seccomp_notif_resp*>(reply_bytes.data());
  reply->id = call->id;
  if (result.by_kernel) {
    reply->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
  } else {
    reply->val = result.error == 0 ? result.value : 0;
    reply->error = -result.error;
  }
  // ENOENT again: nobody waits any more. A call that is made anew comes as a new notification.
  (void)::ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, reply);
}

Emulator::Emulator(std::shared_ptr<const Emulation> emulation)
    : emulation_(std::move(emulation)), paths_(std::make_unique<CallerPaths>()) {}

void Emulator::make_files_in(UniqueFd directory) {
  if (emulation_->answers_opens())
    files_ = std::make_unique<ProcessFiles>(emulation_, std::move(directory));
}

// With its descriptor it leaves the set by itself.
void Emulator::forget(int listener) {
  std::scoped_lock lock(mutex_);
  std::erase_if(listeners_, [&](const UniqueFd& fd) { return fd.get() == listener; });
}

void Emulator::serve() {
  std::array<epoll_event, 16> events{};
  for (;;) {
    const int ready = ::epoll_wait(poll_.get(), events.data(), events.size(), -1);
    for (int i = 0; i < ready; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      const int fd = event.data.fd;
      if (fd == wake_.get()) return;
      if ((event.events & EPOLLIN) != 0)
        answer(fd);
      else if ((event.events & (EPOLLHUP | EPOLLERR)) != 0)
        forget(fd);  // the last process under this filter is gone
    }
  }
}

Result<std::unique_ptr<Emulator>> Emulator::start(std::shared_ptr<const Emulation> emulation) {
  std::unique_ptr<Emulator> emulator(new Emulator(std::move(emulation)));
  emulator->poll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  emulator->wake_.reset(::eventfd(0, EFD_CLOEXEC));
  if (!emulator->poll_ || !emulator->wake_) return fail_errno("make", "emulator of system calls");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = emulator->wake_.get();
  if (::epoll_ctl(emulator->poll_.get(), EPOLL_CTL_ADD, event.data.fd, &event) != 0)
    return fail_errno("wait for", "end of the emulator");
  // Signals are for the caller's threads.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  emulator->thread_ = std::thread([self = emulator.get()] { self->serve(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return emulator;
}

Status Emulator::add(UniqueFd listener) {
  (void)::ioctl(listener.get(), flags_request, take_turns);  // quicker where the kernel has it
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = listener.get();
  if (::epoll_ctl(poll_.get(), EPOLL_CTL_ADD, listener.get(), &event) != 0)
    return fail_errno("wait for", "system calls to emulate");
  std::scoped_lock lock(mutex_);
  listeners_.push_back(std::move(listener));
  return ok();
}

Emulator::~Emulator() {
  const std::uint64_t one = 1;
  if (wake_) (void)!::write(wake_.get(), &one, sizeof(one));
  if (thread_.joinable()) thread_.join();
}

}  // namespace gyges::isolation
