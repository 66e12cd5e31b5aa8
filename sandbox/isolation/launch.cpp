#include "sandbox/isolation/launch.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "sandbox/init/protocol.h"

extern "C" const char gyges_init_program_begin[];
extern "C" const char gyges_init_program_end[];

namespace gyges::isolation {
namespace {

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

Result<UniqueFd> make_init_image() {
  // Kernels before 6.3 do not know MFD_EXEC; later ones may refuse executable files without it.
  UniqueFd fd(::memfd_create("init", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC));
  if (!fd) fd.reset(::memfd_create("init", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd)
    return fail_errno("make memory file for", "init", errno,
                      "allow executable memory files (sysctl vm.memfd_noexec=0)");
  GYGES_CHECK(write_all(
      fd.get(), {gyges_init_program_begin,
                 static_cast<std::size_t>(gyges_init_program_end - gyges_init_program_begin)}));
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0)
    return fail_errno("seal memory file", "init");
  return fd;
}

// The init program as an executable, sealed memory file, made once per process. A failure is not
// kept: the descriptors or the memory that were missing may be there the next time.
Result<int> init_image() {
  static std::mutex mutex;
  static UniqueFd image;
  std::scoped_lock lock(mutex);
  if (!image) {
    GYGES_TRY(image, make_init_image());
  }
  return image.get();
}

// Not cleared: a child that only makes system calls touches a page or two of it.
class ChildStack {
 public:
  explicit ChildStack(std::size_t size)
      : bytes_(std::make_unique_for_overwrite<char[]>(size)), size_(size) {}
  [[nodiscard]] char* top() const { return bytes_.get() + size_; }

 private:
  std::unique_ptr<char[]> bytes_;
  std::size_t size_;
};

struct ChildSetup {
  int control;
  int image;
  bool keep_capabilities;
  char* const* argv;
  int code;  // set by the child when it fails: it shares our memory until it executes
};

// A process in a fresh user namespace holds all capabilities there until it executes a program as a
// user other than 0; the ambient set carries them over.
int raise_ambient_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  if (::syscall(SYS_capget, &header, data) != 0) return -1;
  data[0].inheritable = data[0].permitted;
  data[1].inheritable = data[1].permitted;
  if (::syscall(SYS_capset, &header, data) != 0) return -1;
  for (unsigned long capability = 0; capability < 64; ++capability) {
    if ((data[capability / 32].permitted >> (capability % 32) & 1U) == 0) continue;
    if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) != 0) return -1;
  }
  return 0;
}

// Runs on its own stack in our memory while we are suspended: system calls only.
int child_main(void* argument) {
  auto* setup = static_cast<ChildSetup*>(argument);
  // The descriptors may stand in each other's target place: move them up first, past every target.
  constexpr int above = init::control_fd + 1;
  int control = ::fcntl(setup->control, F_DUPFD_CLOEXEC, above);
  int image = ::fcntl(setup->image, F_DUPFD_CLOEXEC, above);
  int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (control < 0 || image < 0 || null < 0) return setup->code = errno;
  for (int fd : {0, 1, 2})
    if (::dup2(null, fd) < 0) return setup->code = errno;
  if (::dup2(control, init::control_fd) < 0) return setup->code = errno;
  // After the copies: everything above them is closed by the exec at the latest.
  if (::syscall(SYS_close_range, static_cast<unsigned>(above), ~0U, 4U /* CLOSE_RANGE_CLOEXEC */) !=
      0)
    return setup->code = errno;
  if (setup->keep_capabilities && raise_ambient_capabilities() != 0) return setup->code = errno;
  char* const envp[] = {nullptr};
  ::syscall(SYS_execveat, image, "", setup->argv, envp, AT_EMPTY_PATH);
  return setup->code = errno;
}

std::string_view cure_for_clone(int code, bool user_namespace) {
  if (!user_namespace) return "run as root with CAP_SYS_ADMIN";
  if (code == ENOSPC)
    return "raise the limit: sysctl user.max_user_namespaces=15000 (and the other user.max_*)";
  return "allow user namespaces: `gyges doctor` names the switch of this host; or run as root";
}

}  // namespace

tl::unexpected<Error> no_namespaces(int code, std::uint64_t namespaces) {
  return fail_errno("make namespaces", "", code,
                    cure_for_clone(code, (namespaces & CLONE_NEWUSER) != 0));
}

