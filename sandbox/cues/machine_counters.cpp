#include "sandbox/cues/machine_counters.h"

#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <map>
#include <numeric>
#include <string_view>

#include "base/text.h"
#include "sandbox/cues/seeded_stream.h"

namespace gyges::cues {
namespace {

double now_of(const MachineView& view) {
  return uptime_at(view.uptime_offset);
}

std::uint64_t whole(double value) {
  return static_cast<std::uint64_t>(value);
}

struct DiskUse {
  std::uint64_t reads = 0, writes = 0;
  [[nodiscard]] std::uint64_t sectors_read() const { return reads * 41; }
  [[nodiscard]] std::uint64_t sectors_written() const { return writes * 37; }
};

DiskUse disk_use(const MachineView& view, const Disk& disk, double now) {
  SeededStream stream(view.seed, "machine/disk/" + disk.name);
  DiskUse use;
  use.reads = 150000 + stream.below(90000) + whole(now * 0.011);
  use.writes = 40000 + whole(now * (1.4 + static_cast<double>(stream.below(900)) / 1000));
  return use;
}

// One line of /proc/interrupts. Its number is -1 for those of the processors themselves.
struct Interrupt {
  int number = -1;
  std::string label, words;
  std::vector<std::uint64_t> counts;  // by processor
};

// How often devices raise theirs. What sets itself up once does so some times and never again.
Interrupt device_interrupt(const MachineView& view, std::size_t index, double now) {
  const std::string& line = view.machine.interrupts[index];
  const std::size_t space = line.find(' ');
  Interrupt made;
  made.label = line.substr(0, space);
  made.number = std::atoi(made.label.c_str());
  made.words = line.substr(space + 1);
  made.counts.assign(view.processors, 0);
  SeededStream stream(view.seed, "machine/interrupts/" + line);
  const std::string name = line.substr(line.rfind(' ') + 1);
  const bool once = name == "timer" || name == "i8042" || name == "rtc0" || name == "acpi" ||
                    name == "floppy" || name == "ttyS0" || name.ends_with("-config") ||
                    name.find("mgmnt") != std::string::npos || name.ends_with("q0");
  const double rate = 0.4 + static_cast<double>(stream.below(8000)) / 1000;
  const std::uint64_t few = name == "rtc0" || name == "acpi" ? 1 : 4 + stream.below(160);
  made.counts[index % view.processors] = once ? few : whole(now * rate);
  return made;
}

std::vector<Interrupt> interrupts_at(const MachineView& view, double now) {
  std::vector<Interrupt> all;
  for (std::size_t i = 0; i < view.machine.interrupts.size(); ++i)
    all.push_back(device_interrupt(view, i, now));
  struct Local {
    const char* name;
    double rate;  // a second, on each processor
    const char* words;
  };
  static constexpr std::array locals{Local{"NMI", 0, "Non-maskable interrupts"},
                                     Local{"LOC", 64, "Local timer interrupts"},
                                     Local{"SPU", 0, "Spurious interrupts"},
                                     Local{"PMI", 0, "Performance monitoring interrupts"},
                                     Local{"IWI", 0.00002, "IRQ work interrupts"},
                                     Local{"RTR", 0, "APIC ICR read retries"},
                                     Local{"RES", 1.1, "Rescheduling interrupts"},
                                     Local{"CAL", 2.3, "Function call interrupts"},
                                     Local{"TLB", 0.14, "TLB shootdowns"},
                                     Local{"TRM", 0, "Thermal event interrupts"},
                                     Local{"THR", 0, "Threshold APIC interrupts"},
                                     Local{"DFR", 0, "Deferred Error APIC interrupts"},
                                     Local{"MCE", 0, "Machine check exceptions"},
                                     Local{"MCP", 1.0 / 300, "Machine check polls"}};
  for (const Local& local : locals) {
    Interrupt row{-1, local.name, local.words, {}};
    SeededStream stream(view.seed, std::string("machine/interrupts/") + local.name);
    for (std::uint32_t i = 0; i < view.processors; ++i) {
      // The kernel polls on each processor as often.
      const bool polls = std::string_view(local.name) == "MCP";
      const double skew = polls ? 1 : 0.8 + static_cast<double>(stream.below(400)) / 1000;
      row.counts.push_back(whole(now * local.rate * skew));
    }
    all.push_back(std::move(row));
  }
  return all;
}

std::uint64_t sum(const std::vector<std::uint64_t>& counts) {
  return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
}

struct SoftInterrupt {
  const char* name;
  double rate;  // a second, on each processor
};
constexpr std::array soft_interrupts{
    SoftInterrupt{"HI", 0},         SoftInterrupt{"TIMER", 55.7},  SoftInterrupt{"NET_TX", 0.0004},
    SoftInterrupt{"NET_RX", 7.95},  SoftInterrupt{"BLOCK", 4.91},  SoftInterrupt{"IRQ_POLL", 0},
    SoftInterrupt{"TASKLET", 0.54}, SoftInterrupt{"SCHED", 41.75}, SoftInterrupt{"HRTIMER", 0.0002},
    SoftInterrupt{"RCU", 27.8}};

std::uint64_t soft_count(const SoftInterrupt& kind, std::uint32_t processor, double now) {
  return whole(now * kind.rate * (processor % 2 == 0 ? 1 : 1.02));
}

struct Zone {
  const char* name;
  std::uint64_t start, spanned, present, managed;  // pages
  std::uint64_t free = 0;
};

// As on every machine of this kind: the first 16 MB, what 32 bits reach, and the rest. What is
// present is what lsmem(1) lists, but for holes that the firmware keeps.
std::vector<Zone> zones_of(const MemoryUse& memory) {
  constexpr std::uint64_t below = 786432;  // 3 GiB, above which PCI has its windows
  const std::uint64_t pages = memory.total / 4;
  const std::uint64_t installed = installed_kilobytes(memory.total) / 4;
  const std::uint64_t low = std::min<std::uint64_t>(pages - 3840, 761344);
  std::vector<Zone> zones{{"DMA", 1, 4095, 3998, 3840},
                          {"DMA32", 4096, 1044480, std::min(installed, below) - 4136, low}};
  if (pages > low + 3840)
    zones.push_back({"Normal", 1048576, installed - below, installed - below, pages - low - 3840});
  std::uint64_t left = memory.free / 4;
  for (Zone& zone : zones) {
    const bool last = &zone == &zones.back();
    zone.free = last ? left : std::min(left, zone.managed == 3840 ? 2816 : zone.managed / 3);
    left -= zone.free;
  }
  return zones;
}

using Rows = std::vector<std::pair<const char*, std::uint64_t>>;

// What the kernel counts for each node: in vmstat among the others, in zoneinfo once.
Rows node_rows(const MemoryUse& memory, const DiskUse& disks) {
  return {{"nr_inactive_anon", memory.inactive_anon / 4},
          {"nr_active_anon", memory.active_anon / 4},
          {"nr_inactive_file", memory.inactive_file / 4},
          {"nr_active_file", memory.active_file / 4},
          {"nr_unevictable", 0},
          {"nr_slab_reclaimable", memory.reclaimable / 4},
          {"nr_slab_unreclaimable", memory.unreclaimable / 4},
          {"nr_isolated_anon", 0},
          {"nr_isolated_file", 0},
          {"workingset_nodes", 0},
          {"workingset_refault_anon", 0},
          {"workingset_refault_file", 0},
          {"workingset_activate_anon", 0},
          {"workingset_activate_file", 0},
          {"workingset_restore_anon", 0},
          {"workingset_restore_file", 0},
          {"workingset_nodereclaim", 0},
          {"nr_anon_pages", memory.anon / 4},
          {"nr_mapped", memory.mapped / 4},
          {"nr_file_pages", (memory.cached + memory.buffers) / 4},
          {"nr_dirty", memory.dirty / 4},
          {"nr_writeback", 0},
          {"nr_writeback_temp", 0},
          {"nr_shmem", memory.shared / 4},
          {"nr_shmem_hugepages", 0},
          {"nr_shmem_pmdmapped", 0},
          {"nr_file_hugepages", 0},
          {"nr_file_pmdmapped", 0},
          {"nr_anon_transparent_hugepages", memory.anon / 8 / 2048},
          {"nr_vmscan_write", 0},
          {"nr_vmscan_immediate_reclaim", 0},
          {"nr_dirtied", disks.sectors_written() / 7},
          {"nr_written", disks.sectors_written() / 8},
          {"nr_throttled_written", 0},
          {"nr_kernel_misc_reclaimable", 0},
          {"nr_foll_pin_acquired", 0},
          {"nr_foll_pin_released", 0},
          {"nr_kernel_stack", memory.stacks},
          {"nr_page_table_pages", memory.tables / 4},
          {"nr_sec_page_table_pages", 0},
          {"nr_swapcached", 0}};
}

DiskUse all_disks(const MachineView& view, double now) {
  DiskUse all;
  for (const Disk& disk : view.machine.disks) {
    const DiskUse use = disk_use(view, disk, now);
    all.reads += use.reads;
    all.writes += use.writes;
  }
  return all;
}

}  // namespace

double uptime_at(std::uint64_t offset) {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<double>(offset) + static_cast<double>(now.tv_sec) +
         static_cast<double>(now.tv_nsec) / 1e9;
}

double wave_at(double now, double period, std::uint64_t seed) {
  const double phase = static_cast<double>(seed % 6283) / 1000;
  return std::sin(now / period + phase) * 0.6 + std::sin(now / (period * 0.37) + phase * 2) * 0.4;
}

std::uint64_t installed_kilobytes(std::uint64_t total) {
  constexpr std::uint64_t megabyte = 1024, gigabyte = 1024 * megabyte;
  const bool large = total >= 2 * gigabyte;
  const std::uint64_t needed = total + total / 64 + (large ? 96 : 32) * megabyte;
  const std::uint64_t unit = needed > 64 * gigabyte   ? 2 * gigabyte
                             : needed >= 2 * gigabyte ? gigabyte
                                                      : 128 * megabyte;
  return (needed + unit - 1) / unit * unit;
}

std::uint64_t block_kilobytes(std::uint64_t installed) {
  constexpr std::uint64_t gigabyte = 1U << 20U;
  return installed >= 64 * gigabyte ? 2 * gigabyte : gigabyte / 8;
}

MemoryUse memory_at(const MachineView& view, double now) {
  const double used = view.machine.memory_used * (1 + 0.02 * wave_at(now, 53, view.seed));
  auto part = [&](double of) {
    return whole(static_cast<double>(view.memory_kilobytes) * of) / 4 * 4;
  };
  MemoryUse use;
  use.total = view.memory_kilobytes;
  use.available = part(1 - used);
  use.free = part((1 - used) * 0.31);
  use.unreclaimable = part(0.015);
  use.shared = part(0.0041);
  // Available is what is free and could be, less what the kernel keeps (si_mem_available).
  const std::uint64_t could_be = use.available - use.free;
  use.reclaimable = std::min(part(0.034), could_be / 16 * 4);
  const std::uint64_t files = could_be - use.reclaimable + part(0.004);
  use.buffers = std::min(part(0.021), files / 16 * 4);
  use.cached = files + use.shared - use.buffers;
  use.active_file = std::min(part(used * 0.05 + 0.08), files / 8 * 4);
  use.inactive_file = files - use.active_file;
  use.anon = part(used * 0.58);
  use.inactive_anon = part(used * 0.05);
  use.active_anon = use.anon + use.shared - use.inactive_anon;
  use.mapped = part(used * 0.16);
  use.stacks = (4096 + view.seed % 900) / 4 * 4;
  use.tables = part(0.0034);
  use.dirty = (180 + view.seed % 320) / 4 * 4;
  return use;
}

// Processor time in hundredths of a second since the start: grows with the uptime, in the shares of
// a machine that is `busy`.
std::string stat_file(const MachineView& view, const isolation::OwnUse& own) {
  const double up = now_of(view);
  // On all processors alike, as many as there are, and no more than the others' work leaves.
  static const auto there = static_cast<double>(::sysconf(_SC_NPROCESSORS_ONLN));
  const double share =
      100 * (1 - view.machine.busy - 0.002) / std::max(there, static_cast<double>(view.processors));
  const std::uint64_t own_user = whole(own.user_seconds * share);
  const std::uint64_t own_system = whole(own.system_seconds * share);
  std::array<std::uint64_t, 8> all{};
  std::string each;
  for (std::uint32_t i = 0; i < view.processors; ++i) {
    const double skew = view.processors == 1 ? 1 : i % 2 == 0 ? 1.04 : 0.96;
    const double ticks = up * 100;
    const double work = ticks * view.machine.busy * skew;
    const std::uint64_t waiting = whole(ticks * 0.0011 * skew);
    // user, nice, system, idle, waiting, interrupts, soft interrupts, stolen
    const std::array<std::uint64_t, 8> one{
        own_user + whole(work * 0.66),
        whole(work * 0.015),
        own_system + whole(work * 0.27),
        whole(ticks - work) - waiting - own_user - own_system,
        waiting,
        0,
        whole(work * 0.045),
        view.machine.claims_vm == "none" ? 0 : whole(work * 0.01)};
    each += fmt::format("cpu{}", i);
    for (std::size_t k = 0; k < one.size(); ++k) {
      all[k] += one[k];
      each += fmt::format(" {}", one[k]);
    }
    each += " 0 0\n";
  }
  std::string text = "cpu ";
  for (const std::uint64_t value : all) text += fmt::format(" {}", value);
  text += " 0 0\n" + each;
  std::map<int, std::uint64_t> by_number;
  std::uint64_t total = 0;
  for (const Interrupt& row : interrupts_at(view, up)) {
    total += sum(row.counts);
    if (row.number >= 0) by_number[row.number] = sum(row.counts);
  }
  text += fmt::format("intr {}", total);
  const int last = by_number.empty() ? 24 : by_number.rbegin()->first + 26;
  for (int i = 0; i <= last; ++i)
    text += fmt::format(" {}", by_number.contains(i) ? by_number[i] : 0);
  timespec wall{};
  ::clock_gettime(CLOCK_REALTIME, &wall);
  text += fmt::format("\nctxt {}\nbtime {}\nprocesses {}\nprocs_running 1\nprocs_blocked 0\n",
                      whole(up * 431 * view.processors),
                      static_cast<std::int64_t>(static_cast<double>(wall.tv_sec) - up + 0.5),
                      whole(up * 1.9) + 4000);
  std::uint64_t soft = 0;
  std::string kinds;
  for (const SoftInterrupt& kind : soft_interrupts) {
    std::uint64_t of_kind = 0;
    for (std::uint32_t i = 0; i < view.processors; ++i) of_kind += soft_count(kind, i, up);
    soft += of_kind;
    kinds += fmt::format(" {}", of_kind);
  }
  return text + fmt::format("softirq {}{}\n", soft, kinds);
}

std::string softirqs_file(const MachineView& view) {
  const double up = now_of(view);
  std::string text = fmt::format("{:>20}", "");
  for (std::uint32_t i = 0; i < view.processors; ++i)
    text += fmt::format("{:<11}", fmt::format("CPU{}", i));
  text += "\n";
  for (const SoftInterrupt& kind : soft_interrupts) {
    text += fmt::format("{:>12}:", kind.name);
    for (std::uint32_t i = 0; i < view.processors; ++i)
      text += fmt::format(" {:>10}", soft_count(kind, i, up));
    text += "\n";
  }
  return text;
}

std::string interrupts_file(const MachineView& view) {
  std::string text = "           ";
  for (std::uint32_t i = 0; i < view.processors; ++i)
    text += fmt::format("{:<11}", fmt::format("CPU{}", i));
  text += "\n";
  for (const Interrupt& row : interrupts_at(view, now_of(view))) {
    text += fmt::format("{:>3}:", row.label);
    for (const std::uint64_t count : row.counts) text += fmt::format(" {:>10}", count);
    text += "   " + row.words + "\n";
  }
  return text + "ERR:          0\nMIS:          0\n";
}

namespace {

// The seventeen counts of a device, each in this form, with spaces between.
std::string counts_of(const DiskUse& use, const char* form) {
  const std::uint64_t reads = use.reads;
  const std::uint64_t writes = use.writes;
  const std::uint64_t flushes = writes / 11;
  std::string text;
  for (const std::uint64_t count :
       {reads, reads / 5, use.sectors_read(), reads / 2, writes, writes * 2, use.sectors_written(),
        writes * 3, std::uint64_t{0}, writes, reads / 2 + writes * 3 + flushes, std::uint64_t{0},
        std::uint64_t{0}, std::uint64_t{0}, std::uint64_t{0}, writes / 9, flushes})
    text += (text.empty() ? "" : " ") + fmt::format(fmt::runtime(form), count);
  return text;
}

// Nearly all goes to the partition that the root is on.
DiskUse partition_use(const Disk& disk, const Partition& partition, const DiskUse& use) {
  const auto largest = std::max_element(
      disk.partitions.begin(), disk.partitions.end(),
      [](const Partition& a, const Partition& b) { return a.megabytes < b.megabytes; });
  return &partition == &*largest ? DiskUse{use.reads - 190, use.writes - 3} : DiskUse{95, 2};
}

}  // namespace

std::string diskstats_file(const MachineView& view) {
  const double up = now_of(view);
  std::string text;
  for (const Disk& disk : view.machine.disks) {
    auto row = [&](const std::string& name, unsigned minor, const DiskUse& use) {
      text += fmt::format("{:4d} {:7d} {} {}\n", disk.major, minor, name, counts_of(use, "{}"));
    };
    const DiskUse use = disk_use(view, disk, up);
    row(disk.name, 0, use);
    for (const Partition& part : disk.partitions)
      row(part.name, part.number, partition_use(disk, part, use));
  }
  return text;
}

std::string disk_stat_file(const MachineView& view, const std::string& device) {
  for (const Disk& disk : view.machine.disks) {
    const DiskUse use = disk_use(view, disk, now_of(view));
    if (disk.name == device) return counts_of(use, "{:8}") + "\n";
    for (const Partition& part : disk.partitions)
      if (part.name == device) return counts_of(partition_use(disk, part, use), "{:8}") + "\n";
  }
  return {};
}

std::string open_files_file(const MachineView& view) {
  const double count =
      view.machine.threads * 9.0 * (1 + 0.04 * wave_at(now_of(view), 37, view.seed));
  return fmt::format("{}\t0\t{}\n", whole(count / 32) * 32, most_open_files);
}

// Names and order of Linux 6.1.
std::string vmstat_file(const MachineView& view) {
  const double up = now_of(view);
  const MemoryUse memory = memory_at(view, up);
  const DiskUse disks = all_disks(view, up);
  const std::uint64_t faults = whole(up * 310 * view.processors);
  Rows rows{{"nr_free_pages", memory.free / 4},
            {"nr_zone_inactive_anon", memory.inactive_anon / 4},
            {"nr_zone_active_anon", memory.active_anon / 4},
            {"nr_zone_inactive_file", memory.inactive_file / 4},
            {"nr_zone_active_file", memory.active_file / 4},
            {"nr_zone_unevictable", 0},
            {"nr_zone_write_pending", memory.dirty / 4},
            {"nr_mlock", 0},
            {"nr_bounce", 0},
            {"nr_zspages", 0},
            {"nr_free_cma", 0},
            {"numa_hit", faults / 2},
            {"numa_miss", 0},
            {"numa_foreign", 0},
            {"numa_interleave", 1284},
            {"numa_local", faults / 2},
            {"numa_other", 0}};
  const Rows node = node_rows(memory, disks);
  rows.insert(rows.end(), node.begin(), node.end());
  const Rows more{{"nr_dirty_threshold", memory.available / 4 / 5},
                  {"nr_dirty_background_threshold", memory.available / 4 / 10},
                  {"pgpgin", disks.sectors_read() / 2},
                  {"pgpgout", disks.sectors_written() / 2},
                  {"pswpin", 0},
                  {"pswpout", 0},
                  {"pgalloc_dma", 1024},
                  {"pgalloc_dma32", faults / 6},
                  {"pgalloc_normal", faults / 2},
                  {"pgalloc_movable", 0},
                  {"allocstall_dma", 0},
                  {"allocstall_dma32", 0},
                  {"allocstall_normal", 0},
                  {"allocstall_movable", 0},
                  {"pgskip_dma", 0},
                  {"pgskip_dma32", 0},
                  {"pgskip_normal", 0},
                  {"pgskip_movable", 0},
                  {"pgfree", faults / 6 + faults / 2 + memory.free / 4},
                  {"pgactivate", faults / 220},
                  {"pgdeactivate", 0},
                  {"pglazyfree", faults / 900},
                  {"pgfault", faults},
                  {"pgmajfault", 9000 + faults / 90000},
                  {"pglazyfreed", 0},
                  {"pgrefill", 0},
                  {"pgreuse", faults / 12},
                  {"pgsteal_kswapd", 0},
                  {"pgsteal_direct", 0},
                  {"pgscan_kswapd", 0},
                  {"pgscan_direct", 0},
                  {"pgscan_direct_throttle", 0},
                  {"pgscan_anon", 0},
                  {"pgscan_file", 0},
                  {"pgsteal_anon", 0},
                  {"pgsteal_file", 0},
                  {"zone_reclaim_failed", 0},
                  {"pginodesteal", 0},
                  {"slabs_scanned", 0},
                  {"kswapd_inodesteal", 0},
                  {"pageoutrun", 0},
                  {"pgrotated", 61},
                  {"drop_pagecache", 0},
                  {"drop_slab", 0},
                  {"oom_kill", 0},
                  {"pgmigrate_success", faults / 40000},
                  {"pgmigrate_fail", 0},
                  {"compact_stall", 0},
                  {"compact_fail", 0},
                  {"compact_success", 0},
                  {"unevictable_pgs_culled", 2113},
                  {"unevictable_pgs_scanned", 0},
                  {"thp_fault_alloc", faults / 70000},
                  {"thp_fault_fallback", 0},
                  {"thp_collapse_alloc", faults / 400000},
                  {"thp_split_page", 0},
                  {"thp_zero_page_alloc", 1},
                  {"balloon_inflate", 0},
                  {"balloon_deflate", 0},
                  {"swap_ra", 0},
                  {"swap_ra_hit", 0},
                  {"direct_map_level2_splits", 143},
                  {"direct_map_level3_splits", 3},
                  {"nr_unstable", 0}};
  rows.insert(rows.end(), more.begin(), more.end());
  std::string text;
  for (const auto& [name, value] : rows) text += fmt::format("{} {}\n", name, value);
  return text;
}

std::string zoneinfo_file(const MachineView& view) {
  const double up = now_of(view);
  const MemoryUse memory = memory_at(view, up);
  const std::vector<Zone> zones = zones_of(memory);
  std::string text;
  for (const Zone& zone : zones) {
    text += fmt::format("Node 0, zone {:>8}\n", zone.name);
    if (&zone == zones.data()) {
      text += "  per-node stats\n";
      for (const auto& [name, value] : node_rows(memory, all_disks(view, up)))
        text += fmt::format("      {:<12} {}\n", name, value);
    }
    const std::uint64_t least = 16896 * zone.managed / (memory.total / 4);
    text += fmt::format(
        "  pages free     {}\n        boost    0\n        min      {}\n        low      {}\n"
        "        high     {}\n        spanned  {}\n        present  {}\n        managed  {}\n"
        "        cma      0\n        protection: (0, 0, 0, 0, 0)\n",
        zone.free, least, least + least / 4, least + least / 2, zone.spanned, zone.present,
        zone.managed);
    text += fmt::format("      {:<12} {}\n  pagesets\n", "nr_free_pages", zone.free);
    for (std::uint32_t i = 0; i < view.processors; ++i)
      text += fmt::format(
          "    cpu: {}\n              count: {}\n              high:  {}\n"
          "              batch: 63\n  vm stats threshold: 24\n",
          i, 40 + (view.seed + i) % 300, least / 3 + 14);
    text += fmt::format("  node_unreclaimable:  0\n  start_pfn:           {}\n", zone.start);
  }
  return text;
}

std::string buddyinfo_file(const MachineView& view) {
  std::string text;
  for (const Zone& zone : zones_of(memory_at(view, now_of(view)))) {
    std::array<std::uint64_t, 11> blocks{};
    std::uint64_t left = zone.free;
    for (std::size_t order = blocks.size() - 1; order > 0; --order) {
      blocks[order] = (left - left / (order == 10 ? 3 : 2)) >> order;
      left -= blocks[order] << order;
    }
    blocks[0] = left;
    text += fmt::format("Node 0, zone {:>8} ", zone.name);
    for (const std::uint64_t count : blocks) text += fmt::format("{:>6} ", count);
    text += "\n";
  }
  return text;
}

}  // namespace gyges::cues
