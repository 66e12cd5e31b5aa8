#include "sandbox/cues/disguise.h"

#include <cpuid.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <future>
#include <iterator>
#include <memory>
#include <string_view>
#include <tuple>
#include <utility>

#include "base/aside.h"
#include "base/text.h"
#include "sandbox/cues/login_records.h"
#include "sandbox/cues/seeded_stream.h"
#include "sandbox/cues/system_bus.h"
#include "sandbox/cues/usual_files.h"
#include "sandbox/isolation/emulation.h"

namespace gyges::cues {
namespace {

constexpr const char* machine_ids = "machine/ids";

// What names the host's kernel, processor and start is covered where the rest is answered: an
// answer can be got round (docs/cue_mechanisms.md), a mount cannot.
constexpr std::array<std::string_view, 6> always_covered{"/proc/cmdline",
                                                         "/proc/cpuinfo",
                                                         "/proc/sys/kernel/osrelease",
                                                         "/proc/sys/kernel/random/boot_id",
                                                         "/proc/sys/kernel/version",
                                                         "/proc/version"};

std::string uuid(SeededStream& stream) {
  std::string hex = stream.hex(32);
  hex[12] = '4';  // version 4, variant 1 (RFC 9562)
  hex[16] = "89ab"[stream.below(4)];
  return hex.substr(0, 8) + "-" + hex.substr(8, 4) + "-" + hex.substr(12, 4) + "-" +
         hex.substr(16, 4) + "-" + hex.substr(20);
}

// The name that the processor gives itself, as the kernel prints it; empty where it gives none.
std::string ask_processor_brand() {
  std::array<std::uint32_t, 12> words{};
  for (std::uint32_t i = 0; i < 3; ++i)
    if (__get_cpuid(0x80000002 + i, &words[i * 4], &words[i * 4 + 1], &words[i * 4 + 2],
                    &words[i * 4 + 3]) == 0)
      return {};
  std::string brand(reinterpret_cast<const char*>(words.data()), sizeof(words));
  brand.resize(std::min(brand.find('\0'), brand.size()));
  const std::size_t first = brand.find_first_not_of(' ');
  if (first == std::string::npos) return {};
  return brand.substr(first, brand.find_last_not_of(' ') - first + 1);
}

// Asked once: a hypervisor takes each of its three instructions for itself.
const std::string& processor_brand() {
  static const std::string brand = ask_processor_brand();
  return brand;
}

// The host's block with the persona's fields in it. The lines that number a processor are left to
// the caller. A virtual machine that was moved while it ran still has the name of its first
// processor there, which every program can hold against CPUID: what that says stands in its place.
std::string processor_block(const Machine& machine, const std::string& host) {
  const std::string& brand = processor_brand();
  static constexpr std::array numbered{"processor", "physical id", "siblings",      "core id",
                                       "cpu cores", "apicid",      "initial apicid"};
  std::string block;
  for (const std::string& line : split(host, '\n')) {
    if (line.empty()) continue;
    std::string name = line.substr(0, line.find_first_of("\t:"));
    if (std::find(numbered.begin(), numbered.end(), name) != numbered.end()) continue;
    std::string text = line;
    if (name == "model name" && !brand.empty()) text = line.substr(0, line.find(':') + 2) + brand;
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

// What CPUID says against the persona, and no file can change. Faulting the instruction would end
// at every execve and take a tracer.
std::vector<std::string> processor_contradictions(const Machine& machine) {
  std::vector<std::string> found;
  std::uint32_t a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0) return found;
  const bool hypervisor = (c >> 31U & 1U) != 0;
  if (hypervisor && machine.claims_vm == "none")
    found.emplace_back(
        "CPUID names a hypervisor where the persona claims none: use a host of bare metal, or a "
        "persona that claims a virtual machine");
  if (!hypervisor && machine.claims_vm != "none")
    found.push_back("CPUID names no hypervisor where the persona claims " + machine.claims_vm);
  if (hypervisor && (machine.claims_vm == "kvm" || machine.claims_vm == "amazon")) {
    __cpuid(0x40000000, a, b, c, d);
    std::array<char, 12> name{};
    std::memcpy(name.data(), &b, 4);
    std::memcpy(name.data() + 4, &c, 4);
    std::memcpy(name.data() + 8, &d, 4);
    const std::string_view words(name.data(), name.size());
    const std::size_t last = words.find_last_not_of(std::string_view("\0 ", 2));
    if (!words.starts_with("KVMKVMKVM"))
      found.push_back("CPUID names the hypervisor " + printable(words.substr(0, last + 1)) +
                      " where the persona claims " + machine.claims_vm +
                      ": detectors that ask it say so");
  }
  const std::string& brand = processor_brand();
  if (brand.empty()) return found;
  for (const auto& [field, value] : machine.processor)
    if (field == "model name" && brand.find(value) == std::string::npos)
      found.push_back("CPUID names the processor " + printable(brand) +
                      " where the persona claims " + printable(value));
  return found;
}

}  // namespace

std::string root_uuid(std::uint64_t seed) {
  SeededStream stream(seed, machine_ids);
  for (int earlier = 0; earlier < 2; ++earlier) uuid(stream);
  return uuid(stream);
}

std::string boot_uuid(std::uint64_t seed) {
  SeededStream stream(seed, machine_ids);
  return uuid(stream);
}

std::string partition_uuid(std::uint64_t seed, const std::string& name) {
  SeededStream stream(seed, "machine/partition/" + name);
  return uuid(stream);
}

std::pair<std::uint32_t, std::uint32_t> account_ids(const Persona& persona,
                                                    const std::string& user) {
  for (const Account& account : persona.accounts)
    if (account.name == user) return {account.uid, account.gid};
  if (persona.user.name == user) return {persona.user.uid, persona.user.gid};
  return {0, 0};
}

std::shared_ptr<const MachineView> kept(const MachineView& view) {
  auto shared = view.weak_from_this().lock();
  return shared ? shared : std::make_shared<const MachineView>(view);
}

MachineView make_view(const Persona& persona, std::uint64_t seed, const isolation::CueRules& rules,
                      const HostMachine& host, std::int64_t as_of) {
  MachineView view;
  if (as_of == 0) as_of = today();
  view.day = day_of(as_of);
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
  // A kernel has some pages left beside whole megabytes: as many for every seed, so that runs share
  // what tells them.
  const std::uint64_t left = (1 + machine.memory_megabytes * 7919 % 250) * 4;
  view.memory_kilobytes = weighed ? machine.memory_megabytes * 1024 + left : host.memory_kilobytes;
  view.host_memory_kilobytes = host.memory_kilobytes;
  view.processor = processor_block(machine, host.processor);
  SeededStream stream(seed, machine_ids);
  view.boot_id = uuid(stream);
  view.machine_uuid = uuid(stream);
  // No two machines share those of their disks.
  static constexpr std::string_view drawn = "{uuid}";
  std::string& start = view.machine.command_line;
  for (std::size_t at = 0; (at = start.find(drawn, at)) != std::string::npos;)
    start.replace(at, drawn.size(), uuid(stream));
  view.user = persona.user.uid;
  view.group = persona.user.gid;
  view.session = session_of(seed);
  for (const WorldFile& file : persona.files)
    view.user_directory = view.user_directory || file.path.starts_with("/run/user/");
  timespec up{};
  ::clock_gettime(CLOCK_BOOTTIME, &up);
  const std::uint64_t uptime = rules.uptime_seconds + static_cast<std::uint64_t>(up.tv_sec);
  // A container's start is a time of the day's, and the machine's is one too.
  std::int64_t before = 0;
  if (machine.age_days >= 0 || machine.recent)
    before = start_of_container(persona, seed, as_of, 0) - start_of_machine(rules.uptime_seconds);
  const std::uint64_t lived =
      uptime - std::min(uptime, static_cast<std::uint64_t>(std::max<std::int64_t>(before, 0)));
  view.processes = process_looks(persona, machine, seed, uptime, lived);
  std::vector<ProcessLook> kernel = kernel_thread_looks(machine, view.processors, seed, uptime);
  std::move(kernel.begin(), kernel.end(), std::back_inserter(view.processes));
  std::uint32_t threads = 12;  // of what the agent starts
  for (const ProcessLook& look : view.processes) threads += look.threads;
  view.machine.threads = std::max(view.machine.threads, threads);
  return view;
}

std::shared_ptr<const isolation::Emulation> make_emulation(
    const MachineView& view, const std::vector<isolation::Cover>& covers) {
  const Machine& machine = view.machine;
  auto emulation = std::make_shared<isolation::Emulation>();
  if (!machine.kernel_release.empty()) {
    emulation->release = view.release;
    emulation->version = view.version;
    emulation->hostname = view.hostname;
  }
  emulation->sysinfo = sysinfo_of(view);
  emulation->processors = machine.processors > 0 ? view.processors : 0;
  emulation->mounts = shown_mounts(mount_rows(view), view.memory_kilobytes);
  emulation->state = shown_state(machine);
  emulation->process_files = process_file_rules(view, machine.processors > 0);
  emulation->load_average = [shared = kept(view)](std::uint32_t last,
                                                  const isolation::OwnUse& own) {
    return load_file(*shared, last, own);
  };
  auto other = [&](const char* path, std::string content) {
    if (::access(path, F_OK) != 0) emulation->other_files.emplace(path, std::move(content));
  };
  other("/proc/modules", modules_file(machine));
  if (machine.cgroup_root) {
    other("/proc/sys/kernel/yama/ptrace_scope", "0\n");
    // Debian's own: closed, as the sandbox has it.
    other("/proc/sys/kernel/unprivileged_userns_clone", "0\n");
  }
  for (const isolation::Cover& cover : covers)
    if (cover.answered && ::access(cover.path.c_str(), F_OK) == 0)
      emulation->fixed_files.emplace(cover.path,
                                     isolation::Emulation::FixedFile{cover.content, cover.mode});
  using Namespaces = isolation::Emulation::Namespaces;
  emulation->namespaces =
      machine.claims_container == "none" ? Namespaces::machines : Namespaces::containers;
  return emulation;
}

Result<std::shared_ptr<const isolation::Disguise>> make_disguise(const Persona& persona,
                                                                 std::uint64_t seed,
                                                                 const isolation::Policy& policy,
                                                                 std::int64_t as_of) {
  auto made = std::make_shared<isolation::Disguise>();
  isolation::Disguise& disguise = *made;
  if (!persona.machine) return std::shared_ptr<const isolation::Disguise>();
  GYGES_TRY(HostMachine host, read_host_machine());
  const auto shared =
      std::make_shared<MachineView>(make_view(persona, seed, policy.cues, host, as_of));
  MachineView& view = *shared;
  const Machine& machine = view.machine;
  view.interfaces = {"lo"};
  if (policy.network.mode != network::NetworkPolicy::Mode::none)
    view.interfaces.push_back(policy.network.interface.name);
  // Its hundreds of files take as long as all the rest.
  std::string network;
  std::future<std::vector<isolation::TreeEntry>> sysfs =
      aside([&] { return sysfs_tree(view, network); });
  disguise.covers = proc_covers(view);
  // As an ordinary user Gyges cannot answer every process (who makes itself undumpable is left to
  // the kernel), and nobody is asked about what io_uring opens.
  // What the policy masks stays covered: a mask is a device to whoever lists it.
  const std::vector<std::string>& masked = policy.filesystem.masked;
  const auto among = [](const auto& paths, const std::string& path) {
    return std::find(paths.begin(), paths.end(), path) != paths.end();
  };
  if (::geteuid() == 0 && !isolation::may_use_io_uring(policy))
    for (isolation::Cover& cover : disguise.covers)
      cover.answered = !cover.renew && !cover.entries && (cover.mode & 0444U) == 0444U &&
                       !among(masked, cover.path) && !among(always_covered, cover.path);
  disguise.init_name = machine.init_name;
  disguise.init_arguments = machine.init_arguments;
  SeededStream stream(seed, "machine/pids");
  if (machine.next_pid > 0)
    disguise.next_pid =
        machine.next_pid + static_cast<std::uint32_t>(stream.below(machine.next_pid / 450 + 1));
  for (const Daemon& daemon : machine.daemons) {
    isolation::Decoy decoy{daemon.name, daemon.argv, 0, 0, daemon.pid};
    std::tie(decoy.uid, decoy.gid) = account_ids(persona, daemon.user);
    disguise.decoys.push_back(std::move(decoy));
  }
  for (const ProcessLook& look : view.processes)
    if (look.kernel) disguise.decoys.push_back({look.name, {}, 0, 0, look.pid});
  if (machine.memory_megabytes > 0) disguise.usual_processes = most_threads(view) / 2;
  disguise.root_files = machine.root_files;
  disguise.root_of_disk = machine.cgroup_root;
  for (const char* path : {"/media", "/mnt"}) disguise.root_directories.emplace_back(path, 0755);
  disguise.root_directories.emplace_back("/root", 0700);
  // Images of containers have no kernel; a machine's is kept from users.
  const bool whole = machine.cgroup_root;
  disguise.root_directories.emplace_back("/boot", whole ? 0700 : 0755);
  if (whole) disguise.root_directories.emplace_back("/lost+found", 0700);
  if (whole) disguise.device_directories = {{"/dev/hugepages", 0755}, {"/dev/mqueue", 01777}};
  disguise.root_time = installation_time(view.day);
  const std::int64_t started = start_of_machine(policy.cues.uptime_seconds);
  disguise.run_time = start_of_container(persona, seed, as_of == 0 ? today() : as_of, started);
  // Something came and went there on the day before; a container's is its own.
  disguise.temporary_time = whole ? view.day - 5413 : disguise.run_time;
  disguise.emulation = make_emulation(view, disguise.covers);
  if (has_system_bus(machine)) {
    // systemd's were made as it started.
    disguise.bus_time = started;
    // Of one copy: a disguise is copied at every start, and few starts have a client.
    const auto told = std::make_shared<const Persona>(persona);
    disguise.bus = [told, shared] { return bus_document(*told, *shared); };
  }
  disguise.unhidden = processor_contradictions(machine);
  if (disguise.run_time < started)
    disguise.unhidden.emplace_back(
        "the container was started before its machine: give a later day, or the persona more "
        "uptime_days");
  disguise.sysfs = sysfs.get();
  disguise.network_directory = std::move(network);
  return std::shared_ptr<const isolation::Disguise>(std::move(made));
}

}  // namespace gyges::cues
