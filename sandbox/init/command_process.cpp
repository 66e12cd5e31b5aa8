#include "sandbox/init/command_process.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "sandbox/init/channel.h"
#include "sandbox/init/kernel_calls.h"

namespace gyges::init {
namespace {

// By calls that no policy refuses whose commands are to do anything.
long tell_pid_1(const Place& own, Stand::State state) {
  __atomic_store_n(&own.stand->state, state, __ATOMIC_RELEASE);
  const std::uint64_t one = 1;
  return write_quietly(own.reached, &one, sizeof(one));
}

[[noreturn]] void give_up(const Place& own, StartStep step, int code) {
  own.stand->failure = {code, step};
  tell_pid_1(own, Stand::given_up);
  ::_exit(127);
}

const char* variable(char* const* envp, const char* name) {
  std::size_t length = std::strlen(name);
  for (; *envp != nullptr; ++envp)
    if (std::strncmp(*envp, name, length) == 0 && (*envp)[length] == '=') return *envp + length + 1;
  return nullptr;
}

// The program's path, looked up in PATH unless it has a slash. Done before the gate, so that the
// record starts with the one execve that counts.
int find_program(const Payload& payload, char* path, std::size_t size) {
  const char* name = payload.argv[0];
  if (std::strchr(name, '/') != nullptr) {
    if (std::strlen(name) >= size) return ENAMETOOLONG;
    std::strcpy(path, name);
    return 0;
  }
  const char* list = variable(payload.envp, "PATH");
  int result = ENOENT;
  while (list != nullptr && *list != '\0') {
    const char* colon = std::strchr(list, ':');
    std::size_t length =
        colon != nullptr ? static_cast<std::size_t>(colon - list) : std::strlen(list);
    if (length > 0 && length + 1 + std::strlen(name) < size) {
      std::memcpy(path, list, length);
      path[length] = '/';
      std::strcpy(path + length + 1, name);
      struct stat info {};
      if (::stat(path, &info) == 0 && S_ISREG(info.st_mode)) {
        if (::access(path, X_OK) == 0) return 0;
        result = EACCES;
      }
    }
    list = colon != nullptr ? colon + 1 : nullptr;
  }
  return result;
}

// Gives up every privilege the policy does not keep; the bounding set is pid 1's. Order matters:
// the ambient set needs both other sets, and where fs.suid_dumpable is 1 the change of user opens
// the memory to whoever has this user. Until it is closed again the capabilities, which the agent
// does not have, keep it from being traced (cap_ptrace_access_check).
int become_agent(const ProgramHeader& header) {
  if (header.change_user != 0) {
    if (::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return -1;
    if (::setgroups(0, nullptr) != 0) return -1;
    if (::setresgid(header.gid, header.gid, header.gid) != 0) return -1;
    if (::setresuid(header.uid, header.uid, header.uid) != 0) return -1;
    if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return -1;
  }
  __user_cap_header_struct capabilities{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  data[0].permitted = data[0].effective = data[0].inheritable =
      static_cast<std::uint32_t>(header.keep_capabilities);
  data[1].permitted = data[1].effective = data[1].inheritable =
      static_cast<std::uint32_t>(header.keep_capabilities >> 32U);
  if (::syscall(SYS_capset, &capabilities, data) != 0) return -1;
  for (unsigned capability = 0; capability < 64; ++capability)
    if ((header.keep_capabilities >> capability & 1U) != 0 &&
        ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) != 0)
      return -1;
  return 0;
}

// Before the other filters, one of which may forbid it. Signals that do not kill wait for the
// answer (Linux 5.19); where they cannot, an interrupted call is made again.
int load_listener(const sock_fprog& filter) {
  constexpr unsigned long listen = 8;     // SECCOMP_FILTER_FLAG_NEW_LISTENER
  constexpr unsigned long killable = 32;  // SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
  long fd = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, listen | killable, &filter);
  if (fd < 0 && errno == EINVAL)
    fd = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, listen, &filter);
  if (fd < 0) return -1;
  Reply reply;
  reply.tell = Tell::listener;
  tell(reply, static_cast<int>(fd));
  return ::close(static_cast<int>(fd));
}

int load_filters(const Program& program) {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
  const char* at = program.filters;
  for (std::uint32_t i = 0; i < program.header->filters; ++i) {
    std::uint32_t count = 0;
    std::memcpy(&count, at, sizeof(count));
    at += 8;  // count and padding: the instructions stay aligned
    sock_fprog filter{static_cast<unsigned short>(count),
                      reinterpret_cast<sock_filter*>(const_cast<char*>(at))};
    if (i == 0 && program.header->listener != 0) {
      if (load_listener(filter) != 0) return -1;
    } else if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) != 0) {
      return -1;
    }
    at += count * sizeof(sock_filter);
  }
  return 0;
}

