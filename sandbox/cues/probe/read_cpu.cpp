// CPUID: what the processor itself says, past every file of the kernel. Some hosts let the kernel
// trap the instruction; then it ends in SIGSEGV unless something answers it.
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <initializer_list>

#include "sandbox/cues/probe/output.h"
#include "sandbox/cues/probe/readers.h"
#include "sandbox/cues/probe/text.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>
#endif

namespace gyges::probe {

#if defined(__x86_64__)
namespace {

sigjmp_buf refused;

void on_fault(int) {
  siglongjmp(refused, 1);
}

struct Leaf {
  std::uint32_t a = 0, b = 0, c = 0, d = 0;
};

// Catches the trap only where nobody answers it: a handler of another would be found otherwise.
bool leaf(std::uint32_t number, std::uint32_t sub, Leaf& out) {
  struct sigaction action {};
  struct sigaction before {};
  action.sa_handler = on_fault;
  action.sa_flags = SA_NODEFER;
  ::sigaction(SIGSEGV, nullptr, &before);
  bool own = before.sa_handler == SIG_DFL;
  if (own) ::sigaction(SIGSEGV, &action, nullptr);
  bool done = false;
  if (sigsetjmp(refused, 1) == 0) {
    __cpuid_count(number, sub, out.a, out.b, out.c, out.d);
    done = true;
  }
  if (own) ::sigaction(SIGSEGV, &before, nullptr);
  return done;
}

void say_leaf(const Channel& channel, const char* detail, std::uint32_t number, std::uint32_t sub,
              std::uint32_t b_mask = ~0U) {
  Leaf got;
  if (!leaf(number, sub, got)) return say_error(channel, detail, "CPUID", EFAULT);
  Text text;
  text.add("%08x %08x %08x %08x", got.a, got.b & b_mask, got.c, got.d);
  say(channel, detail, "CPUID", text.bytes);
}

// The largest of the last level, in the unit of /sys. AMD has its own leaf of the same form.
void say_last_cache(const Channel& channel) {
  unsigned long long kilobytes = 0;
  for (const std::uint32_t number : {4U, 0x8000001dU}) {
    for (std::uint32_t index = 0; index < 8; ++index) {
      Leaf got;
      if (!leaf(number, index, got) || (got.a & 31U) == 0 || (got.a & 31U) > 3) break;
      kilobytes = ((got.b & 0xfffULL) + 1) * ((got.b >> 12U & 0x3ffULL) + 1) *
                  ((got.b >> 22U) + 1ULL) * (got.c + 1ULL) / 1024;
    }
    if (kilobytes > 0) break;
  }
  if (kilobytes > 0)
    say_number(channel, "last_cache_kb", "CPUID leaf 4", static_cast<long long>(kilobytes));
}

}  // namespace

void read_cpuid(const Channel& channel) {
  Leaf got;
  if (!leaf(0, 0, got)) return say_error(channel, "vendor", "CPUID", EFAULT);
  char text[64] = {};
  std::memcpy(text, &got.b, 4);
  std::memcpy(text + 4, &got.d, 4);
  std::memcpy(text + 8, &got.c, 4);
  say(channel, "vendor", "CPUID leaf 0", text);
  say_number(channel, "highest_leaf", "CPUID leaf 0", got.a);
  if (leaf(1, 0, got)) {
    say_number(channel, "hypervisor_bit", "CPUID leaf 1", got.c >> 31U);
    std::uint32_t family =
        (got.a >> 8U & 15U) + ((got.a >> 8U & 15U) == 15 ? got.a >> 20U & 255U : 0);
    std::uint32_t model = (got.a >> 4U & 15U) | (got.a >> 16U & 15U) << 4U;
    std::snprintf(text, sizeof(text), "%u/%u/%u", family, model, got.a & 15U);
    say(channel, "signature", "CPUID leaf 1", text);
    std::snprintf(text, sizeof(text), "%08x %08x", got.c & ~(1U << 27U), got.d);
    say(channel, "features", "CPUID leaf 1", text);
    say_number(channel, "logical_processors", "CPUID leaf 1", got.b >> 16U & 255U);
  }
  if (leaf(0x40000000, 0, got)) {
    std::memset(text, 0, sizeof(text));
    std::memcpy(text, &got.b, 4);
    std::memcpy(text + 4, &got.c, 4);
    std::memcpy(text + 8, &got.d, 4);
    say(channel, "hypervisor_name", "CPUID leaf 0x40000000", text);
  }
  // Whether the kernel could have it fault instead of answering: asked by setting what is set.
  constexpr int set_cpuid = 0x1012;  // ARCH_SET_CPUID
  const bool possible = ::syscall(SYS_arch_prctl, set_cpuid, 1) == 0;
  if (possible || errno == ENODEV)
    say(channel, "faulting", "arch_prctl(ARCH_SET_CPUID), raw",
        possible ? "possible" : "impossible");
  else
    say_error(channel, "faulting", "arch_prctl(ARCH_SET_CPUID), raw", errno);
  say_leaf(channel, "hypervisor_features", 0x40000001, 0);
  say_leaf(channel, "caches.0", 4, 0);
  say_leaf(channel, "caches.3", 4, 3);
  say_last_cache(channel);
  say_leaf(channel, "extended_features", 7, 0);
  say_leaf(channel, "frequency", 0x16, 0);
  say_leaf(channel, "time_stamp_ratio", 0x15, 0);
  say_leaf(channel, "extended", 0x80000001, 0);
  say_leaf(channel, "address_sizes", 0x80000008, 0);
  Channel changing = channel;
  changing.kind = Kind::changing;  // the number of the processor it ran on
  say_leaf(changing, "topology.0", 0xb, 0);
  say_leaf(changing, "topology.1", 0xb, 1);
  Text brand;
  for (std::uint32_t number = 0x80000002; number <= 0x80000004; ++number)
    if (leaf(number, 0, got)) {
      brand.add_bytes(reinterpret_cast<const char*>(&got), 16);
    }
  // Ends in NULs, which are no part of the name.
  say(channel, "brand", "CPUID leaf 0x80000002", brand.bytes);
}

void read_cpuid_cost(const Channel& channel) {
  Leaf got;
  if (!leaf(0, 0, got)) return say_error(channel, "cycles", "CPUID", EFAULT);
  static constexpr int rounds = 64;
  unsigned long long cost[rounds];
  for (unsigned long long& one : cost) {
    unsigned processor = 0;
    unsigned long long begin = __rdtscp(&processor);
    __cpuid_count(0, 0, got.a, got.b, got.c, got.d);
    one = __rdtscp(&processor) - begin;
  }
  for (int i = 1; i < rounds; ++i)
    for (int k = i; k > 0 && cost[k] < cost[k - 1]; --k) {
      unsigned long long swap = cost[k];
      cost[k] = cost[k - 1];
      cost[k - 1] = swap;
    }
  say_number(channel, "cycles", "RDTSCP around CPUID, median of 64",
             static_cast<long long>(cost[rounds / 2]));
}
#else
void read_cpuid(const Channel& channel) {
  say_error(channel, "vendor", "CPUID", ENOSYS);
}
void read_cpuid_cost(const Channel& channel) {
  say_error(channel, "cycles", "CPUID", ENOSYS);
}
#endif

}  // namespace gyges::probe
