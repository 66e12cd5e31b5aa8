#include "sandbox/isolation/emulation.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

namespace gyges::isolation {
namespace {

// Fixed by the kernel's interface (linux/seccomp.h); a kernel that knows more fills no more of it
// than the size in the request's number says.
constexpr std::size_t reply_room = 128;

struct Answer {
  bool by_kernel = false;  // the kernel executes the call
  std::int64_t value = 0;
  int error = 0;  // errno value
};
constexpr Answer by_kernel{true, 0, 0};

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
  if (static_cast<pid_t>(call.args[0]) != 0) return by_kernel;
  std::uint64_t mask = 0;
  for (std::uint32_t i = 0; i < emulation.processors; ++i) mask |= 1ULL << i;
  const auto room = static_cast<std::uint32_t>(call.args[1]);
  if (room < sizeof(mask) || room % sizeof(mask) != 0) return {false, 0, EINVAL};
  Answer answer = written(memory.write(call.args[2], &mask, sizeof(mask)));
  answer.value = sizeof(mask);
  return answer;
}

Answer answer_statfs(const Emulation& emulation, const seccomp_data& call,
                     const CallerMemory& memory) {
  std::array<char, 2> path{};
  if (memory.read(call.args[0], path.data(), path.size()) != 2 || path[0] != '/' || path[1] != '\0')
    return by_kernel;
  struct statfs info {};
  info.f_type = static_cast<decltype(info.f_type)>(emulation.root_type);
  info.f_bsize = info.f_frsize = 4096;
  info.f_blocks = emulation.root_bytes / 4096;
  info.f_bfree = emulation.root_free / 4096;
  info.f_bavail = info.f_bfree - info.f_blocks / 20;
  info.f_files = emulation.root_bytes / 16384;
  info.f_ffree = info.f_files - info.f_files / 17;
  info.f_namelen = 255;
  info.f_flags = 0x1000 | 0x20;  // ST_RELATIME and ST_VALID, which the C library does not name
  return written(memory.write(call.args[1], &info, sizeof(info)));
}

Answer answer_call(const Emulation& emulation, int listener, const seccomp_notif& call) {
  const seccomp_data& data = call.data;
  if (data.nr == SYS_prctl) return {};  // the filter lets only the two questions through
  CallerMemory memory(listener, call);
  if (!memory.valid()) return by_kernel;
  switch (data.nr) {
    case SYS_uname:
      return answer_uname(emulation, data, memory);
    case SYS_sysinfo:
      return answer_sysinfo(emulation, data, memory);
    case SYS_sched_getaffinity:
      return answer_affinity(emulation, data, memory);
    case SYS_statfs:
      return answer_statfs(emulation, data, memory);
    default:
      return by_kernel;
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
  return {"uname", "sysinfo", "affinity", "statfs", "prctl"};
}

std::string emulation_program(const Emulation& emulation) {
  std::vector<std::uint32_t> calls;
  if (!emulation.release.empty()) calls.push_back(SYS_uname);
  if (emulation.sysinfo) calls.push_back(SYS_sysinfo);
  if (emulation.processors > 0) calls.push_back(SYS_sched_getaffinity);
  if (emulation.root_type != 0) calls.push_back(SYS_statfs);
  const unsigned load = BPF_LD | BPF_W | BPF_ABS;
  const unsigned equal = BPF_JMP | BPF_JEQ | BPF_K;
  const sock_filter allow = statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  const sock_filter notify = statement(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
  std::vector<sock_filter> program;
  program.push_back(statement(load, offsetof(seccomp_data, arch)));
  program.push_back(jump(equal, AUDIT_ARCH_X86_64, 1, 0));
  program.push_back(allow);
  program.push_back(statement(load, offsetof(seccomp_data, nr)));
  for (std::uint32_t number : calls) {
    program.push_back(jump(equal, number, 0, 1));
    program.push_back(notify);
  }
  if (emulation.no_filter) {
    program.push_back(jump(equal, SYS_prctl, 0, 4));
    program.push_back(statement(load, offsetof(seccomp_data, args)));
    program.push_back(jump(equal, PR_GET_SECCOMP, 1, 0));
    program.push_back(jump(equal, PR_GET_NO_NEW_PRIVS, 0, 1));
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
  const Answer result = answer_call(*emulation_, listener, *call);
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
