#include "traced_run.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <optional>
#include <thread>
#include <utility>

#include "base/fd.h"

namespace gyges::faults {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto time_to_end = std::chrono::seconds(5);
constexpr long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                         PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;

// glibc's enumeration and the kernel's header name the same values and clash when cast.
long trace(long request, pid_t pid, void* address, void* data) {
  return ::ptrace(static_cast<__ptrace_request>(request), pid, address, data);
}

std::string first_argument(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/cmdline");
  std::string text;
  std::getline(file, text, '\0');
  return text;
}

pid_t process_of(pid_t thread) {
  std::ifstream file("/proc/" + std::to_string(thread) + "/status");
  for (std::string line; std::getline(file, line);)
    if (line.rfind("Tgid:", 0) == 0) return std::atoi(line.c_str() + 5);
  return thread;
}

// What the kernel says a process is doing, for the report.
std::string where_it_hangs(pid_t pid) {
  std::string text;
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind("State:", 0) == 0) text += " (" + line;
  std::string call;
  std::ifstream file("/proc/" + std::to_string(pid) + "/syscall");
  std::getline(file, call);
  return text + ", syscall " + call + ")";
}

struct Tracee {
  Role role;
  bool injecting = false;  // between entry and exit of the call that is to fail
};

class Run {
 public:
  explicit Run(const TracedRun& run) : run_(run) {}

  Traced go() {
    // Orphans come to us, so that nobody else has to reap them.
    ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    start();
    std::thread reader([this] { read_output(); });
    interrupt_every_so_often();
    follow();
    kill_what_is_left();
    reader.join();
    ::prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
    return std::move(traced_);
  }

 private:
  void start() {
    output_ = *make_pipe();
    Pipe gate = *make_pipe();
    traced_.pid = ::fork();
    if (traced_.pid == 0) {
      char byte = 0;
      if (::read(gate.read.get(), &byte, 1) != 1) ::_exit(99);
      int null = ::open("/dev/null", O_RDONLY);
      ::dup2(null, 0);
      ::dup2(output_.write.get(), 1);
      ::dup2(output_.write.get(), 2);
      for (const std::string& variable : run_.environment)
        ::putenv(const_cast<char*>(variable.c_str()));
      std::vector<char*> argv;
      for (const std::string& word : run_.argv) argv.push_back(const_cast<char*>(word.c_str()));
      argv.push_back(nullptr);
      ::execv(argv[0], argv.data());
      ::_exit(98);
    }
    if (trace(PTRACE_SEIZE, traced_.pid, nullptr, reinterpret_cast<void*>(options)) != 0)
      std::abort();
    tracees_[traced_.pid] = Tracee{"supervisor"};
    // A running tracee has to be stopped once before its calls stop it.
    trace(PTRACE_INTERRUPT, traced_.pid, nullptr, nullptr);
    if (::write(gate.write.get(), "", 1) != 1) std::abort();
    output_.write.reset();
  }

  void read_output() {
    char chunk[4096];
    for (;;) {
      ssize_t n = ::read(output_.read.get(), chunk, sizeof(chunk));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return;
      if (traced_.output.size() < (1U << 20U))
        traced_.output.append(chunk, static_cast<std::size_t>(n));
    }
  }

  // waitpid(2) knows no deadline.
  static void interrupt_every_so_often() {
    struct sigaction action {};
    action.sa_handler = [](int) {};
    ::sigaction(SIGALRM, &action, nullptr);
    itimerval every{{0, 100000}, {0, 100000}};
    ::setitimer(ITIMER_REAL, &every, nullptr);
  }

  void follow() {
    auto deadline = Clock::now() + run_.limit;
    while (!tracees_.empty() || !early_.empty()) {
      int status = 0;
      pid_t pid = ::waitpid(-1, &status, __WALL);
      if (pid > 0) {
        bool alive = traced_.status == -1;
        event(pid, status);
        if (alive && traced_.status != -1)
          deadline = std::min(deadline, Clock::now() + time_to_end);
      } else if (errno == ECHILD) {
        break;
      }
      if (Clock::now() > deadline) break;
    }
    itimerval never{};
    ::setitimer(ITIMER_REAL, &never, nullptr);
  }

  void kill_what_is_left() {
    for (const auto& [pid, tracee] : tracees_) {
      if (process_of(pid) == pid) traced_.left.push_back(tracee.role + where_it_hangs(pid));
      ::kill(pid, SIGKILL);
    }
    for (const auto& [pid, status] : early_) ::kill(pid, SIGKILL);
    while (!tracees_.empty()) {
      int status = 0;
      pid_t pid = ::waitpid(-1, &status, __WALL);
      if (pid < 0 && errno == EINTR) continue;
      if (pid < 0) break;
      if (WIFEXITED(status) || WIFSIGNALED(status))
        tracees_.erase(pid);
      else
        ::kill(pid, SIGKILL);
    }
  }

  void event(pid_t pid, int status) {
    auto found = tracees_.find(pid);
    if (WIFEXITED(status) || WIFSIGNALED(status)) {
      if (pid == traced_.pid) traced_.status = status;
      if (found != tracees_.end()) tracees_.erase(found);
      early_.erase(pid);
      return;
    }
    if (found == tracees_.end()) {
      // A child's first stop may be seen before its parent's report of it.
      early_[pid] = status;
      return;
    }
    stopped(pid, found->second, status);
  }

