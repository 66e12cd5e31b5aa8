// Groups A to D: kernel interfaces that came after the lists of others were written, and sweeps
// over whole classes, so that what nobody thought of by name is found too.
#include <dirent.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "attack.h"

namespace gyges::attack {
namespace {

template <class... Arguments>
std::string call(long number, Arguments... arguments) {
  return outcome(::syscall(number, arguments...));
}

// Numbers of x86-64 that older headers do not have.
constexpr long sys_quotactl_fd = 443;
constexpr long sys_process_madvise = 440;
constexpr long sys_statmount = 457;
constexpr long sys_lsm_set_self_attr = 460;
constexpr long sys_listns = 470;
constexpr int handle_connectable = 0x002;

std::string connectable_handle() {
  struct {
    unsigned bytes = 128;
    int type = 0;
    char handle[128] = {};
  } handle;
  int mount = 0;
  return call(SYS_name_to_handle_at, AT_FDCWD, scratch.c_str(), &handle, &mount,
              handle_connectable);
}

// From Linux 6.11 on, what a namespace file in /proc gives can be had from a pidfd.
std::string namespace_from_pidfd() {
  int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, 1, 0));
  if (pidfd < 0) return name_of(errno);
  return outcome(::ioctl(pidfd, _IO(0xFF, 3), 0));  // PIDFD_GET_MNT_NAMESPACE
}

// From Linux 6.12 on, the mount namespaces of the machine can be walked.
std::string next_mount_namespace() {
  int fd = ::open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return name_of(errno);
  std::uint32_t information[4] = {sizeof(information)};  // mnt_ns_info
  for (unsigned number : {11U, 12U})                     // NS_MNT_GET_NEXT, NS_MNT_GET_PREV
    if (::ioctl(fd, _IOC(_IOC_READ, 0xb7, number, sizeof(information)), information) >= 0)
      return "worked";
  return name_of(errno);
}

std::string namespace_of_socket() {
  int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return name_of(errno);
  return outcome(::ioctl(fd, 0x894C /* SIOCGSKNS */));
}

std::string madvise_init() {
  int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, 1, 0));
  if (pidfd < 0) return name_of(errno);
  char byte = 0;
  iovec there{&byte, 1};
  return call(sys_process_madvise, pidfd, &there, 1UL, 21 /* MADV_PAGEOUT */, 0);
}

// A line discipline is a driver that any terminal loads: n_hdlc (CVE-2017-2636), n_gsm
// (CVE-2023-52564). This one does nothing.
std::string line_discipline() {
  int master = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0) return "no terminal";
  int null_discipline = 27;  // N_NULL
  return outcome(::ioctl(master, TIOCSETD, &null_discipline));
}

std::string real_time(int policy) {
  struct {
    std::uint32_t size, policy;
    std::uint64_t flags;
    std::int32_t nice;
    std::uint32_t priority;
    std::uint64_t runtime, deadline, period;
  } attributes{48,
               static_cast<std::uint32_t>(policy),
               0,
               0,
               policy == SCHED_RR ? 1U : 0U,
               1000000,
               100000000,
               100000000};
  return call(SYS_sched_setattr, 0, &attributes, 0);
}

std::string negative_nice() {
  return outcome(::setpriority(PRIO_PROCESS, 0, -5));
}

std::string real_time_io() {
  return call(SYS_ioprio_set, 1, 0, 1 << 13);  // this process, IOPRIO_CLASS_RT
}

std::string share_core_with_init() {
  return outcome(::prctl(62 /* PR_SCHED_CORE */, 2 /* SHARE_TO */, 1, 0, 0));
}

std::string core_limit() {
  rlimit none{RLIM_INFINITY, RLIM_INFINITY};
  return outcome(::setrlimit(RLIMIT_CORE, &none));
}

std::string signal_by_descriptor() {
  int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, 1, 0));
  if (pidfd < 0) return name_of(errno);
  // Signal owners reach what kill(2) may not name; the owner here is pid 1.
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return name_of(errno);
  ::fcntl(pair[0], F_SETSIG, SIGKILL);
  ::fcntl(pair[0], F_SETOWN, 1);
  ::fcntl(pair[0], F_SETFL, O_ASYNC);
  ssize_t ignored = ::write(pair[1], "x", 1);
  (void)ignored;
  ::syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0);
  ::usleep(20000);
  return ::kill(1, 0) == 0 || errno == EPERM ? "alive" : "worked";
}

