// What a tracer does at the entry and the exit of a call.
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>

#include "sandbox/recorder/capture/capture_plan.h"
#include "sandbox/recorder/capture/contents.h"
#include "sandbox/recorder/capture/coverage_notes.h"
#include "sandbox/recorder/capture/tracer.h"

namespace gyges::recorder {
namespace {

// Of a call's first argument.
std::size_t first_register(Abi abi) {
  return abi == Abi::i386 ? offsetof(user_regs_struct, rbx) : offsetof(user_regs_struct, rdi);
}
constexpr std::size_t call_number = offsetof(user_regs_struct, orig_rax);
constexpr std::size_t call_result = offsetof(user_regs_struct, rax);

// True also where it may be so: for every call of another ABI, none of which is made often.
bool changes_root(Abi abi, std::uint32_t number) {
  return abi != Abi::x86_64 || number == SYS_chroot || number == SYS_pivot_root ||
         number == SYS_setns || number == SYS_unshare;
}

// Whether a descriptor that a supervisor may have given is one that it made: named like a file of a
// process, and none of procfs. Most opens that come before a supervisor are executed by the kernel.
bool is_generated_file(pid_t tid, std::int64_t descriptor) {
  const std::string path = "/proc/" + std::to_string(tid) + "/fd/" + std::to_string(descriptor);
  std::array<char, 16> start{};
  const ssize_t n = ::readlink(path.c_str(), start.data(), start.size());
  constexpr std::string_view processes = "/proc/";
  const std::string_view link(start.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
  if (!link.starts_with(processes) || link.size() == processes.size() ||
      link[processes.size()] < '0' || link[processes.size()] > '9')
    return false;
  struct statfs info {};
  return ::statfs(path.c_str(), &info) == 0 && info.f_type != PROC_SUPER_MAGIC;
}

constexpr std::uint32_t clone_of_i386 = 120;

}  // namespace

bool Tracer::is_clone(Abi abi, std::uint32_t number) {
  return abi == Abi::i386 ? number == clone_of_i386 : (number & ~x32_bit) == SYS_clone;
}

bool Tracer::is_clone3(Abi abi, std::uint32_t number) {
  return (abi == Abi::x32 ? number & ~x32_bit : number) == SYS_clone3;
}

void Tracer::entry(Thread& thread, const __ptrace_syscall_info& info) {
  thread.time = monotonic_ns();
  thread.number = static_cast<std::uint32_t>(info.entry.nr);
  thread.abi = info.arch == AUDIT_ARCH_I386     ? Abi::i386
               : (thread.number & x32_bit) != 0 ? Abi::x32
                                                : Abi::x86_64;
  for (std::size_t i = 0; i < thread.args.size(); ++i) thread.args[i] = info.entry.args[i];
  thread.instruction = info.instruction_pointer;
  if (thread.at_gate) return;
  ++session_.counters.enters;
  ++session_.counters.recorded_enters;
  thread.inside = true;
  thread.captures.clear();
  if (const wire::plan* plan = capture_plan(thread.abi, thread.number))
    tracee(thread).capture_entry(*plan, thread.args, thread.captures);
  thread.loads = loads_seccomp_program(thread.abi, thread.number, thread.args, thread.load);
  if (thread.loads && !thread.load.strict) thread.program = read_program(thread);
  forbid_untraced(thread);
  if (bound_.tid >= 0) unbind_before_it_is_seen(thread);
}

// The program as it is in memory now, which is what the kernel is about to copy.
std::string Tracer::read_program(const Thread& thread) {
  const bool narrow = thread.abi != Abi::x86_64;
  const Tracee memory = tracee(thread);
  const std::optional<std::string> given = memory.read(thread.load.program, narrow ? 8 : 16);
  if (!given) return {};
  std::uint16_t steps = 0;
  std::uint64_t address = 0;
  std::memcpy(&steps, given->data(), sizeof(steps));
  std::memcpy(&address, given->data() + (narrow ? 4 : 8), narrow ? 4 : 8);
  if (steps > BPF_MAXINSNS) return {};
  return memory.read(address, steps * sizeof(sock_filter)).value_or(std::string());
}

void Tracer::loaded(Thread& thread, std::int64_t result) {
  thread.loads = false;
  if (!thread.load.succeeded(result)) return;
  thread.strict = thread.load.strict;
  if (thread.strict) return;
  thread.filters = SeccompChain::with(thread.filters, std::move(thread.program));
  if (!thread.load.all_threads) return;
  for (auto& [tid, other] : threads_)
    if (other.facts.pid == thread.facts.pid) other.filters = thread.filters;
}

Verdict Tracer::judge(const Thread& thread, std::int64_t result) const {
  if (thread.filters == nullptr) return Verdict::allowed;
  seccomp_data call{};
  call.nr = static_cast<int>(thread.number);
  call.arch = thread.abi == Abi::i386 ? AUDIT_ARCH_I386 : AUDIT_ARCH_X86_64;
  call.instruction_pointer = thread.instruction;
  std::copy(thread.args.begin(), thread.args.end(), call.args);
  const Verdict verdict = thread.filters->verdict(thread.abi, call, result);
  const bool opens = thread.abi == Abi::x86_64 &&
                     (call.nr == SYS_open || call.nr == SYS_openat || call.nr == SYS_openat2);
  if (verdict == Verdict::emulated && opens && result >= 0 &&
      !is_generated_file(thread.facts.tid, result))
    return Verdict::allowed;
  // The supervisor looks at these and answers none.
  if (verdict == Verdict::emulated && thread.abi == Abi::x86_64 &&
      (call.nr == SYS_symlink || call.nr == SYS_symlinkat))
    return Verdict::allowed;
  return verdict;
}

// A child made with CLONE_UNTRACED would not be traced.
void Tracer::forbid_untraced(Thread& thread) {
  const pid_t tid = thread.facts.tid;
  if (is_clone(thread.abi, thread.number) && (thread.args[0] & CLONE_UNTRACED) != 0) {
    thread.restore = thread.args[0];
    ptrace(PTRACE_POKEUSER, tid, first_register(thread.abi),
           thread.args[0] & ~std::uint64_t{CLONE_UNTRACED});
  } else if (is_clone3(thread.abi, thread.number)) {
    const std::optional<std::string> flags = tracee(thread).read(thread.args[0], 8);
    std::uint64_t value = 0;
    if (flags) std::memcpy(&value, flags->data(), sizeof(value));
    if (flags && (value & CLONE_UNTRACED) == 0) return;
    // Flags that cannot be read now might be there when the kernel reads them.
    thread.refuse = flags ? ENOSYS : EFAULT;
    ptrace(PTRACE_POKEUSER, tid, call_number, ~0UL);
  }
}

void Tracer::exit(Thread& thread, std::int64_t result) {
  if (thread.at_gate) {
    thread.at_gate = is_restart(result);
    return;
  }
  if (!thread.inside) return;
  ++session_.counters.exits;
  ++session_.counters.recorded_exits;
  const pid_t tid = thread.facts.tid;
  if (thread.restore != 0) ptrace(PTRACE_POKEUSER, tid, first_register(thread.abi), thread.restore);
  Verdict verdict = judge(thread, result);
  if (thread.refuse != 0) {
    result = -thread.refuse;
    ptrace(PTRACE_POKEUSER, tid, call_result, result);
    verdict = Verdict::emulated;
  }
  thread.restore = 0;
  thread.refuse = 0;
  if (const wire::plan* plan = capture_plan(thread.abi, thread.number))
    tracee(thread).capture_exit(*plan, thread.args, result, thread.captures);
  if (thread.loads) loaded(thread, result);
  if (result >= 0 && changes_root(thread.abi, thread.number)) proc_.roots_changed();
  thread.exit_time = monotonic_ns();
  thread.rolled_back = result == static_cast<std::int64_t>(thread.number);
  keep_contents(thread, result);
  if (!thread.rolled_back) hand_over(thread, &result, verdict);
}

void Tracer::settle(Thread& thread, Verdict verdict) {
  if (!thread.rolled_back) return;
  thread.rolled_back = false;
  const std::int64_t result = thread.number;
  hand_over(thread, verdict == Verdict::killed ? nullptr : &result, verdict);
}

void Tracer::hand_over(Thread& thread, const std::int64_t* result, Verdict verdict) {
  Event event;
  thread.facts.put_into(event);
  event.abi = thread.abi;
  event.verdict = verdict;
  event.number = thread.number;
  event.time_ns = thread.time;
  event.args = thread.args;
  event.has_exit = result != nullptr;
  if (result != nullptr) {
    event.result = *result;
    event.duration_ns = thread.exit_time - thread.time;
  }
  event.captures = thread.captures.all();
  const auto base_of = [&](std::uint8_t argument) { return PathCheck::base_of(event, argument); };
  for (PathCheck::Elsewhere& elsewhere : path_check_.changed_elsewhere(event, base_of))
    thread.captures.add(looked_up_capture(elsewhere.argument, {}), std::move(elsewhere.path));
  event.captures = thread.captures.all();
  thread.inside = false;
  if (session_.may_use_io_uring && used_io_uring(event)) session_.uses_io_uring = true;
  session_.append(event);
  if (const int elsewhere = path_check_.disagreement(event); elsewhere >= 0)
    session_.append(disagreement_event(event, elsewhere));
  if (result != nullptr && verdict != Verdict::refused) {
    event.time_ns = thread.exit_time;
    for (const ContentPiece& piece : thread.contents) {
      Capture capture;
      session_.append(content_event(event, piece, capture));
    }
  }
  thread.contents.clear();
}

// Read at once: the memory may have changed when the call is handed over.
void Tracer::keep_contents(Thread& thread, std::int64_t moved) {
  thread.contents.clear();
  const wire::plan* const plan = capture_plan(thread.abi, thread.number);
  if (session_.contents == 0 || moved <= 0 || plan == nullptr || plan->content == 0) return;
  const auto about =
      proc_.status(thread.facts.tid, "fd/" + std::to_string(static_cast<int>(thread.args[0])));
  if (!about || (content_class(*about) & session_.contents) == 0) return;
  thread.contents = read_contents(tracee(thread), *plan, thread.args, thread.abi != Abi::x86_64,
                                  static_cast<std::uint64_t>(moved), session_.content_bytes);
}

}  // namespace gyges::recorder
