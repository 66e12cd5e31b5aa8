// pid 1 of a sandbox: sets the sandbox up, starts and reaps its processes, enforces the wall clock,
// ends everything when told or when the supervisor is gone. Static and without dependencies, so
// that an exec of it is cheap and nothing of the supervisor's memory is inside the sandbox.
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "sandbox/init/channel.h"
#include "sandbox/init/commands.h"
#include "sandbox/init/decoys.h"
#include "sandbox/init/keeper.h"
#include "sandbox/init/memory_watch.h"
#include "sandbox/init/setup.h"
#include "sandbox/init/supplies.h"

namespace gyges::init {
namespace {

std::uint32_t most_tasks = 0;
std::uint32_t last_tasks = 0;
std::uint64_t killed_for_memory = 0;

ProgramHeader settings;  // the program's, completed when the cgroup is there

Program map_program(int fd) {
  struct stat info {};
  must(::fstat(fd, &info) == 0, OwnStep::program);
  if (info.st_size < static_cast<off_t>(sizeof(ProgramHeader))) ::_exit(1);
  auto size = static_cast<std::size_t>(info.st_size);
  void* base = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  must(base != MAP_FAILED, OwnStep::program);
  ::close(fd);
  Program program;
  std::memcpy(&settings, base, sizeof(settings));
  program.header = &settings;
  program.filters = static_cast<const char*>(base) + sizeof(ProgramHeader);
  program.end = static_cast<const char*>(base) + size;
  const char* at = program.filters;
  for (std::uint32_t i = 0; i < program.header->filters; ++i) {
    std::uint32_t count = 0;
    std::memcpy(&count, at, sizeof(count));
    at += 8 + count * 8UL;  // sizeof(sock_filter) is 8
    if (at > program.end) ::_exit(1);
  }
  program.steps = at;
  return program;
}

Program receive_program() {
  const Received received = receive();
  if (received.request.ask != Ask::set_up) ::_exit(1);
  return map_program(received.fds[0]);
}

void reap_all() {
  for (;;) {
    int status = 0;
    rusage usage{};
    pid_t pid = ::wait4(-1, &status, WNOHANG | __WALL, &usage);
    if (pid < 0 && errno == EINTR) continue;
    if (pid <= 0) return;
    forget_decoy(pid);
    reap(pid, status, usage);
  }
}

// The tasks in /proc but for pid 1: the number the processes limit is about.
std::uint32_t count_tasks() {
  DIR* directory = ::opendir("/proc");
  if (directory == nullptr) return 0;
  std::uint32_t count = 0;
  while (const dirent* entry = ::readdir(directory))
    if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9') {
      // Threads show in the link count of the task directory, which is cheaper than listing it.
      char path[300];
      std::strcpy(path, "/proc/");
      std::strcat(path, entry->d_name);
      std::strcat(path, "/task");
      struct stat info {};
      count += ::stat(path, &info) == 0 && info.st_nlink > 2
                   ? static_cast<std::uint32_t>(info.st_nlink - 2)
                   : 1;
    }
  ::closedir(directory);
  return count > 0 ? count - 1 : 0;
}

void look_at_tasks() {
  last_tasks = count_tasks();
  last_tasks -= last_tasks < decoys_alive() ? last_tasks : decoys_alive();
  if (last_tasks > most_tasks) most_tasks = last_tasks;
}

// Kills until nobody is left; a fork bomb may need several rounds.
std::uint32_t kill_everything() {
  std::uint32_t killed = 0;
  for (;;) {
    ::kill(-1, SIGKILL);
    int status = 0;
    rusage usage{};
    pid_t pid = ::wait4(-1, &status, __WALL, &usage);
    if (pid < 0 && errno == EINTR) continue;
    if (pid < 0) return killed;
    ++killed;
    reap(pid, status, usage);
  }
}

// Into the groups of the supervisor, in which it ends. Nobody is left by then who could follow.
bool leave_cgroup(const int (&exits)[4]) {
  bool left = exits[0] >= 0;
  for (const int exit : exits) left = left && (exit < 0 || ::write(exit, "0", 1) == 1);
  return left;
}

[[noreturn]] void stop(const int (&exits)[4] = {-1, -1, -1, -1}) {
  reap_all();
  end_decoys();
  Reply reply;
  reply.tell = Tell::stopped;
  reply.number[0] = kill_everything();
  reply.number[1] = most_tasks;
  reply.number[2] = killed_for_memory;
  reply.status = leave_cgroup(exits) ? 1 : 0;
  tell(reply);
  ::_exit(0);
}

void start_clock(int clock, std::uint32_t seconds) {
  itimerspec when{};
  when.it_value.tv_sec = static_cast<time_t>(seconds);
  must(clock < 0 || ::timerfd_settime(clock, 0, &when, nullptr) == 0, OwnStep::clock);
}

int make_clock(const ProgramHeader& header) {
  if (header.wall_seconds == 0) return -1;
  int fd = ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
  must(fd >= 0, OwnStep::clock);
  if (header.clock_waits == 0) start_clock(fd, header.wall_seconds);
  return fd;
}

std::int64_t milliseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * std::int64_t{1000} + now.tv_nsec / 1000000;
}

