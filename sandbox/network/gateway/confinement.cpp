#include "sandbox/network/gateway/confinement.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <vector>

namespace gyges::network {
namespace {

constexpr unsigned nobody = 65534;

Status empty_root() {
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=0,nr_inodes=1") !=
          0 ||
      ::chdir("/tmp") != 0 || ::syscall(SYS_pivot_root, ".", ".") != 0 ||
      ::umount2(".", MNT_DETACH) != 0 || ::chdir("/") != 0)
    return fail_errno("leave file system", "gateway");
  return ok();
}

Status limit(int resource, std::uint64_t value) {
  rlimit now{};
  ::getrlimit(static_cast<__rlimit_resource>(resource), &now);
  rlimit wanted{value, value};
  if (::setrlimit(static_cast<__rlimit_resource>(resource), &wanted) == 0) return ok();
  // An ordinary user may not go past the hard limit; fewer connections are open at one time then.
  wanted.rlim_cur = wanted.rlim_max = now.rlim_max;
  if (::setrlimit(static_cast<__rlimit_resource>(resource), &wanted) != 0)
    return fail_errno("set limits", "gateway");
  return ok();
}

Status drop_capabilities() {
  for (unsigned long capability = 0; capability < 64; ++capability)
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && errno == EINVAL) break;
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2]{};
  if (::syscall(SYS_capset, &header, none) != 0) return fail_errno("drop privileges", "gateway");
  return ok();
}

}  // namespace

Status give_up_surroundings(bool needs_host_network, std::uint64_t open_files,
                            std::uint64_t file_bytes) {
  bool root = ::geteuid() == 0;
  GYGES_CHECK(limit(RLIMIT_NOFILE, open_files));
  GYGES_CHECK(limit(RLIMIT_FSIZE, file_bytes));
  GYGES_CHECK(limit(RLIMIT_CORE, 0));
  int flags = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS;
  if (!root) flags |= CLONE_NEWUSER;
  if (!needs_host_network) flags |= CLONE_NEWNET;
  if (::unshare(flags) != 0) return fail_errno("leave namespaces", "gateway");
  GYGES_CHECK(empty_root());
  if (root) {
    if (::setgroups(0, nullptr) != 0 || ::setresgid(nobody, nobody, nobody) != 0 ||
        ::setresuid(nobody, nobody, nobody) != 0)
      return fail_errno("become nobody", "gateway");
    // The change of user cleared it.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  } else {
    GYGES_CHECK(drop_capabilities());
  }
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return fail_errno("renounce privileges", "gateway");
  return ok();
}

Status filter_own_calls() {
  constexpr std::array allowed{SYS_read,
                               SYS_write,
                               SYS_readv,
                               SYS_writev,
                               SYS_recvfrom,
                               SYS_sendto,
                               SYS_recvmsg,
                               SYS_sendmsg,
                               SYS_accept4,
                               SYS_close,
                               SYS_epoll_wait,
                               SYS_epoll_pwait,
                               SYS_epoll_ctl,
                               SYS_connect,
                               SYS_getsockopt,
                               SYS_setsockopt,
                               SYS_getsockname,
                               SYS_getpeername,
                               SYS_shutdown,
                               SYS_bind,
                               SYS_munmap,
                               SYS_mremap,
                               SYS_brk,
                               SYS_madvise,
                               SYS_clock_gettime,
                               SYS_futex,
                               SYS_sched_yield,
                               SYS_getrandom,
                               SYS_gettimeofday,
                               SYS_time,
                               SYS_exit,
                               SYS_exit_group,
                               SYS_rt_sigreturn,
                               SYS_rt_sigprocmask,
                               SYS_restart_syscall,
                               SYS_getpid,
                               SYS_gettid,
                               SYS_splice,
                               SYS_tee,
                               SYS_pipe2,
                               SYS_pread64,
                               SYS_pwrite64,
                               SYS_recvmmsg,
                               SYS_sendmmsg,
                               SYS_poll};
  std::vector<sock_filter> filter;
  auto load = [&](std::size_t offset) {
    filter.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset)));
  };
  constexpr std::uint32_t refuse = SECCOMP_RET_ERRNO | EPERM;
  load(offsetof(seccomp_data, arch));
  filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0));
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
  load(offsetof(seccomp_data, nr));
  for (long number : allowed) {
    filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(number), 0, 1));
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  }
  // Sockets of the Internet families alone; memory that can be executed never.
  auto argument = [](int index) { return offsetof(seccomp_data, args) + 8UL * index; };
  filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 5));
  load(argument(0));
  filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET, 1, 0));
  filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 0, 1));
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, refuse));
  filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 1, 0));
  filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 4));
  load(argument(2));
  filter.push_back(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 1, 0));
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, refuse));
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, refuse));
  sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  // Of all threads, or of none.
  const long outcome =
      ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
  if (outcome > 0)
    return fail("filter system calls", "gateway", "one of its threads cannot be filtered");
  if (outcome != 0) return fail_errno("filter system calls", "gateway");
  return ok();
}

}  // namespace gyges::network
