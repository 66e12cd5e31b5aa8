// The tree of control groups of /sys/fs/cgroup: that of a machine, or what a container sees of its
// own.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "sandbox/cues/disguise.h"
#include "sandbox/cues/entry_tree.h"
#include "sandbox/cues/machine_trees.h"

namespace gyges::cues {
namespace {

// What a group that is not the root has, of the controllers that Debian's systemd gives to all.
// Runtimes take the least of several limits, and one that is missing for none or for 0.
struct GroupLook {
  std::string memory_max = "max", swap_max = "max", processors_max = "max";
  std::uint64_t memory = 0, user_microseconds = 0, system_microseconds = 0;
  std::size_t processes = 0;
};

void put_group(const std::string& at, const GroupLook& look, EntryTree& tree) {
  auto number = [&](const char* name, std::uint64_t value) {
    tree.own_file(at + name, fmt::format("{}\n", value));
  };
  auto limit = [&](const char* name, const std::string& value) {
    tree.own_file(at + name, value + "\n", 0644);
  };
  tree.own_file(at + "cgroup.events", "populated 1\nfrozen 0\n");
  tree.own_file(at + "cgroup.stat", "nr_descendants 0\nnr_dying_descendants 0\n");
  limit("cgroup.type", "domain");
  limit("cgroup.freeze", "0");
  number("memory.current", look.memory);
  limit("memory.max", look.memory_max);
  limit("memory.high", "max");
  limit("memory.low", "0");
  limit("memory.min", "0");
  limit("memory.oom.group", "0");
  number("memory.swap.current", 0);
  limit("memory.swap.max", look.swap_max);
  limit("memory.swap.high", "max");
  tree.own_file(at + "memory.swap.events", "high 0\nmax 0\nfail 0\n");
  for (const char* name : {"memory.events", "memory.events.local"})
    tree.own_file(at + name, "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n");
  // Names and order of Linux 6.1, those that tell something; what is held adds up.
  const std::uint64_t page = 4096;
  const std::uint64_t anonymous = look.memory / 100 * 61 / page * page;
  const std::uint64_t slab = look.memory / 100 * 7 / page * page;
  const std::uint64_t kernel = slab + look.memory / 100 * 2 / page * page;
  const std::uint64_t file = look.memory / page * page - anonymous - kernel;
  const std::uint64_t active_file = file / 3 / page * page;
  std::string stat;
  for (const auto& [name, value] : {std::pair<const char*, std::uint64_t>{"anon", anonymous},
                                    {"file", file},
                                    {"kernel", kernel},
                                    {"kernel_stack", look.processes * 16384},
                                    {"pagetables", (kernel - slab) / 2 / page * page},
                                    {"sec_pagetables", 0},
                                    {"percpu", 2112},
                                    {"sock", 0},
                                    {"vmalloc", 0},
                                    {"shmem", 0},
                                    {"zswap", 0},
                                    {"zswapped", 0},
                                    {"file_mapped", file / 4 / page * page},
                                    {"file_dirty", 0},
                                    {"file_writeback", 0},
                                    {"swapcached", 0},
                                    {"anon_thp", 0},
                                    {"file_thp", 0},
                                    {"shmem_thp", 0},
                                    {"inactive_anon", anonymous},
                                    {"active_anon", 0},
                                    {"inactive_file", file - active_file},
                                    {"active_file", active_file},
                                    {"unevictable", 0},
                                    {"slab_reclaimable", slab / 3 * 2},
                                    {"slab_unreclaimable", slab - slab / 3 * 2},
                                    {"slab", slab},
                                    {"pgfault", look.memory / page * 5},
                                    {"pgmajfault", look.memory / page / 900}})
    stat += fmt::format("{} {}\n", name, value);
  tree.own_file(at + "memory.stat", std::move(stat));
  number("pids.current", look.processes);
  limit("pids.max", "max");
  tree.own_file(at + "pids.events", "max 0\n");
  std::string use = fmt::format("usage_usec {}\nuser_usec {}\nsystem_usec {}\n",
                                look.user_microseconds + look.system_microseconds,
                                look.user_microseconds, look.system_microseconds);
  if (look.processors_max.empty()) {
    tree.own_file(at + "cpu.stat", std::move(use));
    return;
  }
  // The controller of processor time, which a session has not.
  // Tenths of a second in which something ran; few needed more than their share.
  const std::uint64_t periods =
      look.processors_max == "max"
          ? 0
          : (look.user_microseconds + look.system_microseconds) / 100000 * 3 + 11;
  use +=
      fmt::format("nr_periods {}\nnr_throttled {}\nthrottled_usec {}\nnr_bursts 0\nburst_usec 0\n",
                  periods, periods / 431, periods / 431 * 27143);
  tree.own_file(at + "cpu.stat", std::move(use));
  limit("cpu.max", look.processors_max);
  limit("cpu.max.burst", "0");
  limit("cpu.weight", "100");
  limit("cpu.weight.nice", "0");
  limit("cpu.idle", "0");
}

// The controller of pids counts threads.
void add_work(const ProcessLook& process, GroupLook& look) {
  look.processes += process.threads;
  look.user_microseconds += process.user_ticks * 10000;
  look.system_microseconds += process.system_ticks * 10000;
}

// A group for each service, which systemd-cgls lists by the processes in it. What it holds is what
// the system bus says of the service.
void put_services(const MachineView& view, const std::string& base, EntryTree& tree) {
  struct Held {
    std::string numbers;
    std::uint64_t memory = 0, threads = 0;
  };
  std::map<std::string, Held> groups;
  Held services;
  for (const ProcessLook& look : view.processes) {
    if (look.kernel || look.unit.empty()) continue;
    Held& group = groups[look.pid == 1 ? "init.scope" : look.unit];
    group.numbers += fmt::format("{}\n", look.pid);
    for (Held* one : {&group, look.pid == 1 ? nullptr : &services}) {
      if (one == nullptr) continue;
      one->memory += look.resident_kilobytes * 1024;
      one->threads += look.threads;
    }
  }
  const auto put_use = [&](const std::string& at, const Held& held) {
    // Differs from run to run, unlike all else.
    tree.own_file(at + "memory.current", fmt::format("{}\n", held.memory));
    tree.file(at + "pids.current", fmt::format("{}\n", held.threads));
  };
  // udev's processes are in a group below its service.
  static constexpr std::string_view below = ".service/";
  for (const auto& [unit, held] : std::map(groups))
    if (const std::size_t at = unit.find(below); at != std::string::npos)
      groups[unit.substr(0, at + below.size() - 1)] = {"", held.memory, held.threads};
  for (const auto& [unit, held] : groups) {
    const std::string at = base + unit + "/";
    tree.file(at + "cgroup.controllers", "memory pids\n");
    tree.file(at + "cgroup.events", "populated 1\nfrozen 0\n");
    tree.file(at + "cgroup.procs", held.numbers, 0644);
    tree.file(at + "memory.max", "max\n", 0644);
    put_use(at, held);
  }
  put_use(base + "system.slice/", services);
}

}  // namespace

void put_control_groups(const MachineView& view, EntryTree& tree) {
  const std::string base = "fs/cgroup/";
  tree.file(base + "cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma misc\n");
  tree.file(base + "cgroup.subtree_control",
            view.machine.cgroup_root ? "cpuset cpu io memory pids\n" : "", 0644);
  tree.file(base + "cgroup.procs", "", 0644);
  tree.file(base + "cgroup.threads", "", 0644);
  tree.file(base + "cgroup.max.depth", "max\n", 0644);
  tree.file(base + "cgroup.max.descendants", "max\n", 0644);
  GroupLook look;
  if (view.machine.cgroup_root) {
    tree.file(base + "cpu.stat", "usage_usec 0\nuser_usec 0\nsystem_usec 0\n");
    for (const char* slice : {"init.scope", "system.slice", "user.slice"})
      tree.file(base + slice + "/cgroup.events", "populated 1\nfrozen 0\n");
    tree.file(base + "dev-hugepages.mount/cgroup.events", "populated 0\nfrozen 0\n");
    put_services(view, base, tree);
    // Where the agent's own group is: runtimes look for limits there.
    const std::string slice = base + fmt::format("user.slice/user-{}.slice/", view.user);
    const std::string session = slice + fmt::format("session-{}.scope/", view.session);
    // Without it systemd-cgls holds the slice for empty.
    tree.own_file(slice + "cgroup.events", "populated 1\nfrozen 0\n");
    tree.own_file(session + "cgroup.controllers", "memory pids\n");
    look.processors_max.clear();
    look.memory = 18173952;
    look.processes = 4;
    look.user_microseconds = 211000 + view.seed % 90000;
    look.system_microseconds = 98000 + view.seed % 40000;
    std::string numbers;
    for (const ProcessLook& process : view.processes) {
      if (process.kernel || !process.unit.empty()) continue;
      numbers += fmt::format("{}\n", process.pid);
      look.memory += process.resident_kilobytes * 1024;
      add_work(process, look);
    }
    tree.own_file(session + "cgroup.procs", std::move(numbers), 0644);
    put_group(session, look, tree);
    return;
  }
  const std::uint64_t most = view.memory_kilobytes * 512 / 4096 * 4096;
  look.memory_max = std::to_string(most);
  // Kubernetes allows no swapping; Docker as much as memory.
  look.swap_max = view.machine.claims_container == "docker" ? look.memory_max : "0";
  look.processors_max = fmt::format("{} 100000", view.processors * 100000);
  look.memory = view.memory_kilobytes * 128 / 4096 * 4096;
  look.processes = 3;
  for (const ProcessLook& process : view.processes) add_work(process, look);
  // What came and went.
  look.user_microseconds += 38211000 + view.seed % 9000000;
  look.system_microseconds += 6120000 + view.seed % 1700000;
  put_group(base, look, tree);
  // Empty: as that of the group above.
  for (const char* name : {"cpuset.cpus", "cpuset.mems"}) tree.file(base + name, "\n", 0644);
  tree.file(base + "cpuset.cpus.effective", list_of_processors(0, view.processors - 1));
  tree.file(base + "cpuset.mems.effective", "0\n");
  tree.file(base + "cpuset.cpus.partition", "member\n", 0644);
  tree.file(base + "io.max", "", 0644);
  tree.file(base + "io.weight", "default 100\n", 0644);
}

}  // namespace gyges::cues
