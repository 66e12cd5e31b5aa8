#include "sandbox/init/disguise.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace gyges::init {
namespace {

constexpr std::size_t most_arguments = 15;
constexpr const char* name_variable = "comm=";

pid_t decoys[max_decoys];
std::uint32_t count = 0;
int image = -1;

[[noreturn]] void become(const char* name, char* const* argv, const std::uint64_t (&number)[3]) {
  ::setsid();
  if (number[2] != 0) {
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
  pid_t pid = ::fork();
  if (pid < 0) return -1;
  if (pid == 0) become(name, argv, number);
  decoys[count++] = pid;
  return 0;
}

const char* decoy_name(char* const* environment) {
  const std::size_t length = std::strlen(name_variable);
  if (environment[0] == nullptr || std::strncmp(environment[0], name_variable, length) != 0)
    return nullptr;
  return environment[0] + length;
}

void be_decoy(const char* name) {
  ::prctl(PR_SET_NAME, reinterpret_cast<unsigned long>(name), 0, 0, 0);
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
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
