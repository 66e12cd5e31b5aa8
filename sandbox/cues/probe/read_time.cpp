#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "sandbox/cues/probe/output.h"
#include "sandbox/cues/probe/readers.h"
#include "sandbox/cues/probe/text.h"

namespace gyges::probe {
namespace {

double raw_clock(int clock) {
  timespec time{};
  if (::syscall(SYS_clock_gettime, clock, &time) != 0) return -1;
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

double library_clock(int clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

// Whole seconds with a grain of two: two readings that follow each other agree.
void say_difference(const Channel& channel, const char* detail, const char* how,
                    double difference) {
  say_number(channel, detail, how, static_cast<long long>(difference / 2) * 2);
}

template <class Work>
void say_median(const Channel& channel, const char* detail, const char* how, Work work) {
  static constexpr int rounds = 101;
  long times[rounds];
  for (long& time : times) {
    timespec begin{};
    timespec end{};
    ::clock_gettime(CLOCK_MONOTONIC, &begin);
    work();
    ::clock_gettime(CLOCK_MONOTONIC, &end);
    time = (end.tv_sec - begin.tv_sec) * 1000000000L + end.tv_nsec - begin.tv_nsec;
  }
  std::qsort(times, rounds, sizeof(long), [](const void* a, const void* b) {
    long x = *static_cast<const long*>(a);
    long y = *static_cast<const long*>(b);
    return x < y ? -1 : x > y ? 1 : 0;
  });
  say_number(channel, detail, how, times[rounds / 2]);
}

}  // namespace

void read_clocks(const Channel& channel) {
  say_difference(channel, "library_minus_raw_realtime",
                 "clock_gettime(3) and clock_gettime(2), raw",
                 library_clock(CLOCK_REALTIME) - raw_clock(CLOCK_REALTIME));
  say_difference(channel, "library_minus_raw_monotonic",
                 "clock_gettime(3) and clock_gettime(2), raw",
                 library_clock(CLOCK_MONOTONIC) - raw_clock(CLOCK_MONOTONIC));
  say_difference(channel, "coarse_minus_fine", "clock_gettime(2), raw",
                 raw_clock(CLOCK_REALTIME_COARSE) - raw_clock(CLOCK_REALTIME));
  say_difference(channel, "time_minus_realtime", "time(2), raw",
                 static_cast<double>(::syscall(SYS_time, nullptr)) - raw_clock(CLOCK_REALTIME));
  // A file made now carries the kernel's own idea of now.
  char name[] = "/tmp/.probe-XXXXXX";
  int fd = ::mkstemp(name);
  if (fd >= 0) {
    struct stat info {};
    if (::fstat(fd, &info) == 0)
      say_difference(channel, "file_minus_realtime", "date of a new file in /tmp",
                     static_cast<double>(info.st_mtime) - raw_clock(CLOCK_REALTIME));
    ::unlink(name);
    ::close(fd);
  } else {
    say_error(channel, "file_minus_realtime", "date of a new file in /tmp", errno);
  }
  struct stat passwd {};
  if (::stat("/etc/passwd", &passwd) == 0)
    say(channel, "passwd_in_future", "stat /etc/passwd",
        static_cast<double>(passwd.st_mtime) > raw_clock(CLOCK_REALTIME) + 5 ? "yes" : "no");
  Channel changing = channel;
  changing.kind = Kind::changing;
  say_number(changing, "now", "clock_gettime(2), raw",
             static_cast<long long>(raw_clock(CLOCK_REALTIME)));
  timex state{};
  int clock = ::adjtimex(&state);
  if (clock < 0)
    say_error(channel, "synchronised", "adjtimex(2)", errno);
  else
    say(changing, "synchronised", "adjtimex(2)", (state.status & STA_UNSYNC) != 0 ? "no" : "yes");
  timespec grain{};
  if (::clock_getres(CLOCK_MONOTONIC, &grain) == 0)
    say_number(channel, "resolution_ns", "clock_getres(2)", grain.tv_nsec);
}

void read_uptime(const Channel& channel) {
  Channel changing = channel;
  changing.kind = Kind::changing;
  struct sysinfo info {};
  double boot = raw_clock(CLOCK_BOOTTIME);
  say_number(changing, "boottime", "clock_gettime(2), raw", static_cast<long long>(boot));
  say_number(changing, "monotonic", "clock_gettime(2), raw",
             static_cast<long long>(raw_clock(CLOCK_MONOTONIC)));
  if (::sysinfo(&info) == 0) {
    say_number(changing, "sysinfo", "sysinfo(2)", info.uptime);
    say_difference(channel, "sysinfo_minus_boottime", "sysinfo(2)",
                   static_cast<double>(info.uptime) - boot);
  }
  static char text[1U << 16U];
  const char* word = nullptr;
  std::size_t length = 0;
  if (read_file("/proc/uptime", text, sizeof(text)) < 0) {
    say_error(channel, "proc", "read /proc/uptime", errno);
  } else if (find_word(text, 0, &word, &length)) {
    double up = std::atof(word);
    say_number(changing, "proc", "read /proc/uptime", static_cast<long long>(up));
    say_difference(channel, "proc_minus_boottime", "read /proc/uptime", up - boot);
    if (find_word(text, 1, &word, &length)) {
      double idle = std::atof(word);
      long processors = ::sysconf(_SC_NPROCESSORS_CONF);
      Text percent;
      percent.add("%.0f",
                  up > 0 && processors > 0 ? idle * 100 / up / static_cast<double>(processors) : 0);
      say(changing, "idle_percent", "read /proc/uptime", percent.bytes);
      say(channel, "idle_possible", "read /proc/uptime",
          idle <= up * static_cast<double>(processors) * 1.02 + 60 ? "yes" : "no");
    }
  }
  if (read_file("/proc/stat", text, sizeof(text)) > 0 && find_line(text, "btime", &word, &length)) {
    say(changing, "btime", "read /proc/stat", word, length);
    say_difference(channel, "btime_plus_boottime_minus_now", "read /proc/stat",
                   std::atof(word) + boot - raw_clock(CLOCK_REALTIME));
  } else {
    say_error(channel, "btime", "read /proc/stat", ENODATA);
  }
}

void read_latency(const Channel& channel) {
  say_median(channel, "getppid_ns", "getppid(2), raw, median of 101",
             [] { ::syscall(SYS_getppid); });
  say_median(channel, "clock_gettime_ns", "clock_gettime(3), median of 101", [] {
    timespec time{};
    ::clock_gettime(CLOCK_MONOTONIC, &time);
  });
  say_median(channel, "uname_ns", "uname(2), raw, median of 101", [] {
    utsname names{};
    ::syscall(SYS_uname, &names);
  });
  say_median(channel, "sysinfo_ns", "sysinfo(2), raw, median of 101", [] {
    struct sysinfo info {};
    ::syscall(SYS_sysinfo, &info);
  });
  say_median(channel, "open_status_ns", "open /proc/self/status, median of 101", [] {
    int fd = ::open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) ::close(fd);
  });
  say_median(channel, "open_version_ns", "open /proc/version, median of 101", [] {
    int fd = ::open("/proc/version", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) ::close(fd);
  });
  say_median(channel, "stat_root_ns", "stat /, median of 101", [] {
    struct stat info {};
    ::stat("/", &info);
  });
}

}  // namespace gyges::probe
