#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

void say_variable(const Channel& channel, const char* how, const char* variable) {
  const char* equals = std::strchr(variable, '=');
  char name[160];
  std::size_t length =
      equals != nullptr ? static_cast<std::size_t>(equals - variable) : std::strlen(variable);
  if (length >= sizeof(name)) length = sizeof(name) - 1;
  std::memcpy(name, variable, length);
  name[length] = 0;
  say(channel, name, how, equals != nullptr ? equals + 1 : "");
}

}  // namespace

void read_environment(const Channel& channel) {
  for (char** at = ::environ; *at != nullptr; ++at) say_variable(channel, "environment", *at);
}

// What a launcher leaves in the environment of pid 1 is there even when the command's is clean.
void read_environment_of_init(const Channel& channel) {
  static char bytes[1U << 16U];
  const char* how = "read /proc/1/environ";
  long got = read_file("/proc/1/environ", bytes, sizeof(bytes));
  if (got < 0) return say_error(channel, "access", how, errno);
  say(channel, "access", how, got > 0 ? "variables" : "empty");
  for (long at = 0; at < got; at += static_cast<long>(std::strlen(bytes + at)) + 1)
    if (bytes[at] != 0) say_variable(channel, how, bytes + at);
}

void read_terminal(const Channel& channel) {
  const char* names[] = {"stdin", "stdout", "stderr"};
  for (int fd = 0; fd < 3; ++fd) say_number(channel, names[fd], "isatty", ::isatty(fd));
  int fd = ::open("/dev/tty", O_RDWR | O_CLOEXEC);
  if (fd < 0) return say_error(channel, "controlling", "open /dev/tty", errno);
  ::close(fd);
  say(channel, "controlling", "open /dev/tty", "present");
}

void read_identity(const Channel& channel) {
  say_number(channel, "uid", "getuid(2)", static_cast<long>(::getuid()));
  say_number(channel, "euid", "geteuid(2)", static_cast<long>(::geteuid()));
  say_number(channel, "gid", "getgid(2)", static_cast<long>(::getgid()));
  gid_t groups[256];
  int count = ::getgroups(256, groups);
  Text text;
  for (int i = 0; i < count; ++i) text.add("%s%u", i > 0 ? " " : "", groups[i]);
  say(channel, "groups", "getgroups(2)", text.bytes);
  // By hand: getpwuid would load libraries of the C library's choice.
  static char passwd[1U << 16U];
  if (read_file("/etc/passwd", passwd, sizeof(passwd)) < 0) {
    say_error(channel, "account", "read /etc/passwd", errno);
  } else {
    char wanted[32];
    std::snprintf(wanted, sizeof(wanted), ":%u:", ::getuid());
    long accounts = 0;
    long people = 0;
    bool found = false;
    char* state = nullptr;
    for (char* line = ::strtok_r(passwd, "\n", &state); line != nullptr;
         line = ::strtok_r(nullptr, "\n", &state)) {
      ++accounts;
      if (std::strstr(line, "nologin") == nullptr && std::strstr(line, "/false") == nullptr)
        ++people;
      const char* second = std::strchr(line, ':');
      const char* third = second != nullptr ? std::strchr(second + 1, ':') : nullptr;
      if (!found && third != nullptr && std::strncmp(third, wanted, std::strlen(wanted)) == 0) {
        say(channel, "account", "read /etc/passwd", line);
        found = true;
      }
    }
    if (!found) say_error(channel, "account", "read /etc/passwd", ENODATA);
    say_number(channel, "accounts", "count /etc/passwd", accounts);
    say_number(channel, "accounts_with_shell", "count /etc/passwd", people);
  }
  char directory[1024];
  if (::getcwd(directory, sizeof(directory)) != nullptr)
    say(channel, "directory", "getcwd(2)", directory);
  else
    say_error(channel, "directory", "getcwd(2)", errno);
  char host[256] = {};
  if (::gethostname(host, sizeof(host) - 1) == 0) say(channel, "hostname", "gethostname(3)", host);
}

void read_limits(const Channel& channel) {
  static const char* const names[] = {
      "cpu",     "fsize", "data",  "stack",      "core",     "rss",  "nproc",  "nofile",
      "memlock", "as",    "locks", "sigpending", "msgqueue", "nice", "rtprio", "rttime"};
  for (int i = 0; i < 16; ++i) {
    rlimit limit{};
    if (::getrlimit(static_cast<__rlimit_resource_t>(i), &limit) != 0) {
      say_error(channel, names[i], "getrlimit(2)", errno);
      continue;
    }
    Text text;
    text.add("%lld %lld", static_cast<long long>(limit.rlim_cur),
             static_cast<long long>(limit.rlim_max));
    say(channel, names[i], "getrlimit(2)", text.bytes);
  }
  mode_t mask = ::umask(022);
  ::umask(mask);
  Text text;
  text.add("%03o", mask);
  say(channel, "umask", "umask(2)", text.bytes);
  ::tzset();
  std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::localtime_r(&now, &parts);
  say(channel, "zone", "localtime(3)", parts.tm_zone != nullptr ? parts.tm_zone : "");
}

}  // namespace gyges::probe
