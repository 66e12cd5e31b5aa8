// One process tree traced with ptrace(2).
//
// The kernel ties a tracee to the thread that seized it, and lets every thread of that thread's
// process take the tracee's stops by waitpid(2). A library cannot forbid its host to wait for
// children, so the tracer is a process of its own that shares the memory and descriptors of this
// one (clone with CLONE_VM): nobody else can take its stops. It borrows the thread-local storage of
// a thread that is suspended meanwhile (CLONE_VFORK), so that the C library works in it.
//
// A process can be killed at any point, also while it holds a lock of the heap that it shares with
// this one. So it uses the heap only while it holds the session's lock: killed outside, the session
// ends with an error; killed inside, this process says so and ends (status 125), as it would if one
// of its threads were killed.
//
// Each adopted process gets a tracer of its own, which follows every descendant and ends when the
// last one has ended. If this process dies the kernel kills the tracer and with it every tracee.
#pragma once

#include <sys/types.h>

#include <sched.h>

#include <atomic>
#include <csignal>
#include <memory>
#include <mutex>
#include <semaphore>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>

#include "base/error.h"
#include "sandbox/recorder/capture/contents.h"
#include "sandbox/recorder/capture/event_sink.h"
#include "sandbox/recorder/capture/path_check.h"
#include "sandbox/recorder/capture/seccomp_chain.h"
#include "sandbox/recorder/capture/thread_table.h"
#include "sandbox/recorder/capture/tracee.h"

struct __ptrace_syscall_info;  // sys/ptrace.h

namespace gyges::recorder {

// A lock that tells whether its holder has died: a tracer is a process, and can be killed.
class TracerLock {
 public:
  static constexpr pid_t supervisor = 1;  // no tracer has this number

  void lock(pid_t who = supervisor) {
    for (pid_t holder = 0; !holder_.compare_exchange_weak(holder, who); holder = 0)
      holder_.wait(holder);
  }
  void unlock() {
    holder_.store(0);
    holder_.notify_one();
  }
  // Of a process that has ended: whether it held the lock. If not, those who wait are woken: it may
  // have died between giving up the lock and saying so.
  bool held_by(pid_t dead) {
    if (holder_.load() == dead) return true;
    holder_.notify_all();
    return false;
  }

 private:
  std::atomic<pid_t> holder_{0};
};

// What the tracers of a session share; every member is used under `mutex` unless it is atomic.
struct TracedSession {
  TracerLock mutex;
  std::unique_ptr<EventSink> sink;
  std::uint32_t buffer_bytes = 64;
  std::uint32_t contents = 0;  // classes of descriptors, wire::content_*
  std::uint32_t content_bytes = 0;
  bool record_signals = true;
  Counters counters;
  bool may_use_io_uring = true;                         // false: the policy refuses it
  bool uses_io_uring = false;                           // its operations are no calls
  Status status;                                        // the first error
  std::shared_ptr<const SeccompChain> filters;          // of processes when they are adopted
  std::set<pid_t> traced;                               // threads of all tracers
  std::unordered_map<pid_t, std::uint32_t> relabelled;  // new tool call of a thread already traced

  // The first error kills what is traced: nothing may run on without a record.
  void append(const Event& event) {
    Status outcome = sink->append(event);
    if (outcome) return;
    for (const pid_t tid : traced) kill(tid, SIGKILL);
    if (status) status = std::move(outcome);
  }
};

std::uint64_t monotonic_ns();

// Results that the kernel keeps to itself: the interrupted call is about to start again.
inline bool is_restart(std::int64_t result) {
  return result <= -512 && result >= -516;
}

class Tracer {
 public:
  // Seizes `pid`, which waits at its start gate; returns when its calls are being followed.
  static Result<std::unique_ptr<Tracer>> start(TracedSession& session, const ThreadFacts& facts);
  // Waits until the last tracee has ended.
  ~Tracer();
  Tracer(const Tracer&) = delete;
  Tracer& operator=(const Tracer&) = delete;

  [[nodiscard]] bool finished() const { return finished_.load(); }

