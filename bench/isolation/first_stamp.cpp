// As stamp, at its very first instruction: without a C library, whose start asks the processor some
// fifty questions, each of which a virtual machine's host answers.
#include <asm/unistd.h>

#include <ctime>

namespace {

long call(long number, long a, const void* b = nullptr, long c = 0) {
  long result;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c)
               : "rcx", "r11", "memory");
  return result;
}

}  // namespace

// The kernel leaves the stack aligned otherwise than a call does.
extern "C" [[noreturn, gnu::force_align_arg_pointer]] void _start() {
  timespec now{};
  call(__NR_clock_gettime, CLOCK_REALTIME, &now);
  const long long nanoseconds = now.tv_sec * 1000000000LL + now.tv_nsec;
  const bool written =
      call(__NR_write, 1, &nanoseconds, sizeof(nanoseconds)) == sizeof(nanoseconds);
  for (;;) call(__NR_exit_group, written ? 0 : 1);
}
