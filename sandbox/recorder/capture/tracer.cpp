#include "sandbox/recorder/capture/tracer.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/thread_start.h"
#include "sandbox/recorder/capture/capture_plan.h"

namespace gyges::recorder {
namespace {

// PTRACE_O_EXITKILL: nothing may run on unrecorded when the supervisor dies.
constexpr long trace_options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
                               PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
constexpr int wait_flags = __WALL | __WNOTHREAD;
constexpr std::uint64_t exit_signal_mask = 0xff;  // CSIGNAL: not among the flags of the kernel

long request_of(__ptrace_request request, pid_t tid, long data) {
  return ptrace(request, tid, nullptr, reinterpret_cast<void*>(data));
}

std::uint64_t message_of(pid_t tid) {
  unsigned long message = 0;
  ptrace(PTRACE_GETEVENTMSG, tid, nullptr, &message);
  return message;
}

bool is_stop_signal(int signal) {
  return signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
}

constexpr int exit_status_of_a_killed_tracer = 125;  // "an error of Gyges itself"
constexpr std::uint64_t stops_between_moves = 64;
constexpr std::uint64_t stops_between_rounds = 16;

}  // namespace

std::uint64_t monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1000000000U +
         static_cast<std::uint64_t>(now.tv_nsec);
}

Result<std::unique_ptr<Tracer>> Tracer::start(TracedSession& session, const ThreadFacts& facts) {
  std::unique_ptr<Tracer> tracer(new Tracer(session));
  Thread& root = tracer->threads_[facts.tid];
  root.facts = facts;
  root.filters = session.filters;
  root.announced = true;
  tracer->root_ = facts.tid;
  tracer->supervisor_ = getpid();
  GYGES_TRY(tracer->thread_,
            start_thread("traces a sandbox", [self = tracer.get()] { self->lend(); }));
  tracer->seized_.acquire();
  GYGES_CHECK(tracer->outcome_);
  return tracer;
}

void Tracer::lend() {
  // The tracer has this thread's signals, which are none: it must not die of one that is meant for
  // the supervisor, such as an interrupt key.
  constexpr std::size_t stack_bytes = 512U << 10U;
  void* stack = mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
  if (stack == MAP_FAILED) {
    answer(fail_errno("start tracer", "stack"));
    finished_ = true;
    return;
  }
  constexpr int flags = CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_FS | CLONE_SIGHAND;
  const pid_t tracer = clone(trace, static_cast<char*>(stack) + stack_bytes, flags, this);
  int status = 0;
  if (tracer < 0)
    answer(fail_errno("start tracer", "process"));
  else if (waitpid(tracer, &status, __WALL) == tracer)
    bury(tracer, status);
  munmap(stack, stack_bytes);
  finished_ = true;
}

void Tracer::answer(Status outcome) {
  outcome_ = std::move(outcome);
  answered_ = true;
  seized_.release();
}

// The kernel has killed the tracees of a tracer that was killed (PTRACE_O_EXITKILL). What is left
// is to say so: the record ends before its processes did.
void Tracer::bury(pid_t tracer, int status) {
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  if (session_.mutex.held_by(tracer)) {
    // Nothing here may touch the heap.
    constexpr std::string_view text =
        "gyges: record tracer: the tracing process was killed in the middle of its work, and with "
        "it what it traced; the record is not whole. Run again; look for what kills processes\n";
    static_cast<void>(!write(STDERR_FILENO, text.data(), text.size()));
    _exit(exit_status_of_a_killed_tracer);
  }
  Status death =
      fail("record", "tracer", "the tracing process was killed, and with it what it traced",
           "run again; look for what kills processes, such as the out-of-memory killer");
  {
    const std::lock_guard lock(session_.mutex);
    if (session_.status) session_.status = death;
  }
  // Between its answer and the word of it the tracer holds the lock: there is none here to be lost.
  if (!answered_) answer(std::move(death));
}

int Tracer::trace(void* self) {
  auto* const tracer = static_cast<Tracer*>(self);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  tracer->self_ = static_cast<pid_t>(syscall(SYS_getpid));
  if (getppid() != tracer->supervisor_) return 1;  // it died before the line above
  bool follow = false;
  {
    tracer->session_.mutex.lock(tracer->self_);
    const std::lock_guard lock(tracer->session_.mutex, std::adopt_lock);
    Status outcome = tracer->seize(tracer->root_);
    follow = outcome.has_value();
    tracer->answer(std::move(outcome));
  }
  if (follow) tracer->run();
  return 0;
}

