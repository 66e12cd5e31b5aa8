// Files of /proc that tell the machine. Their forms are those of proc(5) and of Linux 6.1 and
// later.
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/text.h"
#include "sandbox/cues/disguise.h"
#include "sandbox/cues/seeded_stream.h"

namespace gyges::cues {
namespace {

// Seconds since the machine's start, as its own clock has them.
double uptime(std::uint64_t offset) {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<double>(offset) + static_cast<double>(now.tv_sec) +
         static_cast<double>(now.tv_nsec) / 1e9;
}

std::string uptime_file(std::uint64_t offset, std::uint32_t processors, double busy) {
  const double up = uptime(offset);
  return fmt::format("{:.2f} {:.2f}\n", up, up * processors * (1 - busy));
}

// Slow waves about the persona's load, so that it is neither constant nor zero; a function of time
// and seed alone.
double wave(double now, double period, std::uint64_t seed) {
  const double phase = static_cast<double>(seed % 6283) / 1000;
  return std::sin(now / period + phase) * 0.6 + std::sin(now / (period * 0.37) + phase * 2) * 0.4;
}

std::array<double, 3> loads_at(const std::array<double, 3>& load, double now, std::uint64_t seed) {
  auto value = [&](std::size_t i, double period) {
    return std::max(0.0, load[i] * (1 + 0.35 * wave(now, period, seed)));
  };
  return {value(0, 41), value(1, 173), value(2, 611)};
}

std::uint32_t threads_at(std::uint32_t threads, double now, std::uint64_t seed) {
  return threads + static_cast<std::uint32_t>(std::lround(3 + 3 * wave(now, 11, seed)));
}

double used_at(double used, double now, std::uint64_t seed) {
  return used * (1 + 0.02 * wave(now, 53, seed));
}

std::string loadavg_file(const std::array<double, 3>& load, std::uint32_t threads,
                         std::uint32_t next_pid, std::uint64_t seed, std::uint64_t offset) {
  const double now = uptime(offset);
  const std::array<double, 3> at = loads_at(load, now, seed);
  return fmt::format("{:.2f} {:.2f} {:.2f} 1/{} {}\n", at[0], at[1], at[2],
                     threads_at(threads, now, seed), next_pid + 40);
}

struct StatShape {
  std::uint32_t processors = 1;
  double busy = 0.03;
  std::uint64_t offset = 0;
  std::uint64_t seed = 0;
  std::size_t interrupts = 0;
};

// Processor time in hundredths of a second since the start: grows with the uptime, in the shares of
// a machine that is `busy`.
std::string stat_file(const StatShape& shape) {
  const double up = uptime(shape.offset);
  auto line = [&](const std::string& name, double of, double skew) {
    const double ticks = up * 100 * of;
    const double work = ticks * shape.busy * skew;
    auto part = [&](double share) { return static_cast<std::uint64_t>(work * share); };
    const std::uint64_t waiting = static_cast<std::uint64_t>(ticks * 0.0011 * skew);
    return fmt::format("{} {} {} {} {} {} 0 {} {} 0 0\n", name, part(0.66), part(0.015), part(0.27),
                       static_cast<std::uint64_t>(ticks - work) - waiting, waiting, part(0.045),
                       part(0.01));
  };
  std::string text = line("cpu ", shape.processors, 1);
  for (std::uint32_t i = 0; i < shape.processors; ++i) {
    const double skew = 1 + (i % 2 == 0 ? 0.04 : -0.04) * (shape.processors > 1 ? 1 : 0);
    text += line(fmt::format("cpu{}", i), 1, skew);
  }
  const auto total = static_cast<std::uint64_t>(up * 210 * shape.processors);
  text += fmt::format("intr {}", total);
  for (std::size_t i = 0; i < 64; ++i)
    text += fmt::format(" {}", i < shape.interrupts ? total / (37 * (i + 3)) : 0);
  timespec wall{};
  ::clock_gettime(CLOCK_REALTIME, &wall);
  text += fmt::format("\nctxt {}\nbtime {}\nprocesses {}\nprocs_running 1\nprocs_blocked 0\n",
                      static_cast<std::uint64_t>(up * 431 * shape.processors),
                      static_cast<std::int64_t>(static_cast<double>(wall.tv_sec) - up + 0.5),
                      static_cast<std::uint64_t>(up * 1.9) + 4000);
  const auto soft = static_cast<std::uint64_t>(up * 167 * shape.processors);
  return text + fmt::format("softirq {} 0 {} 4 {} {} 0 {} {} {} {}\n", soft, soft / 3, soft / 21,
                            soft / 34, soft / 310, soft / 4, soft / 7, soft / 6);
}

// As the last line of /proc/stat has them, by processor.
std::string softirqs_file(const StatShape& shape) {
  const auto soft = static_cast<std::uint64_t>(uptime(shape.offset) * 167);
  struct Row {
    const char* name;
    std::uint64_t each;
  };
  const std::array rows{Row{"HI", 0},
                        Row{"TIMER", soft / 3},
                        Row{"NET_TX", 2},
                        Row{"NET_RX", soft / 21},
                        Row{"BLOCK", soft / 34},
                        Row{"IRQ_POLL", 0},
                        Row{"TASKLET", soft / 310},
                        Row{"SCHED", soft / 4},
                        Row{"HRTIMER", soft / 7},
                        Row{"RCU", soft / 6}};
  std::string text = fmt::format("{:>16}", "");
  for (std::uint32_t i = 0; i < shape.processors; ++i)
    text += fmt::format("{:<11}", fmt::format("    CPU{}", i));
  text += "\n";
  for (const Row& row : rows) {
    text += fmt::format("{:>12}:", row.name);
    for (std::uint32_t i = 0; i < shape.processors; ++i)
      text += fmt::format(" {:>10}", row.each + row.each / 50 * (i % 2));
    text += "\n";
  }
  return text;
}

std::string meminfo_file(std::uint64_t total, std::uint64_t swap, double used, std::uint64_t seed,
                         std::uint64_t offset) {
  const double now = uptime(offset);
  const double share = used_at(used, now, seed);
  auto part = [&](double of) {
    return static_cast<std::uint64_t>(static_cast<double>(total) * of);
  };
  const std::uint64_t available = part(1 - share);
  const std::uint64_t free = part((1 - share) * 0.31);
  std::string text;
  auto row = [&](const char* name, std::uint64_t kilobytes) {
    text += fmt::format("{:<16}{:>8} kB\n", std::string(name) + ":", kilobytes);
  };
  row("MemTotal", total);
  row("MemFree", free);
  row("MemAvailable", available);
  row("Buffers", part(0.021));
  row("Cached", available - free);
  row("SwapCached", 0);
  row("Active", part(share * 0.6 + 0.08));
  row("Inactive", part((1 - share) * 0.44));
  row("Active(anon)", part(share * 0.55));
  row("Inactive(anon)", part(share * 0.05));
  row("Active(file)", part(share * 0.05 + 0.08));
  row("Inactive(file)", part((1 - share) * 0.44 - share * 0.05));
  row("Unevictable", 0);
  row("Mlocked", 0);
  row("SwapTotal", swap);
  row("SwapFree", swap);
  row("Zswap", 0);
  row("Zswapped", 0);
  row("Dirty", 180 + seed % 320);
  row("Writeback", 0);
  row("AnonPages", part(share * 0.58));
  row("Mapped", part(share * 0.16));
  row("Shmem", part(0.0041));
  row("KReclaimable", part(0.034));
  row("Slab", part(0.049));
  row("SReclaimable", part(0.034));
  row("SUnreclaim", part(0.015));
  row("KernelStack", 4096 + seed % 900);
  row("PageTables", part(0.0034));
  row("SecPageTables", 0);
  row("NFS_Unstable", 0);
  row("Bounce", 0);
  row("WritebackTmp", 0);
  row("CommitLimit", total / 2 + swap);
  row("Committed_AS", part(share * 1.3));
  row("VmallocTotal", 34359738367);
  row("VmallocUsed", 22144 + seed % 4000);
  row("VmallocChunk", 0);
  row("Percpu", 2048);
  row("HardwareCorrupted", 0);
  row("AnonHugePages", part(share * 0.08) / 2048 * 2048);
  row("ShmemHugePages", 0);
  row("ShmemPmdMapped", 0);
  row("FileHugePages", 0);
  row("FilePmdMapped", 0);
  text +=
      "HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        0\n"
      "HugePages_Surp:        0\n";
  row("Hugepagesize", 2048);
  row("Hugetlb", 0);
  row("DirectMap4k", part(0.018));
  row("DirectMap2M", part(0.982));
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

std::string diskstats_file(const Machine& machine, std::uint64_t seed) {
  std::string text;
  SeededStream stream(seed, "machine/diskstats");
  for (const Disk& disk : machine.disks) {
    auto row = [&](const std::string& name, unsigned minor, std::uint64_t reads,
                   std::uint64_t writes) {
      text +=
          fmt::format("{:4d} {:7d} {} {} {} {} {} {} {} {} {} 0 {} {} 0 0 0 0 {} {}\n", disk.major,
                      minor, name, reads, reads / 5, reads * 41, reads / 2, writes, writes * 2,
                      writes * 37, writes * 3, writes, writes * 2, writes / 9, writes / 11);
    };
    const std::uint64_t reads = 210000 + stream.below(90000);
    const std::uint64_t writes = 9000000 + stream.below(4000000);
    row(disk.name, 0, reads, writes);
    for (std::size_t i = 0; i < disk.partitions.size(); ++i)
      row(disk.partitions[i].name, disk.partitions[i].number, i == 0 ? reads - 190 : 95,
          i == 0 ? writes - 3 : 2);
  }
  return text;
}

std::string interrupts_file(const MachineView& view) {
  std::string text = "    ";
  for (std::uint32_t i = 0; i < view.processors; ++i) text += fmt::format("       CPU{}", i);
  text += "\n";
  SeededStream stream(view.seed, "machine/interrupts");
  auto counts = [&](std::uint64_t about) {
    std::string row;
    for (std::uint32_t i = 0; i < view.processors; ++i)
      row += fmt::format(" {:10d}", about == 0 ? 0 : about + stream.below(about));
    return row;
  };
  for (const std::string& line : view.machine.interrupts) {
    const std::size_t space = line.find(' ');
    text += fmt::format("{:>3}:{}   {}\n", line.substr(0, space), counts(stream.below(400000)),
                        line.substr(space + 1));
  }
  struct Local {
    const char* name;
    std::uint64_t about;
    const char* words;
  };
  static constexpr std::array locals{Local{"NMI", 0, "Non-maskable interrupts"},
                                     Local{"LOC", 341000000, "Local timer interrupts"},
                                     Local{"SPU", 0, "Spurious interrupts"},
                                     Local{"PMI", 0, "Performance monitoring interrupts"},
                                     Local{"IWI", 12, "IRQ work interrupts"},
                                     Local{"RTR", 0, "APIC ICR read retries"},
                                     Local{"RES", 5100000, "Rescheduling interrupts"},
                                     Local{"CAL", 9400000, "Function call interrupts"},
                                     Local{"TLB", 610000, "TLB shootdowns"},
                                     Local{"MCE", 0, "Machine check exceptions"},
                                     Local{"MCP", 17000, "Machine check polls"}};
  for (const Local& local : locals)
    text += fmt::format("{:>3}:{}   {}\n", local.name, counts(local.about), local.words);
  return text + "ERR:          0\nMIS:          0\n";
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

std::string bus_pci_file(const Machine& machine) {
  std::string text;
  for (const PciFunction& function : machine.pci) {
    // "0000:00:03.0": bus, device and function as in the configuration address.
    const auto bus = std::strtoul(function.slot.substr(5, 2).c_str(), nullptr, 16);
    const auto device = std::strtoul(function.slot.substr(8, 2).c_str(), nullptr, 16);
    const auto number = std::strtoul(function.slot.substr(11).c_str(), nullptr, 16);
    text += fmt::format("{:02x}{:02x}\t{}{}\t0", bus, device << 3U | number,
                        function.vendor.substr(2), function.device.substr(2));
    for (int i = 0; i < 14; ++i) text += fmt::format("\t{:>16}", 0);
    text += "\t" + function.driver + "\n";
  }
  return text;
}

}  // namespace

std::function<struct sysinfo()> sysinfo_of(const MachineView& view) {
  return [load = view.machine.load, threads = view.machine.threads, seed = view.seed,
          offset = view.uptime_offset, total = view.memory_kilobytes * 1024,
          swap = view.machine.swap_megabytes << 20U, used = view.machine.memory_used] {
    const double now = uptime(offset);
    struct sysinfo info {};
    info.uptime = static_cast<long>(now);
    const std::array<double, 3> loads = loads_at(load, now, seed);
    for (std::size_t i = 0; i < loads.size(); ++i)
      info.loads[i] = static_cast<unsigned long>(loads[i] * (1U << SI_LOAD_SHIFT));
    info.totalram = total;
    const double share = used_at(used, now, seed);
    auto part = [&](double of) {
      return static_cast<unsigned long>(static_cast<double>(total) * of);
    };
    info.freeram = part((1 - share) * 0.31);
    info.sharedram = part(0.0041);
    info.bufferram = part(0.021);
    info.totalswap = info.freeswap = swap;
    info.procs = static_cast<unsigned short>(std::min(65535U, threads_at(threads, now, seed)));
    info.mem_unit = 1;
    return info;
  };
}

std::vector<isolation::Cover> proc_covers(const MachineView& view) {
  const Machine& machine = view.machine;
  std::vector<isolation::Cover> covers;
  auto fixed = [&](const char* path, std::string content, unsigned mode = 0444) {
    covers.push_back({path, std::move(content), mode, {}});
  };
  auto moving = [&](const char* path, std::function<std::string()> renew) {
    covers.push_back({path, renew(), 0444, renew});
  };
  const std::uint64_t offset = view.uptime_offset;
  const std::uint64_t seed = view.seed;
  fixed("/proc/cpuinfo", cpuinfo_file(view));
  fixed("/proc/version",
        fmt::format("Linux version {} {} {}\n", view.release, machine.kernel_build, view.version));
  fixed("/proc/sys/kernel/osrelease", view.release + "\n");
  fixed("/proc/sys/kernel/version", view.version + "\n");
  fixed("/proc/sys/kernel/random/boot_id", view.boot_id + "\n");
  if (machine.pid_max > 0)
    fixed("/proc/sys/kernel/pid_max", std::to_string(machine.pid_max) + "\n", 0644);
  fixed("/proc/cmdline", machine.command_line + "\n");
  moving("/proc/uptime", [offset, processors = view.processors, busy = machine.busy] {
    return uptime_file(offset, processors, busy);
  });
  moving("/proc/loadavg",
         [load = machine.load, threads = machine.threads, seed, offset, next = machine.next_pid] {
           return loadavg_file(load, threads, next, seed, offset);
         });
  const StatShape shape{view.processors, machine.busy, offset, seed, machine.interrupts.size()};
  moving("/proc/stat", [shape] { return stat_file(shape); });
  moving("/proc/softirqs", [shape] { return softirqs_file(shape); });
  fixed("/proc/locks", locks_file(view));
  fixed("/proc/consoles", consoles_file(machine.command_line));
  fixed("/proc/key-users", key_users_file(view.user));
  moving("/proc/meminfo", [total = view.memory_kilobytes, swap = machine.swap_megabytes * 1024,
                           used = machine.memory_used, seed,
                           offset] { return meminfo_file(total, swap, used, seed, offset); });
  fixed("/proc/swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
  fixed("/proc/cgroups", cgroups_file(seed));
  fixed("/proc/partitions", partitions_file(machine));
  fixed("/proc/diskstats", diskstats_file(machine, seed));
  fixed("/proc/interrupts", interrupts_file(view));
  std::string modules;
  for (const std::string& line : machine.modules) modules += line + " Live 0x0000000000000000\n";
  fixed("/proc/modules", std::move(modules));
  std::string misc;
  for (const auto& [minor, name] : machine.misc_devices)
    misc += fmt::format("{:3d} {}\n", minor, name);
  fixed("/proc/misc", std::move(misc));
  fixed("/proc/bus/pci/devices", bus_pci_file(machine));
  // Only root reads these on any machine; inside nobody is root.
  for (const char* path : {"/proc/iomem", "/proc/ioports"}) fixed(path, "", 0400);
  for (const char* path : {"/proc/kcore", "/proc/timer_list", "/proc/kmsg", "/proc/config.gz"})
    fixed(path, "", 0400);
  fixed("/proc/sysrq-trigger", "", 0200);
  fixed("/proc/keys", "");
  // What kernel.kptr_restrict leaves of it is as long as the kernel has symbols, and has no more in
  // it than their names.
  fixed("/proc/kallsyms", "", 0400);
  return covers;
}

}  // namespace gyges::cues
