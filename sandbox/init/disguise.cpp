#include "sandbox/init/disguise.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mman.h>
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
constexpr std::size_t longest_arguments = 4096;
constexpr const char* name_variable = "comm=";

pid_t decoys[max_decoys];
std::uint32_t count = 0;
// Each that is shut in writes a byte.
int ready[2] = {-1, -1};
std::uint32_t starting = 0;

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

// As user 0 an exec would give all of it back.
void drop_bounding_set() {
  for (int capability = 0; capability <= 63; ++capability)
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) return;
}

// Gives up what pid 1 has: user, groups, capabilities.
bool give_up(const std::uint64_t (&number)[3]) {
  const auto user = static_cast<uid_t>(number[0]);
  const auto group = static_cast<gid_t>(number[1]);
  if ((number[2] & 1U) != 0 &&
      (::setgroups(0, nullptr) != 0 || ::setresgid(group, group, group) != 0 ||
       ::setresuid(user, user, user) != 0))
    return false;
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  return ::syscall(SYS_capset, &header, data) == 0;
}

// Has /proc/PID/cmdline show these, as an exec would, whose cost is most of that of a process: a
// dozen of them took half of a disguise's start. Linux 3.18 with CONFIG_CHECKPOINT_RESTORE, which
// distributions have.
bool show_arguments(const char* arguments, std::size_t length) {
  if (length >= longest_arguments) return false;
  // Of other memory than anonymous the kernel shows nothing.
  void* memory = ::mmap(nullptr, longest_arguments, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return false;
  std::memcpy(memory, arguments, length);
  const auto start = reinterpret_cast<std::uint64_t>(memory);
  prctl_mm_map map{};
  // Of these only the arguments are told to anybody; the others have to be in order.
  map.start_code = map.start_data = map.start_brk = map.start_stack = start;
  map.end_code = map.end_data = map.brk = start + 1;
  map.arg_start = start;
  // A thread of the kernel's has none at all.
  map.arg_end = map.env_start = map.env_end = length > 0 ? start + length + 1 : start;
  map.exe_fd = ~0U;
  return ::prctl(PR_SET_MM, PR_SET_MM_MAP, reinterpret_cast<unsigned long>(&map), sizeof(map), 0) ==
         0;
}

[[noreturn]] void execute(const char* name, const char* arguments, std::size_t length) {
  char* argv[most_arguments + 1] = {};
  std::size_t parts = 0;
  for (std::size_t at = 0; at <= length && parts < most_arguments;) {
    argv[parts++] = const_cast<char*>(arguments + at);
    at += std::strlen(arguments + at) + 1;
  }
  char variable[32];
  std::strcpy(variable, name_variable);
  if (std::strlen(name) < 16) std::strcat(variable, name);
  char* const environment[] = {variable, nullptr};
  const int image = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
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

int set_time(const char* path, std::int64_t seconds) {
  const timespec times[2] = {{seconds, 0}, {seconds, 0}};
  return static_cast<int>(::syscall(SYS_utimensat, AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW));
}

int date_root(std::int64_t seconds) {
  struct stat root {};
  DIR* directory = ::opendir("/");
  if (directory == nullptr || ::stat("/", &root) != 0) return -1;
  int result = 0;
  while (const dirent* entry = ::readdir(directory)) {
    char path[300] = "/";
    std::strcat(path, entry->d_name);
    struct stat info {};
    const bool here = std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0;
    // A host's directory that is mounted here is none of ours.
    if (here && ::syscall(SYS_newfstatat, AT_FDCWD, path, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
        info.st_dev == root.st_dev && set_time(path, seconds) != 0)
      result = -1;
  }
  ::closedir(directory);
  return set_time("/", seconds) != 0 ? -1 : result;
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
  if (ready[0] < 0 && ::pipe2(ready, O_CLOEXEC) != 0) return -1;
  bool numbered = true;
  pid_t pid = fork_numbered(number[2] >> 32U, numbered);
  if (pid == 0) {
    ::setsid();
    // Where it expects it; the supervisor's socket is none of its business. Nothing of the host's
    // tree is kept: the root is the sandbox's as soon as there is one.
    if (::dup2(ready[1], control_fd) < 0 || ::chdir("/") != 0) ::_exit(1);
    const bool shown = show_arguments(arguments, length);
    if (!shown) drop_bounding_set();
    if (!give_up(number)) ::_exit(1);
    if (!shown) execute(name, arguments, length);
    be_decoy(name);
  }
  if (pid < 0) return -1;
  ++starting;
  decoys[count++] = pid;
  return numbered ? 0 : unnumbered;
}

int await_decoys() {
  if (ready[0] < 0) return 0;
  // Only theirs is left: an end of file before the last byte says that one is dead.
  ::close(ready[1]);
  char bytes[max_decoys];
  while (starting > 0) {
    const ssize_t n = ::read(ready[0], bytes, sizeof(bytes));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    starting -= static_cast<std::uint32_t>(n);
  }
  ::close(ready[0]);
  ready[0] = ready[1] = -1;
  if (starting > 0) errno = ECHILD;
  return starting == 0 ? 0 : -1;
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
