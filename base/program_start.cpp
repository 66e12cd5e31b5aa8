#include "base/program_start.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <utility>

namespace gyges {
namespace {

constexpr std::size_t stack_bytes = 32U << 10U;
constexpr long first_descriptor = 3;

// A debugger takes its breakpoints out of memory that a child shares only for a child of vfork(2);
// any other would die of them. And what sanitizers know of a thread is not for two at a time.
#if defined(NDEBUG) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
constexpr int for_debuggers = 0;
#else
constexpr int for_debuggers = CLONE_VFORK;
#endif

// The child runs beside us in our memory, thread-local storage included: the C library's functions
// would share errno and the state of cancellation with the thread that started it.
long call(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0) {
  long result = 0;
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
               : "rcx", "r11", "memory");
  return result;
}

long address(const void* what) {
  return reinterpret_cast<long>(what);
}

// A process in a fresh user namespace holds all capabilities there until it executes a program as a
// user other than 0; the ambient set carries them over. 0 or a negative errno.
long raise_ambient_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  if (long code = call(SYS_capget, address(&header), address(data)); code < 0) return code;
  data[0].inheritable = data[0].permitted;
  data[1].inheritable = data[1].permitted;
  if (long code = call(SYS_capset, address(&header), address(data)); code < 0) return code;
  for (long capability = 0; capability < 64; ++capability) {
    if ((data[capability / 32].permitted >> (capability % 32) & 1U) == 0) continue;
    if (long code = call(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability); code < 0)
      return code;
  }
  return 0;
}

}  // namespace

struct StartedProgram::Birth {
  ProgramStartRequest request;
  std::vector<char*> argv;
  std::vector<long> moved;
  std::unique_ptr<char[]> stack = std::make_unique_for_overwrite<char[]>(stack_bytes);
  // Cleared, and its waiters woken, by the kernel when the child has left our memory.
  std::atomic<pid_t> here = 1;
  int code = 0;  // the child's, when it fails
  const pid_t parent = ::getpid();

  long prepare_descriptors() {
    // They may stand in each other's target place: moved up first, past every target.
    const long above = first_descriptor + static_cast<long>(request.descriptors.size());
    for (std::size_t i = 0; i < moved.size(); ++i) {
      if (request.descriptors[i] < 0) continue;
      moved[i] = call(SYS_fcntl, request.descriptors[i], F_DUPFD_CLOEXEC, above);
      if (moved[i] < 0) return moved[i];
    }
    const long image = call(SYS_fcntl, request.executable, F_DUPFD_CLOEXEC, above);
    if (image < 0) return image;
    static constexpr char null_path[] = "/dev/null";
    const long null = call(SYS_open, address(null_path), O_RDWR | O_CLOEXEC);
    if (null < 0) return null;
    for (long fd : {0, 1, 2})
      if (long failure = call(SYS_dup2, null, fd); failure < 0) return failure;
    if (long failure =
            call(SYS_close_range, first_descriptor, 0xffffffffL, 4 /* CLOSE_RANGE_CLOEXEC */);
        failure < 0)
      return failure;
    for (std::size_t i = 0; i < moved.size(); ++i) {
      if (request.descriptors[i] < 0) continue;
      if (long failure = call(SYS_dup2, moved[i], first_descriptor + static_cast<long>(i));
          failure < 0)
        return failure;
    }
    return image;
  }

  long execute() {
    const long image = prepare_descriptors();
    if (image < 0) return image;
    if (request.keep_capabilities)
      if (long failure = raise_ambient_capabilities(); failure < 0) return failure;
    char* const envp[] = {nullptr};
    return call(SYS_execveat, image, address(""), address(argv.data()), address(envp),
                AT_EMPTY_PATH);
  }

  static int child_main(void* argument) {
    auto* birth = static_cast<Birth*>(argument);
    birth->code = static_cast<int>(-birth->execute());
    call(SYS_exit, 127);
    return 127;
  }

  // In a process forked meanwhile nobody would clear the copy.
  void wait() const {
    if (parent != ::getpid()) return;
    for (pid_t now = here.load(); now != 0; now = here.load())
      ::syscall(SYS_futex, &here, FUTEX_WAIT, now, nullptr, nullptr, 0);
  }
};

StartedProgram::StartedProgram() = default;
StartedProgram::StartedProgram(StartedProgram&&) noexcept = default;

StartedProgram& StartedProgram::operator=(StartedProgram&& other) noexcept {
  if (birth_) birth_->wait();
  birth_ = std::move(other.birth_);
  pid_ = std::exchange(other.pid_, -1);
  pidfd_ = std::move(other.pidfd_);
  return *this;
}

StartedProgram::~StartedProgram() {
  if (birth_) birth_->wait();
}

Result<StartedProgram> StartedProgram::start(ProgramStartRequest request) {
  StartedProgram started;
  started.birth_ = std::make_unique<Birth>();
  Birth& birth = *started.birth_;
  birth.request = std::move(request);
  for (std::string& argument : birth.request.arguments) birth.argv.push_back(argument.data());
  birth.argv.push_back(nullptr);
  birth.moved.assign(birth.request.descriptors.size(), -1);
  // No signal handler of ours may run in the child, and the mask is inherited: a signal to our
  // process group must not end the program before us.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  int pidfd = -1;
  const int flags = static_cast<int>(birth.request.clone_flags) | CLONE_VM | for_debuggers |
                    CLONE_PIDFD | CLONE_CHILD_CLEARTID;
  started.pid_ = ::clone(&Birth::child_main, birth.stack.get() + stack_bytes, flags, &birth, &pidfd,
                         nullptr, &birth.here);
  const int code = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (started.pid_ < 0) {
    birth.here = 0;
    return fail_errno("start program", birth.request.arguments[0], code);
  }
  started.pidfd_.reset(pidfd);
  return started;
}

Status StartedProgram::executed(std::string_view name) {
  if (!birth_) return ok();
  birth_->wait();
  const int code = birth_->code;
  birth_.reset();
  if (code != 0) return fail_errno("execute", std::string(name), code);
  return ok();
}

}  // namespace gyges