 private:
  struct Thread {
    ThreadFacts facts;
    bool announced = false;     // its creator's event has been seen
    bool held = false;          // stopped before that
    bool inside = false;        // in a call whose entry was recorded
    bool at_gate = false;       // the first call is the rest of the gate's read
    int refuse = 0;             // errno that this clone3 is answered with
    std::uint64_t restore = 0;  // first argument of a clone that lost CLONE_UNTRACED
    Abi abi = Abi::x86_64;
    std::uint32_t number = 0;
    std::uint64_t time = 0;
    std::uint64_t exit_time = 0;
    // The result equals the call's number: so it looks when seccomp rolled the call back, to kill
    // or to send SIGSYS, which the next stop tells.
    bool rolled_back = false;
    Tracee::Arguments args{};
    std::uint64_t instruction = 0;  // address behind the call
    CaptureList captures;
    std::vector<ContentPiece> contents;           // of the call that has ended
    std::shared_ptr<const SeccompChain> filters;  // null: none
    bool loads = false;                           // this call loads `program`, as `load` says
    SeccompLoad load;
    bool strict = false;  // in seccomp's strict mode
    std::string program;
    std::uint32_t stops = 0;        // since then
    std::uint64_t stops_since = 0;  // CLOCK_MONOTONIC
    bool may_be_bound = true;       // false: it chooses its CPUs itself
  };

  explicit Tracer(TracedSession& session) : session_(session) {}
  // Body of the thread that lends its storage, and of the tracer itself.
  void lend();
  static int trace(void* self);
  void answer(Status outcome);
  // Called by the lender when the tracer has ended.
  void bury(pid_t tracer, int status);
  Status seize(pid_t pid);
  void run();
  void take(pid_t tid, int status);
  void take_everyone();
  void handle(pid_t tid, int status);
  void entry(Thread& thread, const __ptrace_syscall_info& info);
  void exit(Thread& thread, std::int64_t result);
  void hand_over(Thread& thread, const std::int64_t* result, Verdict verdict);
  void settle(Thread& thread, Verdict verdict);
  void keep_contents(Thread& thread, std::int64_t moved);
  void created(Thread& thread, int event);
  void executed(pid_t tid);
  void ended(pid_t tid, int status);
  void signalled(Thread& thread, int signal);
  void forbid_untraced(Thread& thread);
  static bool is_clone(Abi abi, std::uint32_t number);
  static bool is_clone3(Abi abi, std::uint32_t number);
  std::string read_program(const Thread& thread);
  void loaded(Thread& thread, std::int64_t result);
  [[nodiscard]] Verdict judge(const Thread& thread, std::int64_t result) const;
  Tracee tracee(const Thread& thread) {
    return {thread.facts.tid, session_.buffer_bytes, thread.abi != Abi::x86_64, proc_};
  }
  void resume(pid_t tid, int signal);
  // tracer_cpu.cpp
  void move_to(pid_t tid);
  void move_to_cpu(int cpu);
  void count_stop(Thread& thread);
  void bind(Thread& thread);
  void unbind();
  void give_cpus_back(pid_t tid) const;
  void unbind_before_it_is_seen(Thread& thread);

  TracedSession& session_;
  std::uint64_t stops_ = 0;
  int cpu_ = -1;  // that the tracer is bound to
  struct Bound {
    pid_t tid = -1;  // none: -1
    cpu_set_t own;   // what it may run on by itself
  };
  Bound bound_;  // the tracee that shares the tracer's CPU
  pid_t root_ = -1;
  pid_t self_ = 0;
  pid_t supervisor_ = -1;
  Status outcome_;                     // of seizing the first process
  std::atomic<bool> answered_{false};  // outcome_ is set
  std::binary_semaphore seized_{0};    // answered, or never to be
  std::unordered_map<pid_t, Thread> threads_;
  ProcDirectories proc_;
  PathCheck path_check_{true};
  std::atomic<bool> finished_{false};
  std::thread thread_;
};

}  // namespace gyges::recorder
