// From a persona's machine to the disguise of a sandbox: contents of /proc, a tree for /sys, the
// processes that are there before the agent is.
#pragma once

#include <sys/sysinfo.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "sandbox/cues/machine.h"
#include "sandbox/cues/persona.h"
#include "sandbox/isolation/disguise.h"
#include "sandbox/isolation/policy.h"

namespace gyges::cues {

// The values that all generated files share: the persona's where the sandbox can keep them up, the
// host's where it cannot. A file that says one thing and a system call that says another betrays
// more than either.
struct MachineView {
  Machine machine;
  std::string hostname;
  std::string release, version;
  std::uint32_t processors = 1;
  std::uint64_t memory_kilobytes = 0;
  std::string processor;            // one block of /proc/cpuinfo, without the number lines
  std::uint64_t uptime_offset = 0;  // seconds, as in the policy
  std::uint64_t seed = 0;
  std::vector<std::string> interfaces;  // of the sandbox's network namespace
  // "8-4-4-4-12" and others that are this run's own.
  std::string boot_id, machine_uuid;
};

MachineView make_view(const Persona& persona, std::uint64_t seed, const isolation::CueRules& rules,
                      const HostMachine& host);

// The parts of a disguise; thread-safe.
std::vector<isolation::Cover> proc_covers(const MachineView& view);
std::vector<isolation::TreeEntry> sysfs_tree(const MachineView& view, std::string& network);

// What sysinfo(2) says where it is emulated: what /proc/uptime, loadavg and meminfo say.
// Thread-safe.
std::function<struct sysinfo()> sysinfo_of(const MachineView& view);
std::shared_ptr<const isolation::Emulation> make_emulation(const MachineView& view);

// All of it; the same arguments on the same host give the same. Null for a persona without the
// section `machine`.
Result<std::shared_ptr<const isolation::Disguise>> make_disguise(const Persona& persona,
                                                                 std::uint64_t seed,
                                                                 const isolation::Policy& policy);

}  // namespace gyges::cues