Result<InitProcess> launch_init(std::uint64_t namespaces,
                                const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  GYGES_TRY(int image, init_image());
  GYGES_TRY(Pipe sockets, make_socket_pair(SOCK_SEQPACKET));
  ChildSetup setup{sockets.write.get(), image, (namespaces & CLONE_NEWUSER) != 0, argv.data(), 0};
  ChildStack stack(64U << 10U);
  int pidfd = -1;
  // No signal handler of ours may run in the child, which shares our memory.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  int flags = static_cast<int>(namespaces & ~init::own_namespaces) | CLONE_VM | CLONE_VFORK |
              CLONE_PIDFD | SIGCHLD;
  pid_t pid = ::clone(&child_main, stack.top(), flags, &setup, &pidfd);
  int code = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return no_namespaces(code, namespaces);
  InitProcess process{UniqueFd(pidfd), pid, std::move(sockets.read)};
  if (setup.code != 0) {
    ::waitpid(pid, nullptr, __WALL);
    return fail_errno("execute", "init", setup.code,
                      "check that memory files may be executed (sysctl vm.memfd_noexec) and that "
                      "no security module forbids it");
  }
  return process;
}

namespace {

struct KeeperSetup {
  int input;
  int image;
  int code;
};

int keeper_main(void* argument) {
  auto* setup = static_cast<KeeperSetup*>(argument);
  int input = ::fcntl(setup->input, F_DUPFD_CLOEXEC, 3);
  int image = ::fcntl(setup->image, F_DUPFD_CLOEXEC, 3);
  int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (input < 0 || image < 0 || null < 0) return setup->code = errno;
  if (::dup2(input, 0) < 0 || ::dup2(null, 1) < 0 || ::dup2(null, 2) < 0)
    return setup->code = errno;
  if (::syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */) != 0)
    return setup->code = errno;
  char name[] = "gyges-keeper";
  char mode[] = "keep";
  char* const argv[] = {name, mode, nullptr};
  char* const envp[] = {nullptr};
  ::syscall(SYS_execveat, image, "", argv, envp, AT_EMPTY_PATH);
  return setup->code = errno;
}

// The write end of the keeper's input; it ends with this process, and the keeper acts.
Result<UniqueFd> start_keeper() {
  GYGES_TRY(int image, init_image());
  // A socket, because a write to it can do without SIGPIPE where the keeper was killed.
  GYGES_TRY(Pipe pipe, make_socket_pair(SOCK_STREAM));
  KeeperSetup setup{pipe.read.get(), image, 0};
  ChildStack stack(16U << 10U);
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  // The mask is inherited: a signal to our process group must not end the keeper before us.
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  pid_t pid = ::clone(&keeper_main, stack.top(), CLONE_VM | CLONE_VFORK, &setup);
  int code = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return fail_errno("start", "keeper", code);
  if (setup.code != 0) {
    ::waitpid(pid, nullptr, __WALL);
    return fail_errno("execute", "keeper", setup.code);
  }
  return std::move(pipe.write);
}

}  // namespace

namespace {

Status send_line(const UniqueFd& keeper, const std::string& directory) {
  std::string line = directory + "\n";
  for (std::size_t sent = 0; sent < line.size();) {
    ssize_t n = ::send(keeper.get(), line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("name cgroup to", "keeper");
    sent += static_cast<std::size_t>(n);
  }
  return ok();
}

}  // namespace

Status keep_directory(const std::string& directory) {
  static std::mutex mutex;
  static pid_t owner = -1;
  static UniqueFd keeper;
  // Those removed since are among them: telling a successor of them harms nobody.
  static std::deque<std::string> kept;
  std::scoped_lock lock(mutex);
  // A forked process needs its own: the parent's acts on the parent's death.
  bool start = owner != ::getpid();
  if (start) kept.clear();
  kept.push_back(directory);
  if (kept.size() > init::most_kept) kept.pop_front();
  if (!start) {
    auto sent = send_line(keeper, directory);
    // Only one that was killed has a successor; any other error is the caller's to hear of.
    if (sent || (sent.error().code != EPIPE && sent.error().code != ECONNRESET)) return sent;
  }
  // What a killed one kept is the new one's too. One that could not be told everything ends with
  // its socket, here.
  GYGES_TRY(UniqueFd fresh, start_keeper());
  for (const std::string& path : kept) GYGES_CHECK(send_line(fresh, path));
  keeper = std::move(fresh);
  owner = ::getpid();
  return ok();
}

}  // namespace gyges::isolation
