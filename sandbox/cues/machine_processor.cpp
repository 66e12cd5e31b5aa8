// What /sys tells of the processors beside /proc/cpuinfo: caches as CPUID has them, which every
// program may ask, weaknesses as the host's kernel knows them, and the clock.
#include <cpuid.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "base/files.h"
#include "base/text.h"
#include "sandbox/cues/machine_trees.h"

namespace gyges::cues {
namespace {

// "cache size\t: 16384 KB" of /proc/cpuinfo.
std::uint64_t last_cache_of(const std::string& processor) {
  const std::size_t at = processor.find("cache size");
  const std::size_t colon = processor.find(':', at);
  if (at == std::string::npos || colon == std::string::npos) return 0;
  return std::strtoull(processor.c_str() + colon + 1, nullptr, 10) * 1024;
}

// AMD's older leaves, which the C library asks as well (AMD64 Architecture Programmer's Manual,
// volume 3, appendix E.4). Hypervisors were seen to leave out the newer ones.
std::vector<ProcessorCache> caches_by_old_leaves() {
  std::uint32_t a = 0, b = 0, c = 0, d = 0;
  auto cache = [](std::uint32_t level, const char* type, std::uint64_t bytes, std::uint32_t ways,
                  std::uint32_t line) {
    ProcessorCache made;
    made.level = level;
    made.type = type;
    made.bytes = bytes;
    made.ways = ways;
    made.line = line;
    made.sets = static_cast<std::uint32_t>(bytes / line / ways);
    return made;
  };
  std::vector<ProcessorCache> found;
  if (__get_cpuid(0x80000005, &a, &b, &c, &d) == 0) return found;
  for (const auto& [type, word] : {std::pair{"Data", c}, std::pair{"Instruction", d}}) {
    const std::uint32_t ways = word >> 16U & 0xffU;
    if (word >> 24U == 0 || ways == 0 || ways == 0xff || (word & 0xffU) == 0) return {};
    found.push_back(cache(1, type, std::uint64_t{word >> 24U} << 10U, ways, word & 0xffU));
  }
  if (__get_cpuid(0x80000006, &a, &b, &c, &d) == 0) return found;
  static constexpr std::array<std::uint32_t, 16> ways_of{0,  1, 2,  0,  4,  0,  8,   0,
                                                         16, 0, 32, 48, 64, 96, 128, 0};
  const std::uint32_t second = ways_of[c >> 12U & 15U];
  if (second != 0 && c >> 16U != 0 && (c & 0xffU) != 0)
    found.push_back(cache(2, "Unified", std::uint64_t{c >> 16U} << 10U, second, c & 0xffU));
  // 9: the ways stand in the newer leaf, which is not there.
  const std::uint32_t third = (d >> 12U & 15U) == 9 ? 16 : ways_of[d >> 12U & 15U];
  if (third != 0 && d >> 18U != 0 && (d & 0xffU) != 0)
    found.push_back(cache(3, "Unified", std::uint64_t{d >> 18U} << 19U, third, d & 0xffU));
  return found;
}

// Intel's leaf and AMD's have one form.
std::vector<ProcessorCache> caches_by_cpuid() {
  for (const std::uint32_t leaf : {4U, 0x8000001dU}) {
    std::vector<ProcessorCache> found;
    std::uint32_t a = 0, b = 0, c = 0, d = 0;
    for (std::uint32_t index = 0; index < 8 && __get_cpuid_count(leaf, index, &a, &b, &c, &d) != 0;
         ++index) {
      static constexpr std::array<const char*, 4> types{nullptr, "Data", "Instruction", "Unified"};
      const std::uint32_t type = a & 31U;
      if (type == 0 || type >= types.size()) break;
      ProcessorCache cache;
      cache.level = a >> 5U & 7U;
      cache.type = types[type];
      cache.line = (b & 0xfffU) + 1;
      cache.ways = (b >> 22U) + 1;
      cache.sets = c + 1;
      cache.bytes = std::uint64_t{cache.line} * ((b >> 12U & 0x3ffU) + 1) * cache.ways * cache.sets;
      found.push_back(cache);
    }
    if (!found.empty()) return found;
  }
  return caches_by_old_leaves();
}

}  // namespace

std::vector<ProcessorCache> processor_caches(const MachineView& view) {
  std::vector<ProcessorCache> caches = caches_by_cpuid();
  if (caches.empty())
    caches = {{1, "Data", 32 << 10, 64, 8, 64},
              {1, "Instruction", 32 << 10, 64, 8, 64},
              {2, "Unified", 512 << 10, 64, 8, 1024},
              {3, "Unified", 16 << 20, 64, 16, 16384}};
  // Where the persona has another processor, the files agree with each other.
  const bool own = std::any_of(view.machine.processor.begin(), view.machine.processor.end(),
                               [](const auto& field) { return field.first == "cache size"; });
  const std::uint64_t last = last_cache_of(view.processor);
  if (own && last > 0 && caches.back().level == 3) {
    ProcessorCache& cache = caches.back();
    cache.bytes = last;
    cache.sets = static_cast<std::uint32_t>(last / cache.line / cache.ways);
  }
  return caches;
}

// Those that Linux 6.1 knows. What the host's kernel says of each fits the list of bugs and the
// flags that /proc/cpuinfo takes from it.
Pairs processor_weaknesses() {
  Pairs found;
  for (const char* name :
       {"gather_data_sampling", "indirect_target_selection", "itlb_multihit", "l1tf", "mds",
        "meltdown", "mmio_stale_data", "reg_file_data_sampling", "retbleed", "spec_rstack_overflow",
        "spec_store_bypass", "spectre_v1", "spectre_v2", "srbds", "tsa", "tsx_async_abort",
        "vmscape"}) {
    const auto text =
        read_file(fmt::format("/sys/devices/system/cpu/vulnerabilities/{}", name), 4096);
    const std::string state = text ? text->substr(0, text->find('\n')) : std::string();
    found.emplace_back(name, state.empty() ? "Not affected" : state);
  }
  return found;
}

// A guest of KVM has its clock too, and takes the processor's where that is steady.
std::pair<std::string, std::string> clock_sources(const MachineView& view) {
  const bool steady = view.processor.find(" nonstop_tsc") != std::string::npos;
  if (view.machine.claims_vm == "none") return {"tsc hpet acpi_pm ", "tsc"};
  if (view.machine.claims_vm == "kvm" || view.machine.claims_vm == "amazon")
    return steady ? std::pair{"tsc kvm-clock acpi_pm ", "tsc"}
                  : std::pair{"kvm-clock tsc acpi_pm ", "kvm-clock"};
  return {"tsc acpi_pm ", "tsc"};
}

}  // namespace gyges::cues
