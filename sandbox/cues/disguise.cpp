#include "sandbox/cues/disguise.h"

#include <algorithm>
#include <array>
#include <tuple>

#include "base/text.h"
#include "sandbox/cues/seeded_stream.h"
#include "sandbox/isolation/emulation.h"

namespace gyges::cues {
namespace {

std::string uuid(SeededStream& stream) {
  std::string hex = stream.hex(32);
  hex[12] = '4';  // version 4, variant 1 (RFC 9562)
  hex[16] = "89ab"[stream.below(4)];
  return hex.substr(0, 8) + "-" + hex.substr(8, 4) + "-" + hex.substr(12, 4) + "-" +
         hex.substr(16, 4) + "-" + hex.substr(20);
}

// The host's block with the persona's fields in it. The lines that number a processor are left to
// the caller.
std::string processor_block(const Machine& machine, const std::string& host) {
  static constexpr std::array numbered{"processor", "physical id", "siblings",      "core id",
                                       "cpu cores", "apicid",      "initial apicid"};
  std::string block;
  for (const std::string& line : split(host, '\n')) {
    if (line.empty()) continue;
    std::string name = line.substr(0, line.find_first_of("\t:"));
    if (std::find(numbered.begin(), numbered.end(), name) != numbered.end()) continue;
    std::string text = line;
    for (const auto& [field, value] : machine.processor)
      if (field == name) text = line.substr(0, line.find(':') + 1) + " " + value;
    if (name == "flags") {
      std::vector<std::string> kept;
      for (const std::string& flag : split(text.substr(text.find(':') + 2), ' '))
        if (std::find(machine.processor_flags_removed.begin(),
                      machine.processor_flags_removed.end(),
                      flag) == machine.processor_flags_removed.end())
          kept.push_back(flag);
      text = text.substr(0, text.find(':') + 2) + join(kept, " ");
    }
    block += text + "\n";
  }
  return block;
}

std::pair<std::uint32_t, std::uint32_t> ids_of(const Persona& persona, const std::string& user) {
  for (const Account& account : persona.accounts)
    if (account.name == user) return {account.uid, account.gid};
  if (persona.user.name == user) return {persona.user.uid, persona.user.gid};
  return {0, 0};
}

}  // namespace

MachineView make_view(const Persona& persona, std::uint64_t seed, const isolation::CueRules& rules,
                      const HostMachine& host) {
  MachineView view;
  view.machine = *persona.machine;
  view.hostname = persona.hostname;
  view.seed = seed;
  view.uptime_offset = rules.uptime_seconds;
  const Machine& machine = view.machine;
  auto emulated = [&](std::string_view name) {
    return std::find(rules.emulate.begin(), rules.emulate.end(), name) != rules.emulate.end();
  };
  const bool named = emulated("uname") && !machine.kernel_release.empty();
  view.release = named ? machine.kernel_release : host.release;
  view.version = named ? machine.kernel_version : host.version;
  const bool counted = emulated("affinity") && machine.processors > 0;
  view.processors = counted ? machine.processors : host.processors;
  const bool weighed = emulated("sysinfo") && machine.memory_megabytes > 0;
  view.memory_kilobytes = weighed ? machine.memory_megabytes * 1024 : host.memory_kilobytes;
  view.processor = processor_block(machine, host.processor);
  SeededStream stream(seed, "machine/ids");
  view.boot_id = uuid(stream);
  view.machine_uuid = uuid(stream);
  return view;
}

std::shared_ptr<const isolation::Emulation> make_emulation(const MachineView& view) {
  const Machine& machine = view.machine;
  auto emulation = std::make_shared<isolation::Emulation>();
  if (!machine.kernel_release.empty()) {
    emulation->release = view.release;
    emulation->version = view.version;
    emulation->hostname = view.hostname;
  }
  emulation->sysinfo = sysinfo_of(view);
  emulation->processors = machine.processors > 0 ? view.processors : 0;
  if (!machine.disks.empty()) {
    // EXT4_SUPER_MAGIC of a machine's disk, OVERLAYFS_SUPER_MAGIC of a container's layers.
    emulation->root_type = machine.cgroup_root ? 0xef53 : 0x794c7630;
    const Disk& disk = machine.disks.front();
    std::uint64_t megabytes = disk.megabytes;
    for (const Partition& part : disk.partitions)
      megabytes = std::max(part.megabytes, megabytes / 2);
    emulation->root_bytes = megabytes * 1024 * 1024 / 100 * 98;
    emulation->root_free = emulation->root_bytes / 100 * (40 + view.seed % 23);
  }
  emulation->no_filter = machine.claims_container == "none";
  return emulation;
}

Result<std::shared_ptr<const isolation::Disguise>> make_disguise(const Persona& persona,
                                                                 std::uint64_t seed,
                                                                 const isolation::Policy& policy) {
  auto made = std::make_shared<isolation::Disguise>();
  isolation::Disguise& disguise = *made;
  if (!persona.machine) return std::shared_ptr<const isolation::Disguise>();
  GYGES_TRY(HostMachine host, read_host_machine());
  MachineView view = make_view(persona, seed, policy.cues, host);
  const Machine& machine = view.machine;
  view.interfaces = {"lo"};
  if (policy.network.mode != network::NetworkPolicy::Mode::none)
    view.interfaces.push_back(policy.network.interface.name);
  disguise.covers = proc_covers(view);
  disguise.sysfs = sysfs_tree(view, disguise.network_directory);
  disguise.init_name = machine.init_name;
  disguise.init_arguments = machine.init_arguments;
  SeededStream stream(seed, "machine/pids");
  if (machine.next_pid > 0)
    disguise.next_pid =
        machine.next_pid + static_cast<std::uint32_t>(stream.below(machine.next_pid / 450 + 1));
  for (const Daemon& daemon : machine.daemons) {
    isolation::Decoy decoy{daemon.name, daemon.argv, 0, 0, daemon.pid};
    std::tie(decoy.uid, decoy.gid) = ids_of(persona, daemon.user);
    disguise.decoys.push_back(std::move(decoy));
  }
  disguise.root_files = machine.root_files;
  disguise.emulation = make_emulation(view);
  return std::shared_ptr<const isolation::Disguise>(std::move(made));
}

}  // namespace gyges::cues