Tracer::~Tracer() {
  if (thread_.joinable()) thread_.join();
}

Status Tracer::seize(pid_t pid) {
  const std::string name = "process " + std::to_string(pid);
  if (request_of(PTRACE_SEIZE, pid, trace_options) != 0)
    return fail_errno("trace", name, errno,
                      "run as the user that owns the process, with nothing else tracing it");
  if (request_of(PTRACE_INTERRUPT, pid, 0) != 0) return fail_errno("stop for tracing", name);
  int status = 0;
  if (waitpid(pid, &status, wait_flags) != pid || !WIFSTOPPED(status))
    return fail("stop for tracing", name, "the process ended");
  user_regs_struct registers{};
  Thread& thread = threads_[pid];
  if (ptrace(PTRACE_GETREGS, pid, nullptr, &registers) == 0)
    thread.at_gate = static_cast<std::int64_t>(registers.orig_rax) >= 0 &&
                     is_restart(static_cast<std::int64_t>(registers.rax));
  session_.traced.insert(pid);
  if (request_of(PTRACE_SYSCALL, pid, 0) != 0) return fail_errno("trace", name);
  return ok();
}

void Tracer::run() {
  for (;;) {
    int status = 0;
    const pid_t tid = waitpid(-1, &status, wait_flags);
    if (tid > 0) {
      ++stops_;
      if (stops_ % stops_between_moves == 0 && bound_.tid < 0) move_to(tid);
      take(tid, status);
      if (stops_ % stops_between_rounds == 0 && threads_.size() > 1) take_everyone();
    } else if (errno != EINTR) {
      return;  // ECHILD: no tracee is left
    }
  }
}

void Tracer::take(pid_t tid, int status) {
  session_.mutex.lock(self_);
  const std::lock_guard lock(session_.mutex, std::adopt_lock);
  handle(tid, status);
}

// waitpid(2) looks at tracees from the youngest to the oldest and returns the first that stopped:
// a young one that calls all the time would keep the old ones waiting for ever. Here each that has
// stopped gets its turn before any goes on.
void Tracer::take_everyone() {
  session_.mutex.lock(self_);
  const std::lock_guard lock(session_.mutex, std::adopt_lock);
  std::vector<std::pair<pid_t, int>> stopped;
  int status = 0;
  for (pid_t tid = 0; (tid = waitpid(-1, &status, wait_flags | WNOHANG)) > 0;)
    stopped.emplace_back(tid, status);
  for (const auto& [tid, stop] : stopped) handle(tid, stop);
}

void Tracer::resume(pid_t tid, int signal) {
  // ESRCH: killed meanwhile; its end is reported by the next wait.
  request_of(PTRACE_SYSCALL, tid, signal);
}

void Tracer::handle(pid_t tid, int status) {
  if (WIFEXITED(status) || WIFSIGNALED(status)) return ended(tid, status);
  if (!WIFSTOPPED(status)) return;
  Thread& thread = threads_[tid];
  const int signal = WSTOPSIG(status);
  const int event = status >> 16;
  if (!thread.announced) {  // a child that stopped before its creator's event arrived
    thread.held = true;
    return;
  }
  settle(thread, event == 0 && signal == SIGSYS ? Verdict::refused : Verdict::allowed);
  if (const auto call = session_.relabelled.find(tid); call != session_.relabelled.end()) {
    thread.facts.origin_call = thread.facts.active_call = call->second;
    session_.relabelled.erase(call);
  }
  if (signal == (SIGTRAP | 0x80)) {
    count_stop(thread);
    __ptrace_syscall_info info{};
    if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof(info), &info) > 0) {
      if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
        entry(thread, info);
      } else if (info.op == PTRACE_SYSCALL_INFO_EXIT) {
        exit(thread, info.exit.rval);
      }
    }
    return resume(tid, 0);
  }
  switch (event) {
    case PTRACE_EVENT_STOP:
      // A group stop is left as it is until SIGCONT; other such stops are the start of a child.
      if (is_stop_signal(signal)) {
        request_of(PTRACE_LISTEN, tid, 0);
        return;
      }
      return resume(tid, 0);
    case PTRACE_EVENT_CLONE:
    case PTRACE_EVENT_FORK:
    case PTRACE_EVENT_VFORK:
      created(thread, event);
      return resume(tid, 0);
    case PTRACE_EVENT_EXEC:
      executed(tid);
      return resume(tid, 0);
    default:
      signalled(thread, signal);
      return resume(tid, signal);
  }
}

