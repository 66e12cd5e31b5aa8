#include "sandbox/init/disguise.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "sandbox/init/protocol.h"

namespace gyges::init {
namespace {

constexpr std::size_t most_arguments = 15;
constexpr const char* name_variable = "comm=";

pid_t decoys[max_decoys];
std::uint32_t count = 0;
int image = -1;
// One for each decoy that may not be shut in yet.
int starting[max_decoys];
std::uint32_t starting_count = 0;

// fork(2), with a number where one is wanted and can be had (Linux 5.5).
pid_t fork_numbered(std::uint64_t wanted, bool& numbered) {
  numbered = true;
  if (wanted == 0) return ::fork();
  pid_t number = static_cast<pid_t>(wanted);
  clone_args how{};
  how.exit_signal = SIGCHLD;
  how.set_tid = reinterpret_cast<std::uint64_t>(&number);
  how.set_tid_size = 1;
  const long pid = ::syscall(SYS_clone3, &how, sizeof(how));
  if (pid >= 0) return static_cast<pid_t>(pid);
  numbered = false;
  const int code = errno;
  const pid_t other = ::fork();
  if (other > 0) errno = code;
  return other;
}

[[noreturn]] void become(const char* name, char* const* argv, const std::uint64_t (&number)[3]) {
  ::setsid();
  // Nothing of the host's tree is kept: the root is the sandbox's as soon as there is one.
  if (::chdir("/") != 0) ::_exit(1);
  if ((number[2] & 1U) != 0) {
    if (::setgroups(0, nullptr) != 0 ||
        ::setresgid(static_cast<gid_t>(number[1]), static_cast<gid_t>(number[1]),
                    static_cast<gid_t>(number[1])) != 0 ||
        ::setresuid(static_cast<uid_t>(number[0]), static_cast<uid_t>(number[0]),
                    static_cast<uid_t>(number[0])) != 0)
      ::_exit(1);
  }
  // As user 0 the exec would give all of the bounding set back.
  for (int capability = 0; capability <= 63; ++capability)
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) break;
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  if (::syscall(SYS_capset, &header, data) != 0) ::_exit(1);
  char variable[32];
  std::strcpy(variable, name_variable);
  if (std::strlen(name) < 16) std::strcat(variable, name);
  char* const environment[] = {variable, nullptr};
  ::syscall(SYS_execveat, image, "", argv, environment, AT_EMPTY_PATH);
  ::_exit(1);
}

}  // namespace

int cover(const char* file, const char* path) {
  struct stat info {};
  if (::stat(path, &info) != 0) return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
  // Read-only as the mount that it is taken from; the supervisor goes on writing through another.
  return ::mount(file, path, nullptr, MS_BIND, nullptr);
}

// sysfs shows the network namespace in which it was mounted.
int show_network(const char* place, const char* path) {
  if (::mkdir(place, 0700) != 0) return -1;
  if (::mount("sysfs", place, "sysfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0)
    return -1;
  char source[128];
  std::strcpy(source, place);
  std::strcat(source, "/devices/virtual/net");
  int result = ::mount(source, path, nullptr, MS_BIND, nullptr);
  int code = errno;
  ::umount2(place, MNT_DETACH);
  ::rmdir(place);
  errno = code;
  return result;
}

int choose_next_pid(std::uint64_t pid) {
  char digits[24];
  std::size_t at = sizeof(digits);
  std::uint64_t last = pid > 1 ? pid - 1 : 1;
  for (; last > 0; last /= 10) digits[--at] = static_cast<char>('0' + last % 10);
  int fd = ::open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t n = ::write(fd, digits + at, sizeof(digits) - at);
  int code = errno;
  ::close(fd);
  errno = code;
  return n > 0 ? 0 : -1;
}

int start_decoy(const char* name, const char* arguments, std::size_t length,
                const std::uint64_t (&number)[3]) {
  if (count == max_decoys) {
    errno = E2BIG;
    return -1;
  }
  if (image < 0) image = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  if (image < 0) return -1;
  char* argv[most_arguments + 1] = {};
  std::size_t parts = 0;
  for (std::size_t at = 0; at <= length && parts < most_arguments;) {
    argv[parts++] = const_cast<char*>(arguments + at);
    at += std::strlen(arguments + at) + 1;
  }
  int ready[2];
  if (::pipe2(ready, O_CLOEXEC) != 0) return -1;
  bool numbered = true;
  pid_t pid = fork_numbered(number[2] >> 32U, numbered);
  if (pid == 0) {
    // Where it expects it; the supervisor's socket is none of its business.
    if (::dup2(ready[1], control_fd) < 0) ::_exit(1);
    become(name, argv, number);
  }
  int code = errno;
  ::close(ready[1]);
  if (pid < 0) {
    ::close(ready[0]);
    errno = code;
    return -1;
  }
  starting[starting_count++] = ready[0];
  decoys[count++] = pid;
  errno = code;
  return numbered ? 0 : unnumbered;
}

int await_decoys() {
  bool all = true;
  for (std::uint32_t i = 0; i < starting_count; ++i) {
    char byte = 0;
    // One byte says that it is shut in; an end of file without it, that it is dead.
    ssize_t n = -1;
    while ((n = ::read(starting[i], &byte, 1)) < 0 && errno == EINTR) {
    }
    all = all && n == 1;
    ::close(starting[i]);
  }
  starting_count = 0;
  if (!all) errno = ECHILD;
  return all ? 0 : -1;
}

const char* decoy_name(char* const* environment) {
  const std::size_t length = std::strlen(name_variable);
  if (environment[0] == nullptr || std::strncmp(environment[0], name_variable, length) != 0)
    return nullptr;
  return environment[0] + length;
}

void be_decoy(const char* name) {
  ::prctl(PR_SET_NAME, reinterpret_cast<unsigned long>(name), 0, 0, 0);
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) ::_exit(1);
  // Stricter than any policy: whoever takes it over all the same gains nothing but sleep.
  sock_filter only_sleep[] = {
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, 4},  // the ABI
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 5, AUDIT_ARCH_X86_64},
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, 0},  // the number
      {BPF_JMP | BPF_JEQ | BPF_K, 2, 0, SYS_pause},
      {BPF_JMP | BPF_JEQ | BPF_K, 1, 0, SYS_write},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_close_range},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS},
  };
  sock_fprog program{sizeof(only_sleep) / sizeof(only_sleep[0]), only_sleep};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
    ::_exit(1);
  if (::write(control_fd, "", 1) != 1) ::_exit(1);
  ::syscall(SYS_close_range, 0, ~0U, 0);
  for (;;) ::syscall(SYS_pause);
}

void forget_decoy(pid_t pid) {
  for (std::uint32_t i = 0; i < count; ++i)
    if (decoys[i] == pid) decoys[i] = decoys[--count];
}

std::uint32_t decoys_alive() {
  return count;
}

void end_decoys() {
  for (std::uint32_t i = 0; i < count; ++i) ::kill(decoys[i], SIGKILL);
  for (std::uint32_t i = 0; i < count; ++i) {
    int status = 0;
    while (::wait4(decoys[i], &status, __WALL, nullptr) < 0 && errno == EINTR) {
    }
  }
  count = 0;
}

}  // namespace gyges::init
