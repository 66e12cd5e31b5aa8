#include "sandbox/init/decoy_door.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

// A page of code that makes a system call, as syscall(2) but with five arguments and with errors as
// the kernel tells them.
asm(R"(
  .pushsection .text.decoy_door, "ax", @progbits
  .balign 4096
  .globl gyges_decoy_door, gyges_decoy_door_ip
  .hidden gyges_decoy_door, gyges_decoy_door_ip
gyges_decoy_door:
  mov %rdi, %rax
  mov %rsi, %rdi
  mov %rdx, %rsi
  mov %rcx, %rdx
  mov %r8, %r10
  mov %r9, %r8
  xor %r9d, %r9d
  syscall
gyges_decoy_door_ip:
  ret
  .balign 4096
  .popsection
)");

extern "C" const char gyges_decoy_door_ip[];  // where its call returns to

namespace gyges::init {
namespace {

constexpr long page = 4096;

bool load_filter(sock_filter* instructions, std::size_t length) {
  sock_fprog program{static_cast<unsigned short>(length), instructions};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}

}  // namespace

long plain_call(long number, long a, long b, long c) {
  long result;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c)
               : "rcx", "r11", "memory");
  return result;
}

bool load_filter_with_door() {
  const auto ip = reinterpret_cast<std::uint64_t>(gyges_decoy_door_ip);
  constexpr std::uint32_t ip_offset = 8;  // of seccomp_data
  sock_filter filter[] = {
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, 4},  // the ABI
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 9, AUDIT_ARCH_X86_64},
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, ip_offset},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 2, static_cast<std::uint32_t>(ip)},
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, ip_offset + 4},
      {BPF_JMP | BPF_JEQ | BPF_K, 4, 0, static_cast<std::uint32_t>(ip >> 32U)},
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, 0},  // the number
      {BPF_JMP | BPF_JEQ | BPF_K, 2, 0, SYS_pause},
      {BPF_JMP | BPF_JEQ | BPF_K, 1, 0, SYS_munmap},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_close_range},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS},
  };
  return load_filter(filter, sizeof(filter) / sizeof(filter[0]));
}

void remove_door() {
  plain_call(SYS_munmap, reinterpret_cast<long>(&gyges_decoy_door), page);
}

bool load_filter_without_door() {
  sock_filter filter[] = {
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, 4},  // the ABI
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 5, AUDIT_ARCH_X86_64},
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, 0},  // the number
      {BPF_JMP | BPF_JEQ | BPF_K, 2, 0, SYS_pause},
      {BPF_JMP | BPF_JEQ | BPF_K, 1, 0, SYS_write},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_close_range},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS},
  };
  return load_filter(filter, sizeof(filter) / sizeof(filter[0]));
}

}  // namespace gyges::init
