#include "sandbox/isolation/emulation.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cstddef>
#include <utility>

namespace gyges::isolation {
namespace {

sock_filter statement(unsigned code, std::uint32_t value) {
  return {static_cast<__u16>(code), 0, 0, value};
}
sock_filter jump(unsigned code, std::uint32_t value, std::size_t yes, std::size_t no) {
  return {static_cast<__u16>(code), static_cast<__u8>(yes), static_cast<__u8>(no), value};
}

}  // namespace

std::string emulation_program(const Emulation& emulation) {
  std::vector<std::uint32_t> calls;
  if (!emulation.release.empty()) calls.push_back(SYS_uname);
  if (emulation.sysinfo) calls.push_back(SYS_sysinfo);
  if (emulation.processors > 0) calls.push_back(SYS_sched_getaffinity);
  if (!emulation.mounts.empty()) calls.insert(calls.end(), {SYS_statfs, SYS_fstatfs});
  if (emulation.namespaces != Emulation::Namespaces::kernels)
    calls.insert(calls.end(), {SYS_readlink, SYS_readlinkat});
  // Links are seen being made, so that not every open has to be looked up for one.
  if (emulation.answers_opens())
    calls.insert(calls.end(), {SYS_openat2, SYS_symlink, SYS_symlinkat});
  const unsigned load = BPF_LD | BPF_W | BPF_ABS;
  const unsigned equal = BPF_JMP | BPF_JEQ | BPF_K;
  const sock_filter allow = statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  const sock_filter notify = statement(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
  auto argument = [&](unsigned index) {  // its lower half
    return statement(load, static_cast<std::uint32_t>(offsetof(seccomp_data, args) + 8 * index));
  };
  std::vector<sock_filter> program;
  program.push_back(statement(load, offsetof(seccomp_data, arch)));
  program.push_back(jump(equal, AUDIT_ARCH_X86_64, 1, 0));
  program.push_back(allow);
  program.push_back(statement(load, offsetof(seccomp_data, nr)));
  for (std::uint32_t number : calls) {
    program.push_back(jump(equal, number, 0, 1));
    program.push_back(notify);
  }
  if (emulation.answers_opens())
    for (auto [number, flags] :
         {std::pair<std::uint32_t, unsigned>{SYS_open, 1}, {SYS_openat, 2}}) {
      program.push_back(jump(equal, number, 0, 4));
      program.push_back(argument(flags));
      program.push_back(jump(BPF_JMP | BPF_JSET | BPF_K, unanswered_opens, 0, 1));
      program.push_back(allow);
      program.push_back(notify);
    }
  if (emulation.state) {
    program.push_back(jump(equal, SYS_prctl, 0, 5));
    program.push_back(argument(0));
    program.push_back(jump(equal, PR_GET_SECCOMP, 2, 0));
    program.push_back(jump(equal, PR_GET_NO_NEW_PRIVS, 1, 0));
    program.push_back(jump(equal, PR_CAPBSET_READ, 0, 1));
    program.push_back(notify);
  }
  program.push_back(allow);
  return {reinterpret_cast<const char*>(program.data()), program.size() * sizeof(sock_filter)};
}

}  // namespace gyges::isolation
