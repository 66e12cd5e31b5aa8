#include "sandbox/recorder/format/resource_signs.h"

#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <initializer_list>

namespace gyges::recorder {
namespace {

bool is_one_of(std::uint32_t number, std::initializer_list<long> calls) {
  return std::find(calls.begin(), calls.end(), static_cast<long>(number)) != calls.end();
}

bool makes_process(std::uint32_t number) {
  return is_one_of(number, {SYS_fork, SYS_vfork, SYS_clone, SYS_clone3});
}

bool asks_for_memory(std::uint32_t number) {
  return makes_process(number) ||
         is_one_of(number, {SYS_brk, SYS_mmap, SYS_mremap, SYS_mprotect, SYS_execve, SYS_execveat,
                            SYS_shmget, SYS_shmat, SYS_read, SYS_write, SYS_pwrite64, SYS_writev,
                            SYS_fallocate, SYS_ftruncate});
}

bool makes_file(std::uint32_t number) {
  return is_one_of(number, {SYS_open, SYS_creat, SYS_openat, SYS_openat2, SYS_mkdir, SYS_mkdirat,
                            SYS_mknod, SYS_mknodat, SYS_symlink, SYS_symlinkat, SYS_link,
                            SYS_linkat, SYS_rename, SYS_renameat, SYS_renameat2, SYS_bind});
}

// ENOSPC is also what inotify_add_watch and epoll_ctl answer beyond a quota of the user's.
bool writes(std::uint32_t number) {
  return is_one_of(
      number, {SYS_write,           SYS_pwrite64,  SYS_writev,       SYS_pwritev,  SYS_pwritev2,
               SYS_fallocate,       SYS_ftruncate, SYS_truncate,     SYS_sendfile, SYS_splice,
               SYS_copy_file_range, SYS_msync,     SYS_fsync,        SYS_close,    SYS_setxattr,
               SYS_fsetxattr,       SYS_lsetxattr, SYS_memfd_create, SYS_chmod,    SYS_fchmodat,
               SYS_chown,           SYS_lchown,    SYS_fchownat,     SYS_utimensat});
}

}  // namespace

void ResourceSigns::count_sign(const Event& event) {
  if (event.kind == EventKind::signal) {
    // A process can send itself the signal, but not with the kernel's own code.
    if (event.args[0] == SIGXCPU && static_cast<std::int64_t>(event.args[1]) == SI_KERNEL)
      ++processor_time;
    return;
  }
  if (event.abi != Abi::x86_64 || event.verdict != Verdict::allowed || !event.has_exit) return;
  const std::uint32_t number = event.number;
  if (event.result >= 0) {
    if (number == brk_number) {
      if (event.args[0] != 0 && static_cast<std::uint64_t>(event.result) < event.args[0])
        ++no_memory;
      return;
    }
    const std::uint64_t resource = number == prlimit_number ? event.args[1] : event.args[0];
    if ((number == setrlimit_number || (number == prlimit_number && event.args[2] != 0)) &&
        resource < 64)
      changed |= std::uint64_t{1} << resource;
    return;
  }
  switch (-event.result) {
    case EMFILE:
      // inotify_init answers it beyond a quota of the user's.
      no_descriptor += is_one_of(number, {SYS_inotify_init, SYS_inotify_init1}) ? 0 : 1;
      break;
    case ENOMEM:
      no_memory += asks_for_memory(number) ? 1 : 0;
      break;
    case EFBIG:
      ++file_too_large;
      break;
    case ENOSPC:
      no_inode += makes_file(number) ? 1 : 0;
      no_space += writes(number) ? 1 : 0;
      break;
    case EAGAIN:
      no_process += makes_process(number) ? 1 : 0;
      break;
    default:
      break;
  }
}

}  // namespace gyges::recorder
