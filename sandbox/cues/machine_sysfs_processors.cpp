// What /sys/devices/system has: processors with their caches and speeds, nodes and blocks of
// memory.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "sandbox/cues/disguise.h"
#include "sandbox/cues/entry_tree.h"
#include "sandbox/cues/machine_counters.h"
#include "sandbox/cues/machine_trees.h"

namespace gyges::cues {
namespace {

std::string line_of(std::string text) {
  return text + "\n";
}

std::string mask_of(std::uint32_t first, std::uint32_t last) {
  std::uint64_t bits = 0;
  for (std::uint32_t i = first; i <= last && i < 64; ++i) bits |= 1ULL << i;
  return fmt::format("{:x}\n", bits);
}

void put_caches(const MachineView& view, const std::vector<ProcessorCache>& caches,
                const std::string& base, std::uint32_t first, std::uint32_t last, EntryTree& tree) {
  for (std::size_t i = 0; i < caches.size(); ++i) {
    const ProcessorCache& cache = caches[i];
    const bool of_all = cache.level > 2;
    const std::string at = fmt::format("{}/cache/index{}", base, i);
    const std::uint32_t from = of_all ? 0 : first;
    const std::uint32_t to = of_all ? view.processors - 1 : last;
    tree.file(at + "/level", fmt::format("{}\n", cache.level));
    tree.file(at + "/type", line_of(cache.type));
    tree.file(at + "/size", fmt::format("{}K\n", cache.bytes / 1024));
    tree.file(at + "/coherency_line_size", fmt::format("{}\n", cache.line));
    tree.file(at + "/ways_of_associativity", fmt::format("{}\n", cache.ways));
    tree.file(at + "/number_of_sets", fmt::format("{}\n", cache.sets));
    tree.file(at + "/shared_cpu_list", list_of_processors(from, to));
    tree.file(at + "/shared_cpu_map", mask_of(from, to));
  }
}

// Of a processor that no hypervisor divides, by acpi-cpufreq, which every such machine has. The
// speed is that of /proc/cpuinfo, and the highest.
void put_frequencies(const MachineView& view, const std::string& cpu, std::uint32_t number,
                     EntryTree& tree) {
  static constexpr std::string_view speed = "cpu MHz\t\t: ";
  const std::size_t at = view.processor.find(speed);
  if (view.machine.claims_vm != "none" || at == std::string::npos) return;
  const double megahertz = std::atof(view.processor.c_str() + at + speed.size());
  const auto now = static_cast<std::uint64_t>(megahertz * 1000);
  const std::uint64_t most = (now + 99999) / 100000 * 100000;  // kHz
  const std::uint64_t least = most / 200000 * 100000;
  const std::string policy = fmt::format("devices/system/cpu/cpufreq/policy{}", number);
  for (const auto& [name, value] :
       {std::pair<const char*, std::string>{"affected_cpus", std::to_string(number)},
        {"related_cpus", std::to_string(number)},
        {"cpuinfo_cur_freq", std::to_string(now)},
        {"cpuinfo_max_freq", std::to_string(most)},
        {"cpuinfo_min_freq", std::to_string(least)},
        {"cpuinfo_transition_latency", "0"},
        {"scaling_available_frequencies", fmt::format("{} {} ", most, least)},
        {"scaling_available_governors", "performance schedutil "},
        {"scaling_cur_freq", std::to_string(now)},
        {"scaling_driver", "acpi-cpufreq"},
        {"scaling_governor", "schedutil"},
        {"scaling_max_freq", std::to_string(most)},
        {"scaling_min_freq", std::to_string(least)},
        {"scaling_setspeed", "<unsupported>"}}) {
    const std::string name_of = name;
    const bool set = name_of.starts_with("scaling_m") || name_of == "scaling_governor" ||
                     name_of == "scaling_setspeed";
    tree.file(policy + "/" + name_of, line_of(value),
              name_of == "cpuinfo_cur_freq" ? 0400
              : set                         ? 0644
                                            : 0444);
  }
  tree.link(cpu + "/cpufreq", policy);
}

}  // namespace

void put_processors(const MachineView& view, EntryTree& tree) {
  const std::string base = "devices/system/cpu";
  const std::uint32_t last = view.processors - 1;
  const std::uint32_t threads = std::max(1U, view.machine.threads_per_core);
  for (const char* name : {"online", "possible", "present"})
    tree.file(base + "/" + name, list_of_processors(0, last));
  for (const char* name : {"offline", "isolated", "nohz_full"}) tree.file(base + "/" + name, "\n");
  tree.file(base + "/kernel_max", "8191\n");
  tree.file(base + "/modalias", line_of("cpu:type:x86,ven0000fam0000mod0000:feature:"));
  tree.file(base + "/smt/active", threads > 1 ? "1\n" : "0\n");
  tree.file(base + "/smt/control", threads > 1 ? "on\n" : "notsupported\n");
  for (const auto& [name, state] : processor_weaknesses())
    tree.file(base + "/vulnerabilities/" + name, line_of(state));
  const auto [sources, source] = clock_sources(view);
  const std::string clock = "devices/system/clocksource/clocksource0/";
  tree.file(clock + "available_clocksource", line_of(sources));
  tree.file(clock + "current_clocksource", line_of(source), 0644);
  const std::vector<ProcessorCache> caches = processor_caches(view);
  for (std::uint32_t i = 0; i <= last; ++i) {
    const std::string cpu = fmt::format("{}/cpu{}", base, i);
    const std::uint32_t first = i / threads * threads;
    const std::uint32_t sibling = std::min(first + threads - 1, last);
    const std::string topology = cpu + "/topology/";
    tree.file(topology + "core_id", fmt::format("{}\n", i / threads));
    tree.file(topology + "physical_package_id", "0\n");
    tree.file(topology + "die_id", "0\n");
    for (const char* name : {"thread_siblings", "core_cpus"})
      tree.file(topology + name, mask_of(first, sibling));
    for (const char* name : {"thread_siblings_list", "core_cpus_list"})
      tree.file(topology + name, list_of_processors(first, sibling));
    for (const char* name : {"core_siblings", "package_cpus", "die_cpus"})
      tree.file(topology + name, mask_of(0, last));
    for (const char* name : {"core_siblings_list", "package_cpus_list", "die_cpus_list"})
      tree.file(topology + name, list_of_processors(0, last));
    if (i > 0) tree.file(cpu + "/online", "1\n", 0644);
    put_caches(view, caches, cpu, first, sibling, tree);
    put_frequencies(view, cpu, i, tree);
    tree.link(fmt::format("bus/cpu/devices/cpu{}", i), cpu);
  }
  const std::string node = "devices/system/node";
  for (const char* name : {"online", "possible", "has_cpu", "has_memory", "has_normal_memory"})
    tree.file(node + "/" + name, "0\n");
  tree.file(node + "/node0/cpulist", list_of_processors(0, last));
  tree.file(node + "/node0/cpumap", mask_of(0, last));
  tree.file(node + "/node0/distance", "10\n");
  // libnuma wants free memory too: about what /proc/meminfo has, and the same for one seed.
  const auto free = static_cast<std::uint64_t>(static_cast<double>(view.memory_kilobytes) *
                                               (1 - view.machine.memory_used) * 0.31) /
                    4 * 4;
  tree.file(node + "/node0/meminfo",
            fmt::format("Node 0 MemTotal:       {:>8} kB\nNode 0 MemFree:        {:>8} kB\n"
                        "Node 0 MemUsed:        {:>8} kB\n",
                        view.memory_kilobytes, free, view.memory_kilobytes - free));
  tree.file(node + "/node0/numastat",
            "numa_hit 91847211\nnuma_miss 0\nnuma_foreign 0\ninterleave_hit 1284\n"
            "local_node 91847211\nother_node 0\n");
  for (std::uint32_t i = 0; i <= last; ++i)
    tree.link(fmt::format("{}/node0/cpu{}", node, i), fmt::format("{}/cpu{}", base, i));
}

// Blocks of memory as lsmem(1) lists them, and a hole up to 4 GiB where PCI has its windows. Those
// of a zone are links to the first of them: each has little of its own.
void put_memory(const MachineView& view, EntryTree& tree) {
  const std::string base = "devices/system/memory";
  constexpr std::uint64_t gigabyte = 1U << 20U;  // kilobytes
  const std::uint64_t installed = installed_kilobytes(view.memory_kilobytes);
  const std::uint64_t block = block_kilobytes(installed);
  // In blocks: where the hole begins and ends.
  const std::uint64_t hole = 3 * gigabyte / block, above = 4 * gigabyte / block;
  const std::uint64_t blocks = installed / block;
  tree.file(base + "/block_size_bytes", fmt::format("{:x}\n", block * 1024));
  tree.file(base + "/auto_online_blocks", "offline\n", 0644);
  for (std::uint64_t i = 0; i < blocks; ++i) {
    const std::uint64_t number = i < hole ? i : i - hole + above;
    const std::string at = fmt::format("{}/memory{}", base, number);
    if (number > 1 && number != above) {
      tree.link(at, fmt::format("{}/memory{}", base, number < above ? 1 : above));
      continue;
    }
    tree.file(at + "/online", "1\n", 0644);
    tree.file(at + "/removable", "1\n");
    tree.file(at + "/state", "online\n", 0644);
    tree.file(at + "/valid_zones", number == 0      ? "none\n"
                                   : number < above ? "DMA32\n"
                                                    : "Normal\n");
    tree.link(at + "/node0", "devices/system/node/node0");
  }
}

std::string list_of_processors(std::uint32_t first, std::uint32_t last) {
  return first == last ? fmt::format("{}\n", first) : fmt::format("{}-{}\n", first, last);
}

}  // namespace gyges::cues
