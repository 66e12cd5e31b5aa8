// Parts of the generated trees of /proc and /sys that both have.
#pragma once

#include <string>
#include <vector>

#include "sandbox/cues/disguise.h"
#include "sandbox/cues/machine.h"

namespace gyges::cues {

// What lspci and their like read first of all: the identifying part of the configuration space.
std::string pci_configuration(const PciFunction& function);
std::string pci_devices_file(const Machine& machine);

// The partition that the root is on, "vda1": the largest that is mounted nowhere else, or the disk
// where it has none. Empty where there are no disks.
std::string root_partition(const Machine& machine);

// That one, and those that are mounted beside it.
std::vector<std::string> mounted_partitions(const Machine& machine);

struct ProcessorCache {
  std::uint32_t level = 0;
  const char* type = "";
  std::uint64_t bytes = 0;
  std::uint32_t line = 64, ways = 8, sets = 64;
};
std::vector<ProcessorCache> processor_caches(const MachineView& view);
Pairs processor_weaknesses();
// Those that there are, and the one that is used.
std::pair<std::string, std::string> clock_sources(const MachineView& view);

// Parts of the tree for /sys.
class EntryTree;
void put_control_groups(const MachineView& view, EntryTree& tree);
void put_processors(const MachineView& view, EntryTree& tree);
void put_memory(const MachineView& view, EntryTree& tree);
// "0-3\n"
std::string list_of_processors(std::uint32_t first, std::uint32_t last);

// Covers of files and directories of /proc that list hardware and drivers.
std::vector<isolation::Cover> hardware_covers(const MachineView& view);

// Covers of settings below /proc/sys that tell the host's memory or how it was started.
std::vector<isolation::Cover> settings_covers(const MachineView& view);

}  // namespace gyges::cues
