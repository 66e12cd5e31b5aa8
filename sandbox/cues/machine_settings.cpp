// Settings of /proc/sys whose values a kernel derives from its memory, or from what started it.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <memory>

#include "base/files.h"
#include "sandbox/cues/disguise.h"
#include "sandbox/cues/machine_counters.h"
#include "sandbox/cues/machine_trees.h"

namespace gyges::cues {

bool is_before(const MachineView& view, unsigned major, unsigned minor) {
  char* end = nullptr;
  const unsigned long first = std::strtoul(view.release.c_str(), &end, 10);
  const unsigned long second = *end == '.' ? std::strtoul(end + 1, nullptr, 10) : 0;
  return first < major || (first == major && second < minor);
}

namespace {

// What of the network follows from the machine's memory, from systemd or from the kernel's age.
// Most of /proc/sys/net is the network namespace's own and stays the kernel's.
void add_network_settings(const MachineView& view, std::vector<isolation::Cover>& covers) {
  auto put = [&](const char* name, std::string value) {
    covers.push_back({std::string("/proc/sys/net/") + name, std::move(value) + "\n", 0644, {}});
  };
  // A bucket for every 128 KiB of memory (tcp_init in net/ipv4/tcp.c). The number is negative in
  // every network namespace but a machine's first, which shares them.
  const std::uint64_t buckets =
      std::min<std::uint64_t>(std::bit_ceil(view.memory_kilobytes / 128), 512U << 10U);
  const char* shared = view.machine.cgroup_root ? "" : "-";
  put("ipv4/tcp_ehash_entries", fmt::format("{}{}", shared, buckets));
  const std::uint64_t of_udp =
      std::clamp<std::uint64_t>(std::bit_ceil(view.memory_kilobytes / 2048), 256, 64U << 10U);
  put("ipv4/udp_hash_entries", fmt::format("{}{}", shared, of_udp));
  put("ipv4/tcp_max_tw_buckets", std::to_string(buckets / 2));
  put("ipv4/tcp_max_syn_backlog", std::to_string(std::max<std::uint64_t>(buckets / 128, 128)));
  // systemd's (bump_unix_max_dgram_qlen), in the namespace that it starts in.
  if (view.machine.cgroup_root && view.machine.init_name == "systemd")
    put("unix/max_dgram_qlen", "512");
  if (is_before(view, 6, 18)) {
    for (const char* name : {"core/rmem_max", "core/wmem_max"}) put(name, "212992");
    put("ipv4/tcp_rmem", "4096\t131072\t6291456");
    put("ipv4/tcp_limit_output_bytes", "1048576");
  }
  if (is_before(view, 6, 7)) put("core/optmem_max", "20480");
  // Debian's kernels; what a socket really has is the host's, and tells nobody who does not ask.
  if (view.machine.kernel_version.find("Debian") != std::string::npos) {
    put("ipv4/tcp_congestion_control", "cubic");
    for (const char* name : {"available", "allowed"})
      put(fmt::format("ipv4/tcp_{}_congestion_control", name).c_str(), "reno cubic");
  }
}

void add_kernel_settings(const MachineView& view, std::vector<isolation::Cover>& covers) {
  auto fixed = [&](std::string path, std::uint64_t value) {
    covers.push_back({std::move(path), fmt::format("{}\n", value), 0644, {}});
  };
  // GRUB's (Documentation/arch/x86/boot.rst); small hypervisors start a kernel themselves.
  fixed("/proc/sys/kernel/bootloader_type", 114);
  fixed("/proc/sys/kernel/bootloader_version", 2);
  fixed("/proc/sys/kernel/panic", 0);
  fixed("/proc/sys/kernel/tainted", 0);
  // What systemd sets (bump_sysctl_nr_open_to_max and its like in its main.c): the third number of
  // file-nr would tell the memory of the host, whatever file-max said.
  fixed("/proc/sys/fs/file-max", most_open_files);
  fixed("/proc/sys/fs/nr_open", 1073741816);
  const auto shared = kept(view);
  covers.push_back({"/proc/sys/fs/file-nr", open_files_file(view), 0444,
                    [shared](const isolation::OwnUse&) { return open_files_file(*shared); }});
  // A thirty-second of the memory that is free at the start, and 128 MB at most
  // (init_user_reserve in mm/mmap.c).
  fixed("/proc/sys/vm/user_reserve_kbytes",
        std::min<std::uint64_t>(view.memory_kilobytes / 100 * 97 / 32, 131072));
  if (view.machine.kernel_version.find("Debian") != std::string::npos) {
    // Debian's kernel begins with 3, and its systemd protects links and pipes in /tmp
    // (sysctl.d/50-default.conf, 99-protect-links.conf).
    fixed("/proc/sys/kernel/perf_event_paranoid", 3);
    for (const auto& [name, value] : {std::pair<const char*, unsigned>{"fifos", 1},
                                      {"hardlinks", 1},
                                      {"regular", 2},
                                      {"symlinks", 1}})
      fixed(fmt::format("/proc/sys/fs/protected_{}", name), value);
  }
  // Half as many namespaces of each kind as threads.
  const std::uint64_t threads = most_threads(view);
  fixed("/proc/sys/kernel/threads-max", threads);
  for (const char* kind : {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"})
    fixed(fmt::format("/proc/sys/user/max_{}_namespaces", kind), threads / 2);
  // The others grow with the memory, whatever else goes into them.
  if (view.host_memory_kilobytes == 0 || view.host_memory_kilobytes == view.memory_kilobytes)
    return;
  const double ratio =
      static_cast<double>(view.memory_kilobytes) / static_cast<double>(view.host_memory_kilobytes);
  for (const char* path :
       {"/proc/sys/fs/epoll/max_user_watches", "/proc/sys/fs/inotify/max_user_watches",
        "/proc/sys/user/max_inotify_watches", "/proc/sys/fs/fanotify/max_user_marks",
        "/proc/sys/user/max_fanotify_marks"}) {
    const auto value = read_file(path, 64);
    if (value)
      fixed(path, static_cast<std::uint64_t>(std::llround(std::atof(value->c_str()) * ratio)));
  }
}

}  // namespace

std::vector<isolation::Cover> settings_covers(const MachineView& view) {
  std::vector<isolation::Cover> covers;
  add_kernel_settings(view, covers);
  add_network_settings(view, covers);
  return covers;
}

}  // namespace gyges::cues