int set_limits(const ProgramHeader& header) {
  for (int resource = 0; resource < 16; ++resource) {
    std::uint64_t value = header.limits[resource];
    if (value == ~0ULL) continue;
    rlimit limit{value, value};
    // The soft limit on processor time comes first, so that SIGXCPU names the cause.
    if (resource == RLIMIT_CPU) limit.rlim_max = value + 2;
    rlimit present{};
    if (::getrlimit(static_cast<__rlimit_resource>(resource), &present) == 0 &&
        present.rlim_max != RLIM_INFINITY) {
      if (limit.rlim_max > present.rlim_max) limit.rlim_max = present.rlim_max;
      if (limit.rlim_cur > limit.rlim_max) limit.rlim_cur = limit.rlim_max;
    }
    if (::setrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0) return -1;
  }
  return 0;
}

}  // namespace

void run_command(void* place) {
  const Place& own = *static_cast<const Place*>(place);
  const ProgramHeader& header = *own.program->header;
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (::setsid() < 0) give_up(own, StartStep::descriptors, errno);
  // The standard descriptors may overlap 0 to 2; move them up first, where those of the place are.
  int standard[3];
  for (int i = 0; i < 3; ++i) {
    standard[i] = ::fcntl(own.fds[i], F_DUPFD_CLOEXEC, 10);
    if (standard[i] < 0) give_up(own, StartStep::descriptors, errno);
  }
  for (int i = 0; i < 3; ++i)
    if (::dup2(standard[i], i) < 0) give_up(own, StartStep::descriptors, errno);
  // After setsid, which left the caller's terminal; only a session's leader can take one.
  if (own.payload.header.terminal != 0 && ::ioctl(STDIN_FILENO, TIOCSCTTY, 0) != 0)
    give_up(own, StartStep::descriptors, errno);
  ::umask(022);
  if (set_limits(header) != 0) give_up(own, StartStep::limits, errno);
  if (become_agent(header) != 0) give_up(own, StartStep::privileges, errno);
  // As the agent: a directory that only the agent may enter must work, one that it may not must
  // not.
  if (::chdir(own.payload.directory) != 0) give_up(own, StartStep::directory, errno);
  char path[4096];
  int missing = find_program(own.payload, path, sizeof(path));
  if (missing != 0) give_up(own, StartStep::find, missing);
  if (load_filters(*own.program) != 0) give_up(own, StartStep::filter, errno);
  // From here on pid 1 goes on too, and errno is its own; everything is the command's and recorded.
  if (long told = tell_pid_1(own, Stand::at_gate); told < 0)
    give_up(own, StartStep::descriptors, static_cast<int>(-told));
  if (own.payload.header.gated != 0) {
    std::uint64_t opened = 0;
    long n;
    do {
      n = read_quietly(own.gate, &opened, sizeof(opened));
    } while (n == -EINTR);
    if (n < 0) give_up(own, StartStep::descriptors, static_cast<int>(-n));
  }
  int code = execute_program(path, own.payload.argv, own.payload.envp);
  give_up(own, StartStep::execute, -code);
}

}  // namespace gyges::init
