#include "sandbox/isolation/emulator.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>

#include <array>
#include <cerrno>
#include <cstdio>

#include "sandbox/isolation/call_answers.h"

namespace gyges::isolation {
namespace {

// Fixed by the kernel's interface (linux/seccomp.h); a kernel that knows more fills no more of it
// than the size in the request's number says.
constexpr std::size_t reply_room = 128;
constexpr std::size_t stack_bytes = 512U << 10U;

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

// Whether who waits for a call is woken when the last process under the filter ends: Linux 6.11.
// Older kernels are asked by poll(2) first, which costs a microsecond a call.
bool waiting_ends_by_itself() {
  static const bool known = [] {
    utsname name{};
    unsigned major = 0, minor = 0;
    return ::uname(&name) == 0 && std::sscanf(name.release, "%u.%u", &major, &minor) == 2 &&
           (major > 6 || (major == 6 && minor >= 11));
  }();
  return known;
}

// Whether a call may come yet; waits at most `milliseconds`, -1: until one comes.
bool is_used(int listener, int milliseconds) {
  pollfd wait{listener, POLLIN, 0};
  const int ready = ::poll(&wait, 1, milliseconds);
  return ready <= 0 || (wait.revents & POLLIN) != 0 || (wait.revents & (POLLHUP | POLLERR)) == 0;
}

void send_answer(int listener, std::uint64_t id, const Answer& result) {
  int error = result.error;
  bool by_kernel = result.by_kernel;
  if (result.file) {
    AddFile add;
    add.id = id;
    add.flags = add_and_send;
    add.from = static_cast<std::uint32_t>(result.file.get());
    add.to_flags = result.close_on_exec ? O_CLOEXEC : 0;
    if (::ioctl(listener, add_request, &add) >= 0 || errno == ENOENT) return;
    // The caller's table is full, which it is told; a kernel that cannot do it opens its own file.
    error = errno;
    by_kernel = errno != EMFILE;
  }
  alignas(8) std::array<char, sizeof(seccomp_notif_resp) + reply_room> bytes{};
  auto* reply = reinterpret_cast<seccomp_notif_resp*>(bytes.data());
  reply->id = id;
  if (by_kernel) {
    reply->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
  } else {
    reply->val = error == 0 ? result.value : 0;
    reply->error = -error;
  }
  // ENOENT again: nobody waits any more. A call that is made anew comes as a new notification.
  (void)::ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, reply);
}

void serve(int listener, CallAnswers& answers) {
  CallerMemory memory(listener);
  for (;;) {
    if (!waiting_ends_by_itself() && !is_used(listener, -1)) return;
    alignas(8) std::array<char, sizeof(seccomp_notif) + reply_room> room{};
    auto* call = reinterpret_cast<seccomp_notif*>(room.data());
    if (::ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, call) != 0) {
      if (errno == EINTR) continue;
      // The caller is gone or was interrupted before this, or all of them are gone.
      if (errno == ENOENT && is_used(listener, 0)) continue;
      return;
    }
    send_answer(listener, call->id, answers.to(*call, listener, memory));
  }
}

}  // namespace

struct Emulator::Worker {
  UniqueFd listener;
  CallAnswers* answers = nullptr;
  pthread_t thread{};
  std::atomic<bool> ended = false;

  static void* run(void* self) {
    auto* worker = static_cast<Worker*>(self);
    serve(worker->listener.get(), *worker->answers);
    worker->ended = true;
    return nullptr;
  }
};

Emulator::Emulator(std::shared_ptr<const Emulation> emulation, std::shared_ptr<const SharedUse> use)
    : answers_(std::make_unique<CallAnswers>(std::move(emulation), std::move(use))) {}

void Emulator::make_files_in(UniqueFd directory) {
  answers_->make_files_in(std::move(directory));
}

void Emulator::join_ended() {
  std::erase_if(workers_, [](const std::unique_ptr<Worker>& worker) {
    if (!worker->ended) return false;
    ::pthread_join(worker->thread, nullptr);
    return true;
  });
}

Status Emulator::add(UniqueFd listener) {
  (void)::ioctl(listener.get(), flags_request, take_turns);  // quicker where the kernel has it
  std::scoped_lock lock(mutex_);
  join_ended();
  auto worker = std::make_unique<Worker>();
  worker->listener = std::move(listener);
  worker->answers = answers_.get();
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setstacksize(&attributes, stack_bytes);
  // Signals are for the caller's threads.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const int code = ::pthread_create(&worker->thread, &attributes, &Worker::run, worker.get());
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::pthread_attr_destroy(&attributes);
  if (code != 0)
    return fail_errno("start", "thread that answers system calls", code,
                      "lower the number of parallel runs, or raise the limit of threads "
                      "(ulimit -u, the cgroup's pids.max)");
  workers_.push_back(std::move(worker));
  return ok();
}

Emulator::~Emulator() {
  for (const auto& worker : workers_) ::pthread_join(worker->thread, nullptr);
}

}  // namespace gyges::isolation
