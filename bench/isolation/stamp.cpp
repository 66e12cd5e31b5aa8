// Writes when it came to run: nanoseconds of the real-time clock, which no namespace shifts.
// Static, so that its first instruction is close to its execve.
#include <unistd.h>

#include <ctime>

int main() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  long long nanoseconds = now.tv_sec * 1000000000LL + now.tv_nsec;
  return ::write(1, &nanoseconds, sizeof(nanoseconds)) == sizeof(nanoseconds) ? 0 : 1;
}
