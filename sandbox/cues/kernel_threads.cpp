// The kernel's own threads, which every list of processes of a machine begins with: names and
// numbers as Debian's kernels start them, from kthreadd on.
#include <fmt/format.h>

#include "sandbox/cues/disguise.h"
#include "sandbox/cues/machine_trees.h"
#include "sandbox/cues/seeded_stream.h"

namespace gyges::cues {
namespace {

// What a thread of the kernel's is beside its name.
enum class Kind { service, idle_queue, real_time };

class ThreadList {
 public:
  explicit ThreadList(std::uint64_t seed) : seed_(seed) {}

  // `skipped`: numbers that processes had which are gone.
  void add(const std::string& name, Kind kind = Kind::service, double work = 0,
           std::uint32_t skipped = 0) {
    next_ += skipped;
    ProcessLook look;
    look.name = name.substr(0, 15);
    look.pid = next_++;
    look.kernel = true;
    look.idle = kind == Kind::idle_queue;
    look.nice = kind == Kind::idle_queue && !name.starts_with("kworker/u") ? -20 : 0;
    look.real_time = kind == Kind::real_time;
    look.unit = "kernel";
    work_.push_back(work);
    threads_.push_back(std::move(look));
  }

  std::vector<ProcessLook> take(std::uint64_t uptime_seconds) {
    for (std::size_t i = 0; i < threads_.size(); ++i) {
      ProcessLook& look = threads_[i];
      SeededStream stream(seed_, "machine/kernel/" + std::to_string(look.pid));
      look.start_ticks = start_by_number(look.pid);
      const double share = work_[i] * (0.6 + static_cast<double>(stream.below(800)) / 1000);
      look.system_ticks =
          static_cast<std::uint64_t>(static_cast<double>(uptime_seconds) * 100 * share);
    }
    return std::move(threads_);
  }

 private:
  std::uint64_t seed_;
  std::uint32_t next_ = 2;
  std::vector<ProcessLook> threads_;
  std::vector<double> work_;  // share of a processor's time
};

}  // namespace

std::vector<ProcessLook> kernel_thread_looks(const Machine& machine, std::uint32_t processors,
                                             std::uint64_t seed, std::uint64_t uptime_seconds) {
  if (!machine.cgroup_root) return {};
  ThreadList list(seed);
  // Each is a process that has to be made, so it is not all of them: those that every machine has.
  list.add("kthreadd", Kind::service, 2e-7);
  for (const char* name : {"rcu_gp", "rcu_par_gp"}) list.add(name, Kind::idle_queue);
  list.add("kworker/0:0H", Kind::idle_queue, 0, 3);
  list.add("mm_percpu_wq", Kind::idle_queue, 0, 1);
  list.add("rcu_tasks_trace", Kind::service, 0, 2);
  list.add("ksoftirqd/0", Kind::service, 3e-5);
  list.add("rcu_preempt", Kind::service, 2e-4);
  list.add("migration/0", Kind::real_time, 4e-6);
  list.add("cpuhp/0", Kind::service, 0, 1);
  constexpr std::uint32_t most = 8;
  for (std::uint32_t i = 1; i < processors && i < most; ++i) {
    list.add(fmt::format("cpuhp/{}", i));
    list.add(fmt::format("migration/{}", i), Kind::real_time, 4e-6);
    list.add(fmt::format("ksoftirqd/{}", i), Kind::service, 2e-5);
    list.add(fmt::format("kworker/{}:0H", i), Kind::idle_queue, 0, 1);
  }
  list.add("kdevtmpfs", Kind::service, 0, 3);
  list.add("kauditd", Kind::service, 0, 1);
  list.add("khungtaskd", Kind::service, 2e-6);
  list.add("oom_reaper");
  list.add("writeback", Kind::idle_queue);
  list.add("kcompactd0", Kind::service, 4e-5);
  list.add("ksmd");
  list.add("khugepaged", Kind::service, 5e-6);
  list.add("kblockd", Kind::idle_queue, 0, 1);
  list.add("kworker/0:1H", Kind::idle_queue, 3e-5, 4);
  list.add("kswapd0", Kind::service, 3e-6);
  bool first = true;
  for (const std::string& disk : mounted_partitions(machine)) {
    list.add("jbd2/" + disk + "-8", Kind::service, first ? 9e-5 : 3e-5, first ? 122 : 83);
    if (first) list.add("ext4-rsv-conver", Kind::idle_queue);
    first = false;
  }
  return list.take(uptime_seconds);
}

}  // namespace gyges::cues