std::string robust_list_of_init() {
  void* head = nullptr;
  std::size_t length = 0;
  return call(SYS_get_robust_list, 1, &head, &length);
}

std::string write_init_memory() {
  char byte = 0;
  iovec here{&byte, 1};
  iovec there{reinterpret_cast<void*>(8), 1};  // never mapped: an error past the check
  return call(SYS_process_vm_writev, 1, &here, 1UL, &there, 1UL, 0UL);
}

std::string forged_credentials() {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) != 0) return name_of(errno);
  ucred forged{1, 0, 0};
  char byte = 'x';
  iovec bytes{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(forged))] = {};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_CREDENTIALS;
  header->cmsg_len = CMSG_LEN(sizeof(forged));
  std::memcpy(CMSG_DATA(header), &forged, sizeof(forged));
  return outcome(::sendmsg(pair[0], &message, 0));
}

std::string attribute(const char* name) {
  std::string path = scratch + "/attributed";
  int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return name_of(errno);
  std::string result = outcome(::fsetxattr(fd, name, "y", 1, 0));
  ::close(fd);
  ::unlink(path.c_str());
  return result;
}

// Memory of the kernel's that neither a tmpfs nor a memory cgroup counts, for each file of a
// directory: an access list of the most that the kernel takes, the same entry over and over.
std::string endless_access_list() {
  struct Entry {
    std::uint16_t tag, permissions;
    std::uint32_t id;
  };
  constexpr std::uint32_t nobody = 0xffffffff;
  std::string list("\2\0\0\0", 4);  // the version
  auto add = [&](const Entry& entry) {
    list.append(reinterpret_cast<const char*>(&entry), sizeof(entry));
  };
  add({1, 7, nobody});                                          // ACL_USER_OBJ
  for (int i = 0; i < 8000; ++i) add({2, 7, ::getuid()});       // ACL_USER
  for (std::uint16_t tag : {4, 16, 32}) add({tag, 7, nobody});  // group, mask, others
  std::string path = scratch + "/listed";
  if (::mkdir(path.c_str(), 0700) != 0) return name_of(errno);
  std::string result =
      outcome(::setxattr(path.c_str(), "system.posix_acl_default", list.data(), list.size(), 0));
  ::rmdir(path.c_str());
  return result;
}

std::string chown_away() {
  std::string path = scratch + "/chowned";
  int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return name_of(errno);
  std::string result = outcome(::fchown(fd, 1, 1));
  ::close(fd);
  ::unlink(path.c_str());
  return result;
}

// The value of a line of /proc/self/status.
std::string status_line(const std::string& key) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.rfind(key + ":\t", 0) == 0) return line.substr(key.size() + 2);
  return "";
}

std::string capabilities(const char* key) {
  std::string value = status_line(key);
  if (value.empty()) return "unknown";
  return value.find_first_not_of('0') == std::string::npos ? "empty" : "worked";
}

std::string without_no_new_privileges() {
  return ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? "set" : "worked";
}

// Every address family there is or may be, with every usual type.
std::string any_other_family() {
  for (int family = 0; family < 300; ++family) {
    if (family == AF_UNIX || family == AF_INET || family == AF_INET6) continue;
    for (int type : {SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET, SOCK_RDM}) {
      // Of netlink, questions about one's own network are no attack; every other protocol is.
      if (family == AF_NETLINK) {
        for (int protocol = 0; protocol < 64; ++protocol) {
          if (protocol == NETLINK_ROUTE || protocol == NETLINK_SOCK_DIAG) continue;
          const int fd = ::socket(family, type, protocol);
          if (fd >= 0 || (errno != EAFNOSUPPORT && errno != EPROTONOSUPPORT))
            return "worked:" + std::to_string(family);
        }
        continue;
      }
      int fd = ::socket(family, type, 0);
      if (fd >= 0 || errno != EAFNOSUPPORT) return "worked:" + std::to_string(family);
    }
  }
  return "none";
}

