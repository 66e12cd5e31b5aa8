// Groups A and C: system calls.
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/perf_event.h>
#include <linux/rtnetlink.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "attack.h"

namespace gyges::attack {
namespace {

template <class... Arguments>
std::string call(long number, Arguments... arguments) {
  return outcome(::syscall(number, arguments...));
}

// The i386 entry: eax is the number in that table.
std::string int80(long number, long first = 0, const void* second = nullptr) {
  long result = 0;
  asm volatile("int $0x80"
               : "=a"(result)
               : "a"(number), "b"(first), "c"(second)
               : "memory", "r8", "r9", "r10", "r11");
  if (result >= 0) return "worked";
  errno = static_cast<int>(-result);
  return name_of(errno);
}

std::string ia32_socketcall() {
  // The argument vector must lie below 4 GiB.
  auto* page = static_cast<std::uint32_t*>(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE,
                                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0));
  if (page == MAP_FAILED) return "no memory";
  page[0] = AF_NETLINK;
  page[1] = SOCK_RAW;
  page[2] = 0;
  return int80(102, 1 /* SYS_SOCKET */, page);
}

std::string listener_filter() {
  sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  sock_fprog program{1, code};
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  return call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

std::string raw_clone(unsigned long flags) {
  long pid = ::syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) ::_exit(0);
  if (pid < 0) return name_of(errno);
  ::waitpid(static_cast<pid_t>(pid), nullptr, __WALL);
  return "worked";
}

std::string clone3_user() {
  struct {
    std::uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
  } arguments{CLONE_NEWUSER, 0, 0, 0, SIGCHLD, 0, 0, 0};
  long pid = ::syscall(SYS_clone3, &arguments, sizeof(arguments));
  if (pid == 0) ::_exit(0);
  if (pid < 0) return name_of(errno);
  ::waitpid(static_cast<pid_t>(pid), nullptr, 0);
  return "worked";
}

template <int flag>
std::string unshare() {
  return outcome(::unshare(flag));
}

std::string mount_tmpfs() {
  return outcome(::mount("tmpfs", scratch.c_str(), "tmpfs", 0, "size=4k"));
}
std::string mount_bind() {
  return outcome(::mount(scratch.c_str(), scratch.c_str(), nullptr, MS_BIND, nullptr));
}
std::string remount_writable() {
  return outcome(::mount(nullptr, "/proc", nullptr, MS_REMOUNT | MS_BIND, nullptr));
}
// With MNT_EXPIRE the first call only marks the mount: EAGAIN, where it is allowed.
std::string unmount_proc() {
  return outcome(::umount2("/proc", MNT_EXPIRE));
}
std::string mount_attributes() {
  mount_attr attributes{};
  return call(SYS_mount_setattr, AT_FDCWD, "/proc", 0, &attributes, sizeof(attributes));
}

std::string handle_of(bool open_it) {
  struct {
    unsigned bytes = 128;
    int type = 0;
    char handle[128] = {};
  } handle;
  int mount = 0;
  if (open_it) {
    // The shocker's handle: inode 2 of the file system that the descriptor is on.
    handle.bytes = 8;
    handle.type = 1;
    handle.handle[0] = 2;
    int fd = ::open(scratch.c_str(), O_RDONLY | O_DIRECTORY);
    return call(SYS_open_by_handle_at, fd, &handle, O_RDONLY);
  }
  return call(SYS_name_to_handle_at, AT_FDCWD, scratch.c_str(), &handle, &mount, 0);
}

std::string map_create() {
  bpf_attr attributes;
  std::memset(&attributes, 0, sizeof(attributes));
  attributes.map_type = BPF_MAP_TYPE_ARRAY;
  attributes.key_size = 4;
  attributes.value_size = 4;
  attributes.max_entries = 1;
  return call(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof(attributes));
}

std::string perf() {
  perf_event_attr attributes{};
  attributes.size = sizeof(attributes);
  attributes.type = PERF_TYPE_SOFTWARE;
  attributes.config = PERF_COUNT_SW_TASK_CLOCK;
  attributes.exclude_kernel = 1;
  return call(SYS_perf_event_open, &attributes, 0, -1, -1, 0);
}

std::string set_clock() {
  timespec invalid{0, 2000000000};  // an error after the check of privilege
  return call(SYS_clock_settime, CLOCK_REALTIME, &invalid);
}
std::string set_time_of_day() {
  timeval invalid{0, 2000000000};
  return call(SYS_settimeofday, &invalid, nullptr);
}
std::string adjust_clock() {
  char zero[256] = {};
  zero[1] = 0x40;  // ADJ_TICK with a tick of 0: an error after the check
  return call(SYS_clock_adjtime, CLOCK_REALTIME, zero);
}

std::string fifo_scheduling() {
  sched_param parameter{1};
  return outcome(::sched_setscheduler(0, SCHED_FIFO, &parameter));
}

std::string type_into_terminal(unsigned long request) {
  int master = ::posix_openpt(O_RDWR | O_NOCTTY);
  if (master < 0 || ::grantpt(master) != 0 || ::unlockpt(master) != 0) return "no terminal";
  ::setsid();
  int slave = ::open(::ptsname(master), O_RDWR);
  if (slave < 0) return "no terminal";
  ::ioctl(slave, TIOCSCTTY, 0);
  char byte = 'x';
  // syscall(2), so that no library cuts the upper half of the request off.
  return call(SYS_ioctl, slave, request, &byte);
}

std::string netlink(int protocol) {
  return outcome(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
}

// What may be asked about one's own network may not be changed.
std::string change_interface() {
  const int fd = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return outcome(fd);
  struct {
    nlmsghdr head;
    ifinfomsg body;
  } request{};
  request.head.nlmsg_len = sizeof(request);
  request.head.nlmsg_type = RTM_NEWLINK;
  request.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  request.body.ifi_index = 1;
  request.body.ifi_flags = request.body.ifi_change = IFF_UP;  // as it is: the control keeps it
  struct {
    nlmsghdr head;
    nlmsgerr error;
    char rest[512];
  } answer{};
  std::string said = "no answer";
  if (::send(fd, &request, sizeof(request), 0) == sizeof(request) &&
      ::recv(fd, &answer, sizeof(answer), 0) > 0 && answer.head.nlmsg_type == NLMSG_ERROR) {
    errno = -answer.error.error;
    said = outcome(answer.error.error == 0 ? 0 : -1);
  }
  ::close(fd);
  return said;
}

template <int family>
std::string socket_of() {
  return outcome(::socket(family,
                          family == AF_ALG     ? SOCK_SEQPACKET
                          : family == AF_VSOCK ? SOCK_STREAM
                                               : SOCK_RAW,
                          0));
}

// Memory at address 0: one half of every exploit of a null pointer in the kernel.
std::string zero_page() {
  if (::syscall(SYS_personality, 0x0100000 /* MMAP_PAGE_ZERO */) < 0) return name_of(errno);
  return "worked";
}

std::string raise_capability() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  data[0].permitted = data[0].effective = 1U << CAP_SYS_CHROOT;
  return call(SYS_capset, &header, data);
}

std::string change_root() {
  return outcome(::chroot(scratch.c_str()));
}

std::string mknod_of(mode_t type, dev_t device) {
  std::string path = scratch + "/node" + std::to_string(type);
  int result = ::mknod(path.c_str(), type | 0600U, device);
  std::string text = outcome(result);
  if (result == 0) ::unlink(path.c_str());
  return text;
}

}  // namespace