void Tracer::created(Thread& thread, int event) {
  const auto tid = static_cast<pid_t>(message_of(thread.facts.tid));
  // What it has of the thread's binding it must not keep.
  if (bound_.tid == thread.facts.tid) give_cpus_back(tid);
  Thread& child = threads_[tid];
  if (Result<ThreadFacts> facts = read_thread_facts(tid)) {
    child.facts = *facts;
  } else {  // killed already
    child.facts.tid = tid;
    child.facts.pid = tid;
  }
  child.facts.origin_call = thread.facts.origin_call;
  child.facts.active_call = thread.facts.active_call;
  child.filters = thread.filters;
  child.announced = true;
  session_.traced.insert(tid);
  Event start;
  start.kind = EventKind::process_start;
  thread.facts.put_into(start);
  start.time_ns = monotonic_ns();
  start.result = tid;
  if (is_clone(thread.abi, thread.number)) {
    start.args[0] = thread.args[0] & ~exit_signal_mask;
  } else if (is_clone3(thread.abi, thread.number) && !thread.captures.all().empty()) {
    const std::string_view arguments = thread.captures.all().front().bytes;
    if (arguments.size() >= 8) std::memcpy(start.args.data(), arguments.data(), 8);
  } else if (event == PTRACE_EVENT_VFORK) {
    start.args[0] = CLONE_VFORK | CLONE_VM;
  }
  session_.append(start);
  if (child.held) {
    child.held = false;
    resume(tid, 0);
  }
}

void Tracer::executed(pid_t tid) {
  const auto old_tid = static_cast<pid_t>(message_of(tid));
  proc_.forget(tid);
  if (old_tid != tid && threads_.contains(old_tid)) {
    // The leader, whose number the thread takes: no stop and no status tells of its end. The kernel
    // gives threads that an execution ends the status 0.
    ended(tid, 0);
    Thread moved = std::move(threads_[old_tid]);
    threads_.erase(old_tid);
    if (bound_.tid == old_tid) bound_.tid = tid;  // the task has taken another number
    session_.traced.erase(old_tid);
    proc_.forget(old_tid);
    moved.facts.tid = tid;
    moved.facts.inside_tid = moved.facts.inside_pid;
    threads_[tid] = std::move(moved);
    session_.traced.insert(tid);
  }
  Thread& thread = threads_[tid];
  CaptureList image;
  const Tracee tracee(tid, session_.buffer_bytes, false, proc_);
  tracee.capture_file(result_argument, "exe", image);
  tracee.capture_directory(image);
  Event event;
  event.kind = EventKind::process_exec;
  thread.facts.put_into(event);
  event.time_ns = monotonic_ns();
  event.captures = image.all();
  session_.append(event);
}

void Tracer::ended(pid_t tid, int status) {
  const auto place = threads_.find(tid);
  if (place == threads_.end()) return;
  Thread& thread = place->second;
  const bool refused = WIFSIGNALED(status) &&
                       (WTERMSIG(status) == SIGSYS ||
                        (thread.strict && !is_allowed_by_strict_mode(thread.abi, thread.number)));
  settle(thread, refused ? Verdict::killed : Verdict::allowed);
  if (thread.inside) hand_over(thread, nullptr, refused ? Verdict::killed : Verdict::allowed);
  Event event;
  event.kind = EventKind::process_exit;
  thread.facts.put_into(event);
  event.time_ns = monotonic_ns();
  event.result = status;
  session_.append(event);
  session_.traced.erase(tid);
  session_.relabelled.erase(tid);
  proc_.forget(tid);
  if (bound_.tid == tid) bound_.tid = -1;
  threads_.erase(place);
}

void Tracer::signalled(Thread& thread, int signal) {
  if (!session_.record_signals) return;
  siginfo_t info{};
  ptrace(PTRACE_GETSIGINFO, thread.facts.tid, nullptr, &info);
  Event event;
  event.kind = EventKind::signal;
  thread.facts.put_into(event);
  event.time_ns = monotonic_ns();
  event.args[0] = static_cast<std::uint64_t>(signal);
  event.args[1] = static_cast<std::uint64_t>(static_cast<std::int64_t>(info.si_code));
  session_.append(event);
}

}  // namespace gyges::recorder