// Every file below a directory that can be opened for writing without being the attacker's own.
std::string writable_below(const std::string& directory, int depth) {
  DIR* stream = ::opendir(directory.c_str());
  if (stream == nullptr) return "none";
  std::string result = "none";
  while (const dirent* entry = ::readdir(stream)) {
    std::string name = entry->d_name;
    std::string path = directory + "/" + name;
    if (name[0] == '.' || entry->d_type == DT_LNK) continue;
    // Processes of ours are ours to write to; pid 1 and the general files are not.
    if (directory == "/proc" && name != "1" && name[0] >= '0' && name[0] <= '9') continue;
    // Of these the write is checked: ns_last_pid, init_timer_slack, init_security_attributes.
    if (name == "ns_last_pid" || name == "timerslack_ns" || name == "attr") continue;
    // What is masked is a device that takes everything.
    struct stat info {};
    if (::lstat(path.c_str(), &info) == 0 && S_ISCHR(info.st_mode)) continue;
    if (entry->d_type == DT_DIR) {
      if (depth > 0) result = writable_below(path, depth - 1);
    } else {
      int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
      if (fd >= 0) {
        ::close(fd);
        result = "worked:" + path;
      }
    }
    if (result != "none") break;
  }
  ::closedir(stream);
  return result;
}

std::string write_to(const char* path, const char* text) {
  int fd = ::open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return name_of(errno);
  std::string result = outcome(::write(fd, text, std::strlen(text)));
  ::close(fd);
  return result;
}

// A file of the kernel that shows addresses or pages of the whole machine.
std::string physical_memory() {
  for (const char* path : {"/proc/kpageflags", "/proc/kpagecount", "/proc/kpagecgroup",
                           "/proc/slabinfo", "/proc/vmallocinfo", "/proc/pagetypeinfo"}) {
    int fd = ::open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) return "worked";
  }
  return "nothing";
}

bool mounted(const std::string& type) {
  std::ifstream file("/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    auto dash = line.find(" - ");
    if (dash != std::string::npos && line.compare(dash + 3, type.size(), type) == 0) return true;
  }
  return false;
}

std::string cgroup_files() {
  return mounted("cgroup") ? "worked" : "absent";
}

// The number at the end of the marker's name, under which the host has a segment.
std::string shared_memory_of_host() {
  auto at = marker.find_last_not_of("0123456789");
  int key = std::atoi(marker.c_str() + at + 1);
  return outcome(::shmget(key, 0, 0));
}

// /dev holds the nodes it names, and no link or file in their place (CVE-2025-52565,
// CVE-2026-41579, CVE-2026-47766).
std::string devices_are_themselves() {
  struct Node {
    const char* path;
    unsigned major, minor;
  };
  for (const Node& node : {Node{"/dev/null", 1, 3}, Node{"/dev/zero", 1, 5},
                           Node{"/dev/full", 1, 7}, Node{"/dev/urandom", 1, 9}}) {
    struct stat info {};
    if (::lstat(node.path, &info) != 0) continue;
    if (!S_ISCHR(info.st_mode) || info.st_rdev != ((node.major << 8U) | node.minor))
      return std::string("worked:") + node.path;
  }
  struct stat info {};
  if (::lstat("/dev", &info) != 0 || !S_ISDIR(info.st_mode)) return "worked:/dev";
  if (::lstat("/proc", &info) != 0 || !S_ISDIR(info.st_mode)) return "worked:/proc";
  return "genuine";
}

std::string terminals_of_host() {
  DIR* stream = ::opendir("/dev/pts");
  if (stream == nullptr) return "none";
  std::string result = "none";
  while (const dirent* entry = ::readdir(stream))
    if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9') result = "worked";
  ::closedir(stream);
  return result;
}

std::string new_memory_map() {
  return outcome(::prctl(PR_SET_MM, PR_SET_MM_START_BRK, 1, 0, 0));
}

// x32 has numbers of its own at 512 and above, and all others with bit 30.
std::string x32_own_number() {
  return call(0x40000000L + 520 /* execve */, nullptr, nullptr, nullptr);
}