std::vector<Row> kernel_attempts() {
  return {
      {"A1", "io_uring_setup",
       [] {
         char parameters[120] = {};
         return call(SYS_io_uring_setup, 4, parameters);
       }},
      {"A2", "io_uring_enter", [] { return call(SYS_io_uring_enter, -1, 0, 0, 0, 0, 0); }},
      {"A2", "io_uring_register", [] { return call(SYS_io_uring_register, -1, 0, 0, 0); }},
      {"A3", "ia32_getpid", [] { return int80(20); }},
      {"A4", "ia32_socketcall", ia32_socketcall},
      {"A5", "x32_getpid", [] { return call(0x40000000L + SYS_getpid); }},
      {"A6", "listener_filter", listener_filter},
      {"A8", "clone_untraced", [] { return raw_clone(CLONE_UNTRACED); }},
      {"B9", "tiocsti", [] { return type_into_terminal(TIOCSTI); }},
      {"B9", "tiocsti_high_bits", [] { return type_into_terminal(0xdead00000000UL | TIOCSTI); }},
      {"B9", "tioclinux", [] { return type_into_terminal(TIOCLINUX); }},
      {"C1", "unshare_user", unshare<CLONE_NEWUSER>},
      {"C1", "unshare_mount", unshare<CLONE_NEWNS>},
      {"C1", "unshare_net", unshare<CLONE_NEWNET>},
      {"C1", "unshare_pid", unshare<CLONE_NEWPID>},
      {"C1", "unshare_time", unshare<0x80>},
      {"C1", "clone_user", [] { return raw_clone(CLONE_NEWUSER); }},
      {"C1", "clone_net_and_user", [] { return raw_clone(CLONE_NEWNET | CLONE_NEWUSER); }},
      {"C1", "clone_high_bits", [] { return raw_clone(0xf00000000UL | CLONE_NEWUSER); }},
      {"C1", "clone3_user", clone3_user},
      {"C2", "mount_tmpfs", mount_tmpfs},
      {"C2", "mount_bind", mount_bind},
      {"C2", "remount_writable", remount_writable},
      {"C2", "mount_setattr", mount_attributes},
      {"C2", "fsopen", [] { return call(SYS_fsopen, "tmpfs", 0); }},
      {"C2", "fspick", [] { return call(SYS_fspick, AT_FDCWD, "/proc", 0); }},
      {"C2", "fsconfig", [] { return call(SYS_fsconfig, -1, 99, 0, 0, 0); }},
      {"C2", "fsmount", [] { return call(SYS_fsmount, -1, 0, 0); }},
      {"C2", "open_tree", [] { return call(SYS_open_tree, AT_FDCWD, "/usr", OPEN_TREE_CLONE); }},
      {"C2", "move_mount", [] { return call(SYS_move_mount, -1, "", AT_FDCWD, "/usr", 4); }},
      {"C2", "open_tree_attr", [] { return call(467, -1, "", 0, 0, 0); }},
      {"C2", "listmount", [] { return call(458, 0, 0, 0, 0); }},
      {"C2", "pivot_root", [] { return call(SYS_pivot_root, "/", "/"); }},
      {"C2", "umount_proc", unmount_proc},
      {"C2", "chroot", change_root},
      {"C3", "name_to_handle_at", [] { return handle_of(false); }},
      {"C3", "open_by_handle_at", [] { return handle_of(true); }},
      {"C4", "setuid_root", [] { return outcome(::setresuid(0, 0, 0)); }},
      {"C4", "setgroups",
       [] {
         gid_t group = 0;
         return call(SYS_setgroups, 1, &group);
       }},
      {"C4", "capset", raise_capability},
      {"C4", "ambient_capability",
       [] { return outcome(::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_CHROOT, 0, 0)); }},
      {"C4", "mknod_character", [] { return mknod_of(S_IFCHR, makedev(1, 3)); }},
      {"C4", "mknod_block", [] { return mknod_of(S_IFBLK, makedev(7, 0)); }},
      {"C6", "bpf", map_create},
      {"C6", "perf", perf},
      {"C6", "userfaultfd", [] { return call(SYS_userfaultfd, 0); }},
      {"C6", "userfaultfd_user_mode", [] { return call(SYS_userfaultfd, 1); }},
      {"C7", "keyctl", [] { return call(SYS_keyctl, 0, -3, 1); }},
      {"C7", "add_key", [] { return call(SYS_add_key, "user", "gyges-attack", "x", 1UL, -2); }},
      {"C7", "request_key", [] { return call(SYS_request_key, "user", "gyges-none", 0, -2); }},
      {"C8", "syslog", [] { return call(SYS_syslog, 10, 0, 0); }},
      {"C10", "clock_settime", set_clock},
      {"C10", "settimeofday", set_time_of_day},
      {"C10", "clock_adjtime", adjust_clock},
      {"C10", "sethostname", [] { return call(SYS_sethostname, "x", -1); }},
      {"C10", "setdomainname", [] { return call(SYS_setdomainname, "x", -1); }},
      {"C10", "sched_fifo", fifo_scheduling},
      {"C11", "modify_ldt", [] { return call(SYS_modify_ldt, 0, scratch.data(), 0UL); }},
      {"C11", "personality_zero_page", zero_page},
      {"C11", "vmsplice", [] { return call(SYS_vmsplice, -1, 0, 0, 0); }},
      {"C12", "kexec_load", [] { return call(SYS_kexec_load, 0, 1000000UL, 0, 0); }},
      {"C12", "kexec_file_load", [] { return call(SYS_kexec_file_load, -1, -1, 0UL, 0, 0xff); }},
      {"C12", "init_module", [] { return call(SYS_init_module, 0, 0UL, ""); }},
      {"C12", "finit_module", [] { return call(SYS_finit_module, -1, "", 0); }},
      {"C12", "delete_module", [] { return call(SYS_delete_module, "gyges-none", O_NONBLOCK); }},
      {"C12", "reboot", [] { return call(SYS_reboot, 0, 0, 0, 0); }},
      {"C12", "swapon", [] { return call(SYS_swapon, "", 0); }},
      {"C12", "acct", [] { return call(SYS_acct, ""); }},
      {"C12", "quotactl", [] { return call(SYS_quotactl, 0x800001 << 8, "", 0, 0); }},
      {"C12", "iopl", [] { return call(SYS_iopl, 3); }},
      {"C12", "ioperm", [] { return call(SYS_ioperm, 0x80UL, 1UL, 1); }},
      {"C15", "af_alg", socket_of<AF_ALG>},
      {"E1", "af_vsock", socket_of<AF_VSOCK>},
      {"E2", "af_netlink", [] { return netlink(NETLINK_NETFILTER); }},
      {"E2", "netlink_interface", change_interface},
      {"E2", "af_packet", socket_of<AF_PACKET>},
      {"E2", "af_netlink_high_bits",
       [] { return call(SYS_socket, 0x100000000L | AF_NETLINK, SOCK_RAW, NETLINK_XFRM); }},
      {"E2", "netlink_protocol_high_bits",
       [] { return call(SYS_socket, AF_NETLINK, SOCK_RAW, 0x100000000L | NETLINK_XFRM); }},
      {"E2", "raw_socket", [] { return outcome(::socket(AF_INET, SOCK_RAW, 1)); }},
  };
}

}  // namespace gyges::attack