// Counting costs microseconds; five times a second finds every bomb that lasts.
class Looks {
 public:
  // Milliseconds until the next one; -1: none is due. Whatever else wakes pid 1 meanwhile, a child
  // that ends ten times a second say, puts none off.
  int wait() {
    const bool wanted =
        cgroup_settings().count_processes != 0 || cgroup_settings().watch_memory != 0;
    if (!wanted || (commands_running() == 0 && last_tasks == 0)) {
      next_ = 0;
      return -1;
    }
    const std::int64_t now = milliseconds();
    if (next_ == 0) next_ = now + interval;
    return next_ > now ? static_cast<int>(next_ - now) : 0;
  }

  void take_if_due() {
    if (next_ == 0 || milliseconds() < next_) return;
    look_at_tasks();
    if (cgroup_settings().watch_memory != 0)
      killed_for_memory += look_at_memory(cgroup_settings().watch_memory);
    next_ = milliseconds() + interval;
  }

 private:
  static constexpr std::int64_t interval = 200;
  std::int64_t next_ = 0;
};

void serve(const Program& program, int signals, int clock) {
  pollfd wait[3] = {{control_fd, POLLIN, 0}, {signals, POLLIN, 0}, {clock, POLLIN, 0}};
  Looks looks;
  const bool may_count = cgroup_settings().count_processes != 0;
  for (;;) {
    int ready = ::poll(wait, clock >= 0 ? 3 : 2, looks.wait());
    if (ready < 0 && errno != EINTR) ::_exit(1);
    looks.take_if_due();
    if (ready <= 0) continue;
    if ((wait[1].revents & POLLIN) != 0) {
      signalfd_siginfo info[8];
      ssize_t ignored = ::read(signals, info, sizeof(info));
      (void)ignored;
      std::uint32_t before = commands_running();
      reap_all();
      // A command that met the limit often ends at once; what it left is still there now.
      if (may_count && commands_running() < before) look_at_tasks();
      if (all_is_over()) stop();
    }
    if (clock >= 0 && (wait[2].revents & POLLIN) != 0) {
      Reply reply;
      reply.tell = Tell::wall_time;
      tell(reply);
      stop();
    }
    if (wait[0].revents == 0) continue;
    Received received = receive();
    const Request& request = received.request;
    switch (request.ask) {
      case Ask::spawn:
        spawn(program, received);
        break;
      case Ask::signal:
        signal_command(request.id, request.signal, request.group != 0);
        break;
      case Ask::begin:
        start_clock(clock, program.header->wall_seconds);
        break;
      case Ask::shutdown:
        if (may_count) look_at_tasks();
        stop(received.fds);
      case Ask::proceed:
      case Ask::set_up:
      case Ask::take_mount:
      case Ask::enter_cgroup:
      case Ask::entered:
        ::_exit(1);
    }
  }
}

}  // namespace
}  // namespace gyges::init

int main(int argc, char** argv) {
  using namespace gyges::init;
  // Of a child of pid 1 only: nobody else's environment reaches a program of ours.
  if (::getpid() != 1)
    if (const char* name = decoy_name(argv + argc + 1)) be_decoy(name);
  if (argc == 2 && std::strcmp(argv[1], "keep") == 0) return keep();
  // In the initial pid namespace this program would kill every process it may.
  if (::getpid() != 1) return 2;
  must(::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0, OwnStep::lifetime);
  must(::prctl(PR_SET_NAME, "init", 0, 0, 0) == 0, OwnStep::secrecy);
  // A session of its own, as every machine's first process has.
  must(::setsid() >= 0, OwnStep::lifetime);
  sigset_t all;
  sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  int signals = ::signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
  must(signals >= 0, OwnStep::signals);
  must(::fcntl(control_fd, F_SETFD, FD_CLOEXEC) == 0, OwnStep::descriptors);
  must(::unshare(static_cast<int>(own_namespaces)) == 0, OwnStep::namespaces);
  Program program = receive_program();
  int clock = make_clock(*program.header);
  // First, so that what is started on the way has none of it either. Nothing here executes a
  // program any more, and what pid 1 may do itself it goes on to hold.
  must(drop_bounding_set(*program.header) == 0, OwnStep::bounding_set);
  run_setup(program);
  settings.limits[RLIMIT_NPROC] = cgroup_settings().most_processes;
  // Same user as the agent when rootless: nothing of pid 1 may be read or traced from inside. Not
  // earlier: a process that is not dumpable cannot write its own uid_map.
  must(::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0, OwnStep::secrecy);
  Reply reply;
  reply.tell = Tell::ready;
  tell(reply);
  prepare_first_command();
  serve(program, signals, clock);
  return 0;
}