std::string other_root_by_descriptor() {
  // CVE-2024-21626: a directory of the host, held open by the runtime, by its number.
  for (int fd = 0; fd < 1024; ++fd) {
    std::string path = "/proc/self/fd/" + std::to_string(fd);
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) continue;
    if (::chdir(path.c_str()) == 0) return "worked:" + std::to_string(fd);
  }
  return "none";
}

}  // namespace

std::vector<Row> surface_attempts() {
  return {
      {"A5", "x32_own_number", x32_own_number},
      {"B1", "signal_by_descriptor", signal_by_descriptor},
      {"B1", "core_scheduling_with_init", share_core_with_init},
      {"B2", "process_vm_writev_init", write_init_memory},
      {"B2", "process_madvise_init", madvise_init},
      {"B2", "robust_list_of_init", robust_list_of_init},
      {"B5", "directory_by_descriptor", other_root_by_descriptor},
      {"B7", "namespace_from_pidfd", namespace_from_pidfd},
      {"B7", "namespace_of_socket", namespace_of_socket},
      {"B7", "next_mount_namespace", next_mount_namespace},
      {"B7", "listns", [] { return call(sys_listns, nullptr, nullptr, 0UL, 0U); }},
      {"B9", "line_discipline", line_discipline},
      {"B9", "terminals_of_host", terminals_of_host},
      {"C2", "statmount", [] { return call(sys_statmount, nullptr, nullptr, 0UL, 0U); }},
      {"C3", "connectable_handle", connectable_handle},
      {"C4", "capabilities_effective", [] { return capabilities("CapEff"); }},
      {"C4", "capabilities_permitted", [] { return capabilities("CapPrm"); }},
      {"C4", "capabilities_inheritable", [] { return capabilities("CapInh"); }},
      {"C4", "capabilities_bounding", [] { return capabilities("CapBnd"); }},
      {"C4", "capabilities_ambient", [] { return capabilities("CapAmb"); }},
      {"C4", "no_new_privileges", without_no_new_privileges},
      {"C4", "setgid_root", [] { return outcome(::setresgid(0, 0, 0)); }},
      {"C4", "chown_away", chown_away},
      {"D2", "endless_access_list", endless_access_list},
      {"C4", "trusted_attribute", [] { return attribute("trusted.overlay.opaque"); }},
      {"C4", "selinux_attribute", [] { return attribute("security.gyges"); }},
      {"C4", "forged_credentials", forged_credentials},
      {"C5", "any_sysctl", [] { return writable_below("/proc/sys", 6); }},
      {"C5", "any_file_of_proc", [] { return writable_below("/proc", 3); }},
      // The slack that every process starts with.
      {"C5", "init_timer_slack", [] { return write_to("/proc/1/timerslack_ns", "50000"); }},
      {"C5", "init_security_attributes", [] { return write_to("/proc/1/attr/current", "gyges"); }},
      {"C5", "core_limit", core_limit},
      {"C6", "lsm_set_self_attr", [] { return call(sys_lsm_set_self_attr, 0U, nullptr, 0U, 0U); }},
      {"C8", "physical_memory", physical_memory},
      {"C9", "devices_are_themselves", devices_are_themselves},
      {"C9", "userfaultfd_device",
       [] { return outcome(::open("/dev/userfaultfd", O_RDWR | O_CLOEXEC)); }},
      {"C10", "deadline_scheduling", [] { return real_time(6); }},
      {"C10", "round_robin_scheduling", [] { return real_time(SCHED_RR); }},
      {"C10", "negative_nice", negative_nice},
      {"C10", "real_time_io", real_time_io},
      {"C10", "cgroup_files", cgroup_files},
      {"C11", "new_memory_map", new_memory_map},
      {"C12", "quotactl_fd",
       [] {
         int fd = ::open(scratch.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
         return call(sys_quotactl_fd, fd, 0x800007 << 8, 0, nullptr);
       }},
      {"E2", "any_other_family", any_other_family},
      {"E5", "shared_memory_of_host", shared_memory_of_host},
  };
}

}  // namespace gyges::attack
