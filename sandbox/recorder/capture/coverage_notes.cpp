#include "sandbox/recorder/capture/coverage_notes.h"

#include <sys/syscall.h>

#include "sandbox/recorder/format/syscall_table.h"

namespace gyges::recorder {

// All ABIs have these numbers.
bool used_io_uring(const Event& event) {
  const std::uint32_t number = event.abi == Abi::x32 ? event.number & ~x32_bit : event.number;
  return (number == SYS_io_uring_setup || number == SYS_io_uring_enter) && event.has_exit &&
         event.result >= 0;
}

std::vector<std::string> not_observable(Backend backend) {
  std::vector<std::string> notes = {
      "vDSO calls (clock_gettime, gettimeofday, time, getcpu) and those by the vsyscall page are "
      "no "
      "system calls",
      "contents written and read through memory-mapped files and shared memory",
      backend == Backend::ebpf
          ? "what io_uring operations point to, where the policy allows io_uring: paths, buffers "
            "and addresses (opcode, descriptor and result are recorded)"
          : "operations submitted through io_uring, where the policy allows io_uring",
      "instructions that need no kernel: rdtsc, cpuid, rdrand",
      "bytes of a buffer beyond the recorded prefix, strings and argument lists beyond their limit",
      "32-bit callers: arrays of pointers (argv, envp, iovec, msghdr) are recorded as addresses",
      "argument memory is read at entry or exit; another thread may change it before the kernel "
      "reads it (opened and executed files carry the kernel's own identity)",
  };
  if (backend == Backend::ebpf)
    notes.emplace_back(
        "what a call points to for which seccomp ends the thread on the spot, in pages that nobody "
        "has touched (before Linux 6.16 in any page)");
  if (backend == Backend::ptrace) {
    notes.emplace_back(
        "the backend is visible from inside: PTRACE_TRACEME fails, ignored signals stop the "
        "process, calls take some 50 times as long");
    notes.emplace_back(
        "refusals by seccomp programs from before the sandbox (of a container around it) look like "
        "failures; a program that another thread changes while it is being loaded, and a "
        "supervisor "
        "of the agent's own that lets a call go on, make verdicts wrong, not calls or results");
    notes.emplace_back(
        "CLONE_UNTRACED: taken out of clone(2); clone3(2) with it answers ENOSYS, but a thread "
        "that "
        "changes the flags after they were checked creates a process that is not recorded");
  }
  return notes;
}

}  // namespace gyges::recorder
