// On which CPU the tracer and what it traces run.
//
// A stop costs two wake-ups, of the tracer and of the tracee. On one CPU both take some 3 us,
// across CPUs of a virtual machine some 15 us each. The kernel puts a task that is woken on an idle
// CPU, and so never on the tracer's: a tracee that does little else than call is bound to that one.
// It is one at a time, so that tracees that compute find both their CPUs; its children do not
// inherit it, and it is undone before the tracee looks at or sets what it may run on.
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "sandbox/recorder/capture/tracer.h"

namespace gyges::recorder {
namespace {

constexpr std::uint32_t stops_between_looks = 128;
constexpr std::uint64_t busy_ns_per_stop = 50'000;  // fewer: it does little else than call

// The CPU a thread last ran on: field 39 of its stat line, counted after the name in parentheses.
std::optional<int> last_cpu(pid_t tid) {
  char path[32];  // no heap: see the header
  std::snprintf(path, sizeof(path), "/proc/%d/stat", tid);
  const UniqueFd file(open(path, O_RDONLY | O_CLOEXEC));
  char line[1024];
  const ssize_t length = file ? read(file.get(), line, sizeof(line) - 1) : -1;
  if (length <= 0) return std::nullopt;
  line[length] = '\0';
  const char* at = std::strrchr(line, ')');
  for (int field = 2; at != nullptr && field < 39; ++field) at = std::strchr(at + 1, ' ');
  if (at == nullptr) return std::nullopt;
  return std::atoi(at);
}

}  // namespace

void Tracer::move_to(pid_t tid) {
  if (const std::optional<int> cpu = last_cpu(tid)) move_to_cpu(*cpu);
}

void Tracer::move_to_cpu(int cpu) {
  if (cpu == cpu_) return;
  cpu_ = cpu;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(cpu_), &set);
  sched_setaffinity(0, sizeof(set), &set);  // refused: slower, nothing else
}

void Tracer::count_stop(Thread& thread) {
  if (++thread.stops < stops_between_looks) return;
  const std::uint64_t now = monotonic_ns();
  const bool busy = now - thread.stops_since < stops_between_looks * busy_ns_per_stop;
  thread.stops = 0;
  thread.stops_since = now;
  const bool bound = bound_.tid == thread.facts.tid;
  if (busy && !bound && thread.may_be_bound) bind(thread);
  if (!busy && bound) unbind();
}

void Tracer::bind(Thread& thread) {
  if (bound_.tid >= 0) unbind();
  const pid_t tid = thread.facts.tid;
  cpu_set_t own;
  // More CPUs than the set has room for, or a task that is not ours to bind: it stays as it is.
  thread.may_be_bound = sched_getaffinity(tid, sizeof(own), &own) == 0 && CPU_COUNT(&own) > 1;
  const std::optional<int> cpu = thread.may_be_bound ? last_cpu(tid) : std::nullopt;
  if (!cpu || *cpu >= CPU_SETSIZE || !CPU_ISSET(static_cast<unsigned>(*cpu), &own)) return;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<unsigned>(*cpu), &one);
  thread.may_be_bound = sched_setaffinity(tid, sizeof(one), &one) == 0;
  if (!thread.may_be_bound) return;
  bound_.tid = tid;
  bound_.own = own;
  move_to_cpu(*cpu);
}

void Tracer::unbind() {
  give_cpus_back(bound_.tid);
  bound_.tid = -1;
}

void Tracer::give_cpus_back(pid_t tid) const {
  sched_setaffinity(tid, sizeof(bound_.own), &bound_.own);  // fails for one that has ended
}

// At the entry of a call that asks for it or, by its own choice or another's, sets it.
void Tracer::unbind_before_it_is_seen(Thread& thread) {
  if (thread.abi != Abi::x86_64) return unbind();  // rare, and numbered otherwise
  if (thread.number == SYS_sched_getaffinity || thread.number == SYS_sched_setaffinity)
    return unbind();
  // /proc/PID/status has it too.
  for (const Capture& capture : thread.captures.all())
    if (capture.kind == CaptureKind::path && capture.bytes.ends_with("status")) return unbind();
}

}  // namespace gyges::recorder
