#include "sandbox/init/commands.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <initializer_list>

#include "sandbox/init/channel.h"

namespace gyges::init {
namespace {

struct Running {
  std::uint32_t id = 0;
  pid_t pid = 0;        // 0: free
  int gate = -1;        // write end: a byte opens the gate
  int outcome = -1;     // read end: a StartFailure if the program could not be started
  StartFailure failed;  // read from it before the gate
};
Running running[max_commands];

Running* find(std::uint32_t id) {
  for (Running& entry : running)
    if (entry.pid != 0 && entry.id == id) return &entry;
  return nullptr;
}

// A spawn payload, mapped.
struct Payload {
  char* base = nullptr;
  std::size_t size = 0;
  SpawnHeader header;
  const char* directory = nullptr;
  char** argv = nullptr;
  char** envp = nullptr;
};

// Maps the payload and builds the pointer tables behind it. Returns 0 or an errno value.
int map_payload(int fd, Payload& payload) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return errno;
  if (info.st_size < static_cast<off_t>(sizeof(SpawnHeader)) ||
      info.st_size > static_cast<off_t>(max_payload))
    return E2BIG;
  payload.size = static_cast<std::size_t>(info.st_size);
  void* base = ::mmap(nullptr, payload.size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  if (base == MAP_FAILED) return errno;
  payload.base = static_cast<char*>(base);
  std::memcpy(&payload.header, payload.base, sizeof(SpawnHeader));
  std::size_t pointers = payload.header.argc + payload.header.envc + 2UL;
  if (pointers > max_payload / sizeof(char*)) return E2BIG;
  void* table = ::mmap(nullptr, pointers * sizeof(char*), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (table == MAP_FAILED) return errno;
  payload.argv = static_cast<char**>(table);
  payload.envp = payload.argv + payload.header.argc + 1;
  char* at = payload.base + sizeof(SpawnHeader);
  char* end = payload.base + payload.size;
  auto next = [&]() -> char* {
    char* text = at;
    while (at < end && *at != '\0') ++at;
    if (at >= end) return nullptr;
    ++at;
    return text;
  };
  payload.directory = next();
  if (payload.directory == nullptr) return EINVAL;
  for (std::uint32_t i = 0; i < payload.header.argc; ++i)
    if ((payload.argv[i] = next()) == nullptr) return EINVAL;
  for (std::uint32_t i = 0; i < payload.header.envc; ++i)
    if ((payload.envp[i] = next()) == nullptr) return EINVAL;
  return payload.header.argc > 0 ? 0 : EINVAL;
}

void unmap(Payload& payload) {
  if (payload.argv != nullptr)
    ::munmap(payload.argv, (payload.header.argc + payload.header.envc + 2UL) * sizeof(char*));
  if (payload.base != nullptr) ::munmap(payload.base, payload.size);
}

[[noreturn]] void give_up(int outcome, StartStep step, int code) {
  StartFailure failure{code, step};
  ssize_t ignored = ::write(outcome, &failure, sizeof(failure));
  (void)ignored;
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
// the user change clears the capabilities, the ambient set needs both other sets.
int become_agent(const ProgramHeader& header) {
  if (header.change_user != 0) {
    if (::prctl(PR_SET_KEEPCAPS, header.keep_capabilities != 0 ? 1 : 0, 0, 0, 0) != 0) return -1;
    if (::setgroups(0, nullptr) != 0) return -1;
    if (::setresgid(header.gid, header.gid, header.gid) != 0) return -1;
    if (::setresuid(header.uid, header.uid, header.uid) != 0) return -1;
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

[[noreturn]] void run_child(const Program& program, const Payload& payload, const int (&fds)[4],
                            int gate, int outcome) {
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (::setsid() < 0) give_up(outcome, StartStep::descriptors, errno);
  // The standard descriptors may overlap 0 to 2; move them up first. 10 and 11 are out of the way.
  int gate_fd = ::fcntl(gate, F_DUPFD_CLOEXEC, 10);
  if (gate_fd < 0) give_up(outcome, StartStep::descriptors, errno);
  int outcome_fd = ::fcntl(outcome, F_DUPFD_CLOEXEC, 11);
  if (outcome_fd < 0) give_up(outcome, StartStep::descriptors, errno);
  int standard[3];
  for (int i = 0; i < 3; ++i) {
    standard[i] = ::fcntl(fds[i + 1], F_DUPFD_CLOEXEC, 12);
    if (standard[i] < 0) give_up(outcome_fd, StartStep::descriptors, errno);
  }
  for (int i = 0; i < 3; ++i)
    if (::dup2(standard[i], i) < 0) give_up(outcome_fd, StartStep::descriptors, errno);
  // After setsid, which left the caller's terminal; only a session's leader can take one.
  if (payload.header.terminal != 0 && ::ioctl(STDIN_FILENO, TIOCSCTTY, 0) != 0)
    give_up(outcome_fd, StartStep::descriptors, errno);
  ::umask(022);
  if (set_limits(*program.header) != 0) give_up(outcome_fd, StartStep::limits, errno);
  if (become_agent(*program.header) != 0) give_up(outcome_fd, StartStep::privileges, errno);
  // As the agent: a directory that only the agent may enter must work, one that it may not must
  // not.
  if (::chdir(payload.directory) != 0) give_up(outcome_fd, StartStep::directory, errno);
  char path[4096];
  int missing = find_program(payload, path, sizeof(path));
  if (missing != 0) give_up(outcome_fd, StartStep::find, missing);
  if (load_filters(program) != 0) give_up(outcome_fd, StartStep::filter, errno);
  if (payload.header.gated != 0) {
    // Zero says that the gate is reached: from here on everything is the command's and recorded.
    StartFailure reached;
    if (::write(outcome_fd, &reached, sizeof(reached)) != static_cast<ssize_t>(sizeof(reached)))
      give_up(outcome_fd, StartStep::descriptors, errno);
    char byte = 0;
    ssize_t n;
    do {
      n = ::read(gate_fd, &byte, 1);
    } while (n < 0 && errno == EINTR);
    if (n < 0) give_up(outcome_fd, StartStep::descriptors, errno);
    if (n != 1) ::_exit(127);  // pid 1 is gone, and so are we
  }
  ::execve(path, payload.argv, payload.envp);
  give_up(outcome_fd, StartStep::execute, errno);
}

void refuse(std::uint32_t id, int code) {
  Reply reply;
  reply.tell = Tell::not_spawned;
  reply.id = id;
  reply.error = code;
  tell(reply);
}

// Waits until the child is at its gate, has failed, or is dead, which shows as an end of file. An
// agent of the child's user may stop it on its way, over and over: it is woken, and after a while
// killed, because pid 1 has a wall clock to keep.
bool await_gate(Running& entry) {
  for (int attempt = 0; attempt < 200; ++attempt) {
    pollfd wait{entry.outcome, POLLIN, 0};
    if (::poll(&wait, 1, 10) > 0) {
      ssize_t n;
      do {
        n = ::read(entry.outcome, &entry.failed, sizeof(StartFailure));
      } while (n < 0 && errno == EINTR);
      return n == static_cast<ssize_t>(sizeof(StartFailure)) && entry.failed.code == 0;
    }
    ::kill(entry.pid, SIGCONT);
  }
  ::kill(entry.pid, SIGKILL);
  return false;
}

// Returns 0 or an errno value.
int start(const Program& program, std::uint32_t id, const int (&fds)[4]) {
  Running* entry = nullptr;
  for (Running& candidate : running)
    if (candidate.pid == 0) {
      entry = &candidate;
      break;
    }
  if (entry == nullptr) return EAGAIN;
  Payload payload;
  int gate[2] = {-1, -1};
  int outcome[2] = {-1, -1};
  int code = map_payload(fds[0], payload);
  if (code == 0 && (::pipe2(gate, O_CLOEXEC) != 0 || ::pipe2(outcome, O_CLOEXEC) != 0))
    code = errno;
  if (code == 0) {
    pid_t pid = ::fork();
    if (pid == 0) run_child(program, payload, fds, gate[0], outcome[1]);
    if (pid < 0) code = errno;
    if (pid > 0) {
      Reply reply;
      reply.tell = Tell::spawned;
      reply.id = id;
      reply.number[0] = static_cast<std::uint64_t>(pid);
      int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
      entry->id = id;
      entry->pid = pid;
      entry->gate = gate[1];
      entry->outcome = outcome[0];
      ::close(outcome[1]);
      gate[1] = outcome[0] = outcome[1] = -1;
      if (payload.header.gated != 0) reply.number[1] = await_gate(*entry) ? 1 : 0;
      tell(reply, pidfd);
      if (pidfd >= 0) ::close(pidfd);
    }
  }
  for (int fd : {gate[0], gate[1], outcome[0], outcome[1]})
    if (fd >= 0) ::close(fd);
  unmap(payload);
  return code;
}

std::uint64_t nanoseconds(const timeval& time) {
  return static_cast<std::uint64_t>(time.tv_sec) * 1000000000U +
         static_cast<std::uint64_t>(time.tv_usec) * 1000U;
}

}  // namespace

int drop_bounding_set(const ProgramHeader& header) {
  for (int capability = 0; capability <= 63; ++capability) {
    if ((header.keep_capabilities >> static_cast<unsigned>(capability) & 1U) != 0) continue;
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) {
      if (errno == EINVAL) break;  // past the last one this kernel knows
      return -1;
    }
  }
  return 0;
}

void spawn(const Program& program, std::uint32_t id, const int (&fds)[4]) {
  int code = start(program, id, fds);
  if (code != 0) refuse(id, code);
  for (int fd : fds)
    if (fd >= 0) ::close(fd);
}

void release(std::uint32_t id) {
  Running* entry = find(id);
  if (entry == nullptr || entry->gate < 0) return;
  ssize_t ignored = ::write(entry->gate, "", 1);
  (void)ignored;
  ::close(entry->gate);
  entry->gate = -1;
}

void signal_command(std::uint32_t id, int signal_number, bool group) {
  if (Running* entry = find(id)) ::kill(group ? -entry->pid : entry->pid, signal_number);
}

void reap(pid_t pid, int status, const rusage& usage) {
  for (Running& entry : running) {
    if (entry.pid != pid) continue;
    Reply reply;
    reply.tell = Tell::ended;
    reply.id = entry.id;
    reply.status = status;
    reply.number[0] = nanoseconds(usage.ru_utime);
    reply.number[1] = nanoseconds(usage.ru_stime);
    reply.number[2] = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024U;
    StartFailure failure = entry.failed;
    if (failure.code != 0 ||
        ::read(entry.outcome, &failure, sizeof(failure)) == static_cast<ssize_t>(sizeof(failure))) {
      reply.tell = Tell::not_started;
      reply.error = failure.code;
      reply.number[0] = static_cast<std::uint64_t>(failure.step);
    }
    ::close(entry.outcome);
    if (entry.gate >= 0) ::close(entry.gate);
    entry = Running{};
    tell(reply);
    return;
  }
}

std::uint32_t commands_running() {
  std::uint32_t count = 0;
  for (const Running& entry : running) count += entry.pid != 0 ? 1 : 0;
  return count;
}

}  // namespace gyges::init
