// What a call answers that a sandbox may refuse: the pattern of errors tells filters, capabilities
// and emulated kernels apart. Every row is harmless where it is permitted too: its arguments are
// such that the kernel checks the permission and then finds nothing to do, or it acts on the child
// that makes it, which ends.
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "sandbox/cues/probe/output.h"
#include "sandbox/cues/probe/readers.h"
#include "sandbox/cues/probe/text.h"

namespace gyges::probe {
namespace {

char scratch[4096];
const char nowhere[] = "/gyges-nowhere";

long pointer(const void* at) {
  return reinterpret_cast<long>(at);
}

struct Call {
  const char* name;
  long number;
  long a = 0, b = 0, c = 0, d = 0, e = 0, f = 0;
  bool alone = false;  // changes the process that makes it
};

const iovec own_buffer = {scratch, 8};
const iovec far_buffer = {nullptr, 8};

const Call calls[] = {
    {"mount", SYS_mount, pointer("none"), pointer("/"), pointer("gyges-none")},
    {"umount2", SYS_umount2, pointer(nowhere)},
    {"pivot_root", SYS_pivot_root, pointer(nowhere), pointer(nowhere)},
    {"chroot", SYS_chroot, pointer("/"), 0, 0, 0, 0, 0, true},
    {"fsopen", SYS_fsopen, pointer("tmpfs"), 1},
    {"open_tree", SYS_open_tree, AT_FDCWD, pointer("/"), 1},
    {"move_mount", SYS_move_mount, -1, pointer(""), -1, pointer(""), 4},
    {"mount_setattr", SYS_mount_setattr, -1, pointer(""), 0, 0, 0},
    {"sethostname", SYS_sethostname, 0, 1 << 20},
    {"setdomainname", SYS_setdomainname, 0, 1 << 20},
    {"settimeofday", SYS_settimeofday, 0, 0},
    {"reboot", SYS_reboot, 0, 0, 0},
    {"kexec_load", SYS_kexec_load, 0, 1000, 0, 0xff},
    {"init_module", SYS_init_module, 0, 0, pointer("")},
    {"finit_module", SYS_finit_module, -1, pointer(""), 0},
    {"delete_module", SYS_delete_module, pointer("gyges_none"), O_NONBLOCK},
    {"swapon", SYS_swapon, pointer(nowhere), 0},
    {"swapoff", SYS_swapoff, pointer(nowhere)},
    {"acct", SYS_acct, pointer(nowhere)},
    {"quotactl", SYS_quotactl, 0x800001 << 8, pointer(nowhere), 0, pointer(scratch)},
    {"syslog_size", SYS_syslog, 10, 0, 0},
    {"syslog_read_all", SYS_syslog, 3, pointer(scratch), 64},
    {"bpf_next_program", SYS_bpf, 11, pointer(scratch), 12},
    {"bpf_map_create", SYS_bpf, 0, 0, 0},
    {"perf_event_open", SYS_perf_event_open, 0, 0, -1, -1, 0},
    {"io_uring_setup", SYS_io_uring_setup, 1, 0},
    {"userfaultfd", SYS_userfaultfd, O_CLOEXEC | 1},
    {"memfd_create", SYS_memfd_create, pointer("a"), 1},
    {"memfd_secret", 447, 0},
    {"pidfd_open", SYS_pidfd_open, 1, 0},
    {"pidfd_getfd", SYS_pidfd_getfd, -1, 0, 0},
    {"process_vm_readv", SYS_process_vm_readv, 1, pointer(&own_buffer), 1, pointer(&far_buffer), 1,
     0},
    {"process_madvise", SYS_process_madvise, -1, pointer(&own_buffer), 1, 4, 0},
    {"kcmp", SYS_kcmp, 1, 1, 1, 0, 0},
    {"kill_init_0", SYS_kill, 1, 0},
    {"ptrace_peek", SYS_ptrace, PTRACE_PEEKDATA, 1, 0, pointer(scratch)},
    {"keyctl_session", SYS_keyctl, 0, -3, 0},
    {"add_key", SYS_add_key, pointer("gyges-none"), pointer("a"), 0, 0, -3},
    {"request_key", SYS_request_key, pointer("gyges-none"), pointer("a"), 0, 0},
    {"unshare_user", SYS_unshare, CLONE_NEWUSER, 0, 0, 0, 0, 0, true},
    {"unshare_mount", SYS_unshare, CLONE_NEWNS, 0, 0, 0, 0, 0, true},
    {"unshare_pid", SYS_unshare, CLONE_NEWPID, 0, 0, 0, 0, 0, true},
    {"unshare_net", SYS_unshare, CLONE_NEWNET, 0, 0, 0, 0, 0, true},
    {"unshare_uts", SYS_unshare, CLONE_NEWUTS, 0, 0, 0, 0, 0, true},
    {"unshare_ipc", SYS_unshare, CLONE_NEWIPC, 0, 0, 0, 0, 0, true},
    {"unshare_cgroup", SYS_unshare, CLONE_NEWCGROUP, 0, 0, 0, 0, 0, true},
    {"unshare_time", SYS_unshare, 0x80, 0, 0, 0, 0, 0, true},
    {"setns", SYS_setns, -1, 0},
    {"name_to_handle_at", SYS_name_to_handle_at, AT_FDCWD, pointer("/"), 0, 0, 0},
    {"open_by_handle_at", SYS_open_by_handle_at, -1, 0, 0},
    {"fanotify_init", SYS_fanotify_init, 0, 0},
    {"inotify_init1", SYS_inotify_init1, 0},
    {"iopl", SYS_iopl, 3, 0, 0, 0, 0, 0, true},
    {"ioperm", SYS_ioperm, 0x80, 1, 1, 0, 0, 0, true},
    {"modify_ldt", SYS_modify_ldt, 0, pointer(scratch), 64},
    {"get_mempolicy", SYS_get_mempolicy, 0, 0, 0, 0, 0},
    {"set_mempolicy", SYS_set_mempolicy, 0, 0, 0},
    {"mbind", SYS_mbind, 0, 0, 0, 0, 0, 0},
    {"move_pages", SYS_move_pages, 0, 0, 0, 0, 0, 0},
    {"migrate_pages", SYS_migrate_pages, 0, 0, 0, 0},
    {"landlock_version", 444, 0, 0, 1},
    {"seccomp_notif_sizes", SYS_seccomp, 3, 0, pointer(scratch)},
    {"seccomp_set_filter", SYS_seccomp, 1, 0, 0},
    {"clone3_empty", SYS_clone3, 0, 0},
    {"membarrier_query", SYS_membarrier, 0, 0, 0},
    {"openat2", SYS_openat2, AT_FDCWD, pointer("/"), 0, 0},
    {"faccessat2", SYS_faccessat2, AT_FDCWD, pointer("/"), 0, 0},
    {"close_range", SYS_close_range, 1 << 20, 1 << 20, 0},
    {"copy_file_range", SYS_copy_file_range, -1, 0, -1, 0, 1, 0},
    {"vmsplice", SYS_vmsplice, -1, 0, 0, 0},
    {"timerfd_alarm", SYS_timerfd_create, 9, 0},
    {"pkey_alloc", SYS_pkey_alloc, 0, 0},
    {"epoll_pwait2", 441, -1, 0, 0, 0},
    {"quotactl_fd", 443, -1, 0, 0, 0},
    {"process_mrelease", 448, -1, 0},
    {"futex_waitv", 449, 0, 0, 0, 0},
    {"set_mempolicy_home_node", 450, 0, 0, 0, 1},
    {"cachestat", 451, -1, 0, 0, 0},
    {"fchmodat2", 452, AT_FDCWD, pointer(nowhere), 0, 0},
    {"map_shadow_stack", 453, 0, 0, 1 << 20},
    {"futex_wake", 454, 0, 0, 0, 0},
    {"statmount", 457, 0, 0, 0, 0},
    {"listmount", 458, 0, 0, 0, 0},
    {"lsm_list_modules", 461, 0, 0, 1},
    {"mseal", 462, 1, 0, 1},
    {"setxattrat", 463, -1, 0, 0, 0, 0, 0},
    {"file_getattr", 468, -1, 0, 0, 0, 0},
    {"sysfs", SYS_sysfs, 3, 0, 0},
    {"uselib", SYS_uselib, pointer(nowhere)},
    {"vserver", SYS_vserver, 0, 0, 0},
    {"x32_getpid", 0x40000000 | SYS_getpid},
    {"setuid", SYS_setuid, 65534, 0, 0, 0, 0, 0, true},
    {"setgroups", SYS_setgroups, 0, 0, 0, 0, 0, 0, true},
    {"setresuid_root", SYS_setresuid, 0, 0, 0, 0, 0, 0, true},
    {"setpriority_up", SYS_setpriority, PRIO_PROCESS, 0, -5, 0, 0, 0, true},
    {"mlock", SYS_mlock, pointer(scratch), 4096, 0, 0, 0, 0, true},
    {"personality_no_random", SYS_personality, 0x0040000, 0, 0, 0, 0, 0, true},
    {"socket_unix", SYS_socket, AF_UNIX, SOCK_STREAM, 0},
    {"socket_inet_stream", SYS_socket, AF_INET, SOCK_STREAM, 0},
    {"socket_inet_dgram", SYS_socket, AF_INET, SOCK_DGRAM, 0},
    {"socket_inet_raw", SYS_socket, AF_INET, SOCK_RAW, 1},
    {"socket_ping", SYS_socket, AF_INET, SOCK_DGRAM, 1},
    {"socket_inet6", SYS_socket, AF_INET6, SOCK_STREAM, 0},
    {"socket_packet", SYS_socket, AF_PACKET, SOCK_RAW, 0},
    {"socket_netlink_route", SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE},
    {"socket_netlink_audit", SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_AUDIT},
    {"socket_netlink_netfilter", SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER},
    {"socket_netlink_uevent", SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT},
    {"socket_netlink_diag", SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG},
    {"socket_vsock", SYS_socket, AF_VSOCK, SOCK_STREAM, 0},
    {"socket_alg", SYS_socket, AF_ALG, SOCK_SEQPACKET, 0},
    {"socket_key", SYS_socket, AF_KEY, SOCK_RAW, 2},
    {"socket_xdp", SYS_socket, 44, SOCK_RAW, 0},
    {"socket_bluetooth", SYS_socket, AF_BLUETOOTH, SOCK_RAW, 1},
    {"socket_can", SYS_socket, AF_CAN, SOCK_RAW, 1},
    {"socket_tipc", SYS_socket, 30, SOCK_SEQPACKET, 0},
};
constexpr std::size_t call_count = sizeof(calls) / sizeof(calls[0]);

struct Shared {
  std::size_t next;
  int error[call_count];  // -1: not made, 0: permitted, else errno; above 1000: killed by a signal
};

// 128 bytes of zeros are a valid perf_event_attr of a hardware counter and io_uring_params.
long make(const Call& call) {
  Call made = call;
  if (call.number == SYS_perf_event_open) {
    auto* attribute = reinterpret_cast<std::uint32_t*>(scratch);
    attribute[0] = 1;    // software
    attribute[1] = 128;  // size
    made.a = pointer(scratch);
  }
  if (call.number == SYS_io_uring_setup) made.b = pointer(scratch + 1024);
  long got = ::syscall(made.number, made.a, made.b, made.c, made.d, made.e, made.f);
  std::memset(scratch, 0, sizeof(scratch));
  return got;
}

void run_from(Shared& shared, std::size_t first, std::size_t end) {
  for (std::size_t i = first; i < end; ++i) {
    shared.next = i;
    errno = 0;
    shared.error[i] = make(calls[i]) < 0 ? errno : 0;
    shared.next = i + 1;
  }
}

// One child makes the calls from `first` on; where a filter kills it, the next goes on behind.
void run_in_child(Shared& shared, std::size_t first, std::size_t end) {
  pid_t child = ::fork();
  if (child < 0) return;
  if (child == 0) {
    ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);  // no core file where the filter kills
    run_from(shared, first, end);
    ::_exit(0);
  }
  int status = 0;
  while (::waitpid(child, &status, __WALL) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status) && shared.next < end) {
    shared.error[shared.next] = 1000 + WTERMSIG(status);
    ++shared.next;
  }
}

}  // namespace