  void stopped(pid_t pid, Tracee& tracee, int status) {
    int signal = WSTOPSIG(status);
    unsigned kind = static_cast<unsigned>(status) >> 16U;
    if (kind == PTRACE_EVENT_FORK || kind == PTRACE_EVENT_VFORK || kind == PTRACE_EVENT_CLONE) {
      unsigned long child = 0;
      trace(PTRACE_GETEVENTMSG, pid, nullptr, &child);
      born(static_cast<pid_t>(child), pid, tracee.role);
    } else if (kind == PTRACE_EVENT_EXEC) {
      if (tracee.role == "command") {
        trace(PTRACE_DETACH, pid, nullptr, nullptr);
        tracees_.erase(pid);
        return;
      }
      if (tracee.role == "launch") tracee.role = role_of_program(pid);
    } else if (kind == PTRACE_EVENT_STOP) {
      if (signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU) {
        trace(PTRACE_LISTEN, pid, nullptr, nullptr);
        return;
      }
    } else if (signal == (SIGTRAP | 0x80)) {
      system_call(pid, tracee);
    } else if (signal == run_.marker_signal && signal != 0) {
      counting_ = !counting_;
    } else {
      resume(pid, signal);
      return;
    }
    resume(pid, 0);
  }

  void resume(pid_t pid, int signal) {
    bool calls = counting_ || run_.marker_signal == 0 || tracees_[pid].injecting;
    trace(calls ? PTRACE_SYSCALL : PTRACE_CONT, pid, nullptr,
          reinterpret_cast<void*>(static_cast<long>(signal)));
  }

  void born(pid_t child, pid_t parent, const Role& role) {
    Tracee tracee{role};
    bool is_thread = process_of(child) == process_of(parent);
    if (!is_thread && role == "supervisor") tracee.role = "launch";
    if (!is_thread && role == "init") tracee.role = "command";
    bool let_go = tracee.role == "command" && !run_.follow_commands;
    auto early = early_.find(child);
    if (let_go) {
      // It can be let go of only while it is stopped.
      int status = 0;
      if (early == early_.end()) ::waitpid(child, &status, __WALL);
      early_.erase(child);
      trace(PTRACE_DETACH, child, nullptr, nullptr);
      return;
    }
    tracees_[child] = tracee;
    if (early == early_.end()) return;
    int status = early->second;
    early_.erase(early);
    stopped(child, tracees_[child], status);
  }

  static Role role_of_program(pid_t pid) {
    std::string name = first_argument(pid);
    if (name == "init") return "init";
    if (name == "gyges-keeper") return "keeper";
    return "other";
  }

  void system_call(pid_t pid, Tracee& tracee) {
    __ptrace_syscall_info info{};
    if (trace(PTRACE_GET_SYSCALL_INFO, pid, reinterpret_cast<void*>(sizeof(info)), &info) <= 0)
      return;
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
      entered(pid, tracee, info);
    else if (info.op == PTRACE_SYSCALL_INFO_EXIT && tracee.injecting)
      answer(pid, tracee);
  }

  void entered(pid_t pid, Tracee& tracee, const __ptrace_syscall_info& info) {
    long number = static_cast<long>(info.entry.nr);
    if (run_.marker_signal == 0 && number == run_.first_call) counting_ = true;
    if (!counting_) return;
    std::uint64_t ordinal = ++counts_[tracee.role];
    const std::uint64_t turn = ++turns_[{tracee.role, number}];
    traced_.calls.push_back({tracee.role, ordinal, number, turn});
    const Fault& fault = run_.fault;
    const bool met =
        fault.number < 0 ? ordinal == fault.ordinal : number == fault.number && turn == fault.turn;
    if (tracee.role != fault.role || !met) return;
    traced_.injected = true;
    traced_.injected_number = number;
    if (run_.fault.signal != 0) {
      ::syscall(SYS_tgkill, process_of(pid), pid, run_.fault.signal);
      return;
    }
    user_regs_struct registers{};
    trace(PTRACE_GETREGS, pid, nullptr, &registers);
    registers.orig_rax = ~0ULL;  // no such call: the kernel does nothing
    trace(PTRACE_SETREGS, pid, nullptr, &registers);
    tracee.injecting = true;
  }

  void answer(pid_t pid, Tracee& tracee) {
    user_regs_struct registers{};
    trace(PTRACE_GETREGS, pid, nullptr, &registers);
    registers.rax = static_cast<unsigned long long>(-static_cast<long long>(run_.fault.error));
    trace(PTRACE_SETREGS, pid, nullptr, &registers);
    tracee.injecting = false;
  }

  const TracedRun& run_;
  Traced traced_;
  Pipe output_;
  std::map<pid_t, Tracee> tracees_;
  std::map<pid_t, int> early_;  // stopped, of an unknown parent
  std::map<Role, std::uint64_t> counts_;
  std::map<std::pair<Role, long>, std::uint64_t> turns_;
  bool counting_ = false;
};

}  // namespace

Traced run_traced(const TracedRun& run) {
  return Run(run).go();
}

std::string call_name(long number) {
  char* name = ::seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, static_cast<int>(number));
  if (name == nullptr) return std::to_string(number);
  std::string text = name;
  ::free(name);
  return text;
}

}  // namespace gyges::faults
