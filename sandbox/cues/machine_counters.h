// What the machine counts, in the files of /proc that show it: processor time, interrupts, disks,
// memory. One function for each count, so that files which show the same count agree.
#pragma once

#include <cstdint>
#include <string>

#include "sandbox/cues/disguise.h"

namespace gyges::cues {

// Seconds since the machine's start, as its own clock has them.
double uptime_at(std::uint64_t offset);

// Slow waves, so that what moves is neither constant nor zero; a function of time and seed alone.
double wave_at(double now, double period, std::uint64_t seed);

// Kilobytes, in whole pages, related to each other as the kernel counts them.
struct MemoryUse {
  std::uint64_t total = 0, free = 0, available = 0, buffers = 0, cached = 0;
  std::uint64_t active_anon = 0, inactive_anon = 0, active_file = 0, inactive_file = 0;
  std::uint64_t anon = 0, mapped = 0, shared = 0, reclaimable = 0, unreclaimable = 0;
  std::uint64_t stacks = 0, tables = 0, dirty = 0;
};
MemoryUse memory_at(const MachineView& view, double now);

// What is built in, in whole blocks and from 2 GiB on in whole GiB, of a machine whose kernel
// counts `total`: it keeps a sixty-fourth for the descriptions of the pages, and its own code and
// buffers.
std::uint64_t installed_kilobytes(std::uint64_t total);
// Of which the kernel takes memory on and off: 128 MiB, from 64 GiB on 2 GiB
// (probe_memory_block_size in arch/x86/mm/init_64.c).
std::uint64_t block_kilobytes(std::uint64_t installed);

// What systemd sets fs.file-max to on every machine that it starts (since version 240).
inline constexpr std::uint64_t most_open_files = 9223372036854775807;

// Thread-safe, as of now.
// With what the sandbox's own processes used.
std::string stat_file(const MachineView& view, const isolation::OwnUse& own);
std::string softirqs_file(const MachineView& view);
std::string interrupts_file(const MachineView& view);
std::string diskstats_file(const MachineView& view);
// /sys/block/DISK/stat and /sys/block/DISK/PARTITION/stat: the same counts.
std::string disk_stat_file(const MachineView& view, const std::string& device);
// /proc/sys/fs/file-nr: descriptors are counted in batches of 32.
std::string open_files_file(const MachineView& view);
std::string vmstat_file(const MachineView& view);
std::string zoneinfo_file(const MachineView& view);
std::string buddyinfo_file(const MachineView& view);

}  // namespace gyges::cues
