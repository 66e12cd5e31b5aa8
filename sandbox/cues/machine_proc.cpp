// Files of /proc that tell the machine. Their forms are those of proc(5) and of Linux 6.1 and
// later.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <memory>

#include "sandbox/cues/disguise.h"
#include "sandbox/cues/machine_counters.h"
#include "sandbox/cues/machine_trees.h"

namespace gyges::cues {
namespace {

// Renewed once a second, and ahead for as long and a little: ps(1) gives a process that began after
// it an age of a million years.
std::string uptime_file(const MachineView& view) {
  const double up = uptime_at(view.uptime_offset) + 1.2;
  return fmt::format("{:.2f} {:.2f}\n", up, up * view.processors * (1 - view.machine.busy));
}

std::array<double, 3> loads_at(const std::array<double, 3>& load, double now, std::uint64_t seed) {
  auto value = [&](std::size_t i, double period) {
    return std::max(0.0, load[i] * (1 + 0.35 * wave_at(now, period, seed)));
  };
  return {value(0, 41), value(1, 173), value(2, 611)};
}

std::uint32_t threads_at(std::uint32_t threads, double now, std::uint64_t seed) {
  return threads + static_cast<std::uint32_t>(std::lround(3 + 3 * wave_at(now, 11, seed)));
}

std::string meminfo_file(const MachineView& view) {
  const MemoryUse use = memory_at(view, uptime_at(view.uptime_offset));
  const std::uint64_t total = use.total;
  const std::uint64_t swap = view.machine.swap_megabytes * 1024;
  std::string text;
  auto row = [&](const char* name, std::uint64_t kilobytes) {
    text += fmt::format("{:<16}{:>8} kB\n", std::string(name) + ":", kilobytes);
  };
  row("MemTotal", total);
  row("MemFree", use.free);
  row("MemAvailable", use.available);
  row("Buffers", use.buffers);
  row("Cached", use.cached);
  row("SwapCached", 0);
  row("Active", use.active_anon + use.active_file);
  row("Inactive", use.inactive_anon + use.inactive_file);
  row("Active(anon)", use.active_anon);
  row("Inactive(anon)", use.inactive_anon);
  row("Active(file)", use.active_file);
  row("Inactive(file)", use.inactive_file);
  row("Unevictable", 0);
  row("Mlocked", 0);
  row("SwapTotal", swap);
  row("SwapFree", swap);
  row("Zswap", 0);
  row("Zswapped", 0);
  row("Dirty", use.dirty);
  row("Writeback", 0);
  row("AnonPages", use.anon);
  row("Mapped", use.mapped);
  row("Shmem", use.shared);
  row("KReclaimable", use.reclaimable);
  row("Slab", use.reclaimable + use.unreclaimable);
  row("SReclaimable", use.reclaimable);
  row("SUnreclaim", use.unreclaimable);
  row("KernelStack", use.stacks);
  row("PageTables", use.tables);
  row("SecPageTables", 0);
  row("NFS_Unstable", 0);
  row("Bounce", 0);
  row("WritebackTmp", 0);
  row("CommitLimit", total / 8 * 4 + swap);
  row("Committed_AS", use.anon / 12 * 28);
  row("VmallocTotal", 34359738367);
  row("VmallocUsed", (22144 + view.seed % 4000) / 4 * 4);
  row("VmallocChunk", 0);
  row("Percpu", 1024ULL * view.processors);
  row("HardwareCorrupted", 0);
  row("AnonHugePages", use.anon / 8 / 2048 * 2048);
  row("ShmemHugePages", 0);
  row("ShmemPmdMapped", 0);
  row("FileHugePages", 0);
  row("FilePmdMapped", 0);
  text +=
      "HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        0\n"
      "HugePages_Surp:        0\n";
  row("Hugepagesize", 2048);
  row("Hugetlb", 0);
  const std::uint64_t large = total / 100 * 98 / 2048 * 2048;
  row("DirectMap4k", total / 4 * 4 - large);
  row("DirectMap2M", large);
  return text;
}

std::string cpuinfo_file(const MachineView& view) {
  const std::uint32_t cores = std::max(1U, view.processors / view.machine.threads_per_core);
  std::string text;
  const std::size_t after_cache = view.processor.find("fpu\t");
  const std::string identity = view.processor.substr(0, after_cache);
  const std::string features =
      after_cache == std::string::npos ? "" : view.processor.substr(after_cache);
  for (std::uint32_t i = 0; i < view.processors; ++i)
    text += fmt::format(
        "processor\t: {}\n{}physical id\t: 0\nsiblings\t: {}\ncore id\t\t: {}\ncpu cores\t: {}\n"
        "apicid\t\t: {}\ninitial apicid\t: {}\n{}\n",
        i, identity, view.processors, i / view.machine.threads_per_core, cores, i, i, features);
  return text;
}

std::string partitions_file(const Machine& machine) {
  std::string text = "major minor  #blocks  name\n\n";
  for (const Disk& disk : machine.disks) {
    auto row = [&](const std::string& name, unsigned minor, std::uint64_t megabytes) {
      text += fmt::format("{:4d}  {:7d} {:10d} {}\n", disk.major, minor, megabytes * 1024, name);
    };
    row(disk.name, 0, disk.megabytes);
    for (const Partition& part : disk.partitions) row(part.name, part.number, part.megabytes);
  }
  return text;
}

// All controllers in the one hierarchy of version 2. The host's would tell its own hierarchies, and
// how many sandboxes it runs at the moment.
std::string cgroups_file(std::uint64_t seed) {
  static constexpr std::array controllers{"cpuset",  "cpu",     "cpuacct", "blkio",      "memory",
                                          "devices", "freezer", "net_cls", "perf_event", "net_prio",
                                          "hugetlb", "pids",    "rdma",    "misc"};
  std::string text = "#subsys_name\thierarchy\tnum_cgroups\tenabled\n";
  for (const char* name : controllers) text += fmt::format("{}\t0\t{}\t1\n", name, 62 + seed % 47);
  return text;
}

}  // namespace

std::string modules_file(const Machine& machine) {
  std::string text;
  for (const std::string& line : machine.modules) text += line + " Live 0x0000000000000000\n";
  return text;
}

std::string load_file(const MachineView& view, std::uint32_t last_process,
                      const isolation::OwnUse& own) {
  const double now = uptime_at(view.uptime_offset);
  const std::array<double, 3> at = loads_at(view.machine.load, now, view.seed);
  return fmt::format("{:.2f} {:.2f} {:.2f} 1/{} {}\n", at[0] + own.load[0], at[1] + own.load[1],
                     at[2] + own.load[2], threads_at(view.machine.threads, now, view.seed),
                     last_process);
}

std::function<struct sysinfo(const isolation::OwnUse&)> sysinfo_of(const MachineView& view) {
  return [shared = kept(view)](const isolation::OwnUse& own) {
    const Machine& machine = shared->machine;
    const double now = uptime_at(shared->uptime_offset);
    struct sysinfo info {};
    info.uptime = static_cast<long>(now);
    const std::array<double, 3> loads = loads_at(machine.load, now, shared->seed);
    for (std::size_t i = 0; i < loads.size(); ++i)
      info.loads[i] = static_cast<unsigned long>((loads[i] + own.load[i]) * (1U << SI_LOAD_SHIFT));
    const MemoryUse use = memory_at(*shared, now);
    info.totalram = use.total * 1024;
    info.freeram = use.free * 1024;
    info.sharedram = use.shared * 1024;
    info.bufferram = use.buffers * 1024;
    info.totalswap = info.freeswap = machine.swap_megabytes << 20U;
    info.procs = static_cast<unsigned short>(
        std::min(65535U, threads_at(machine.threads, now, shared->seed)));
    info.mem_unit = 1;
    return info;
  };
}

std::vector<isolation::Cover> proc_covers(const MachineView& view) {
  const Machine& machine = view.machine;
  const auto shared = kept(view);
  std::vector<isolation::Cover> covers;
  auto fixed = [&](const char* path, std::string content, unsigned mode = 0444) {
    covers.push_back({path, std::move(content), mode, {}});
  };
  using isolation::OwnUse;
  auto moving = [&](const char* path, std::string (*content)(const MachineView&)) {
    covers.push_back(
        {path, "", 0444, [shared, content](const OwnUse&) { return content(*shared); }});
  };
  fixed("/proc/cpuinfo", cpuinfo_file(view));
  fixed("/proc/version",
        fmt::format("Linux version {} {} {}\n", view.release, machine.kernel_build, view.version));
  fixed("/proc/sys/kernel/osrelease", view.release + "\n");
  fixed("/proc/sys/kernel/version", view.version + "\n");
  fixed("/proc/sys/kernel/random/boot_id", view.boot_id + "\n");
  if (machine.pid_max > 0)
    fixed("/proc/sys/kernel/pid_max", std::to_string(machine.pid_max) + "\n", 0644);
  fixed("/proc/cmdline", machine.command_line + "\n");
  moving("/proc/uptime", uptime_file);
  covers.push_back({"/proc/loadavg", "", 0444, [shared](const OwnUse& own) {
                      return load_file(*shared, shared->machine.next_pid + 40, own);
                    }});
  covers.push_back(
      {"/proc/stat", "", 0444, [shared](const OwnUse& own) { return stat_file(*shared, own); }});
  moving("/proc/softirqs", softirqs_file);
  moving("/proc/interrupts", interrupts_file);
  moving("/proc/meminfo", meminfo_file);
  moving("/proc/vmstat", vmstat_file);
  moving("/proc/zoneinfo", zoneinfo_file);
  moving("/proc/buddyinfo", buddyinfo_file);
  moving("/proc/diskstats", diskstats_file);
  fixed("/proc/locks", locks_file(view));
  fixed("/proc/consoles", consoles_file(machine.command_line));
  fixed("/proc/key-users", key_users_file(view.user));
  fixed("/proc/swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
  fixed("/proc/cgroups", cgroups_file(view.seed));
  fixed("/proc/partitions", partitions_file(machine));
  fixed("/proc/modules", modules_file(machine));
  std::string misc;
  for (const auto& [minor, name] : machine.misc_devices)
    misc += fmt::format("{:3d} {}\n", minor, name);
  fixed("/proc/misc", std::move(misc));
  // Only root reads these on any machine; inside nobody is root.
  for (const char* path : {"/proc/iomem", "/proc/ioports"}) fixed(path, "", 0400);
  for (const char* path : {"/proc/kcore", "/proc/timer_list", "/proc/kmsg", "/proc/config.gz"})
    fixed(path, "", 0400);
  fixed("/proc/sysrq-trigger", "", 0200);
  fixed("/proc/keys", "");
  // What kernel.kptr_restrict leaves of it is as long as the kernel has symbols, and has no more in
  // it than their names.
  fixed("/proc/kallsyms", "", 0400);
  for (auto* more : {hardware_covers, settings_covers}) {
    std::vector<isolation::Cover> others = more(view);
    std::move(others.begin(), others.end(), std::back_inserter(covers));
  }
  return covers;
}

}  // namespace gyges::cues