void read_refusals(const Channel& channel) {
  void* memory =
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return say_error(channel, "all", "mmap(2)", errno);
  auto& shared = *static_cast<Shared*>(memory);
  for (int& error : shared.error) error = -1;
  for (std::size_t i = 0; i < call_count;) {
    std::size_t end = i + 1;
    if (!calls[i].alone)
      while (end < call_count && !calls[end].alone) ++end;
    std::size_t before = shared.next = i;
    run_in_child(shared, i, end);
    i = shared.next > before ? shared.next : end;
  }
  for (std::size_t i = 0; i < call_count; ++i) {
    int error = shared.error[i];
    if (error < 0)
      say_error(channel, calls[i].name, "system call, raw", ECANCELED);
    else if (error > 1000)
      say(channel, calls[i].name, "system call, raw", "killed");
    else
      say(channel, calls[i].name, "system call, raw", error == 0 ? "permitted" : error_name(error));
  }
  ::munmap(memory, sizeof(Shared));
}

// A process that is traced already cannot be traced again.
void read_trace_me(const Channel& channel) {
  pid_t child = ::fork();
  if (child < 0) return say_error(channel, "", "ptrace(PTRACE_TRACEME)", errno);
  if (child == 0) ::_exit(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0 ? 0 : errno & 0xff);
  int status = 0;
  while (::waitpid(child, &status, __WALL) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status))
    say(channel, "", "ptrace(PTRACE_TRACEME)", "killed");
  else
    say(channel, "", "ptrace(PTRACE_TRACEME)",
        WEXITSTATUS(status) == 0 ? "permitted" : error_name(WEXITSTATUS(status)));
}

}  // namespace gyges::probe
