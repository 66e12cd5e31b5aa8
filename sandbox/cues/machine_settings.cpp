// Settings of /proc/sys whose values a kernel derives from its memory, or from what started it.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>

#include "base/files.h"
#include "sandbox/cues/disguise.h"
#include "sandbox/cues/machine_counters.h"
#include "sandbox/cues/machine_trees.h"

namespace gyges::cues {

std::vector<isolation::Cover> settings_covers(const MachineView& view) {
  std::vector<isolation::Cover> covers;
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
  const auto shared = std::make_shared<const MachineView>(view);
  covers.push_back({"/proc/sys/fs/file-nr", open_files_file(view), 0444,
                    [shared] { return open_files_file(*shared); }});
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
  // An eighth of the memory may become stacks of threads (set_max_threads in kernel/fork.c), and
  // half as many namespaces of each kind.
  const std::uint64_t threads = view.memory_kilobytes / 128;
  fixed("/proc/sys/kernel/threads-max", threads);
  for (const char* kind : {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"})
    fixed(fmt::format("/proc/sys/user/max_{}_namespaces", kind), threads / 2);
  // The others grow with the memory, whatever else goes into them.
  if (view.host_memory_kilobytes == 0 || view.host_memory_kilobytes == view.memory_kilobytes)
    return covers;
  const double ratio = static_cast<double>(view.memory_kilobytes) /
                       static_cast<double>(view.host_memory_kilobytes);
  for (const char* path :
       {"/proc/sys/fs/epoll/max_user_watches", "/proc/sys/fs/inotify/max_user_watches",
        "/proc/sys/user/max_inotify_watches", "/proc/sys/fs/fanotify/max_user_marks",
        "/proc/sys/user/max_fanotify_marks"}) {
    const auto value = read_file(path, 64);
    if (value) fixed(path, static_cast<std::uint64_t>(std::llround(std::atof(value->c_str()) * ratio)));
  }
  return covers;
}

}  // namespace gyges::cues
