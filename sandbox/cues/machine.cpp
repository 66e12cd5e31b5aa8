#include "sandbox/cues/machine.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "base/fd.h"
#include "base/json.h"

namespace gyges::cues {
namespace {

using nlohmann::json;

template <class T>
void take(const json& from, const char* key, T& into) {
  if (auto found = from.find(key); found != from.end()) into = found->get<T>();
}

// Objects keep no order in JSON; where order shows, the manifest has a list of pairs.
Pairs pairs_from_json(const json& from, const char* key) {
  Pairs pairs;
  auto found = from.find(key);
  if (found == from.end()) return pairs;
  for (const auto& [name, value] : found->items())
    pairs.emplace_back(name, value.get<std::string>());
  return pairs;
}

unsigned number_at_end(const std::string& name) {
  const std::size_t before = name.find_last_not_of("0123456789");
  const std::size_t first = before == std::string::npos ? 0 : before + 1;
  return static_cast<unsigned>(std::strtoul(name.c_str() + first, nullptr, 10));
}

Disk disk_from_json(const json& value) {
  Disk disk;
  take(value, "name", disk.name);
  take(value, "major", disk.major);
  take(value, "megabytes", disk.megabytes);
  take(value, "model", disk.model);
  take(value, "slot", disk.slot);
  for (const json& part : value.value("partitions", json::array()))
    disk.partitions.push_back(
        {part.at("name").get<std::string>(), part.at("megabytes").get<std::uint64_t>(),
         number_at_end(part.at("name").get<std::string>()), part.value("mount", "")});
  return disk;
}

PciFunction function_from_json(const json& value) {
  PciFunction function;
  take(value, "slot", function.slot);
  take(value, "class", function.class_code);
  take(value, "vendor", function.vendor);
  take(value, "device", function.device);
  function.subsystem_vendor = value.value("subsystem_vendor", function.vendor);
  function.subsystem_device = value.value("subsystem_device", "0x0000");
  take(value, "driver", function.driver);
  return function;
}

Daemon daemon_from_json(const json& value) {
  Daemon daemon;
  take(value, "name", daemon.name);
  take(value, "argv", daemon.argv);
  daemon.user = value.value("user", "root");
  take(value, "pid", daemon.pid);
  return daemon;
}

void read_hardware(const json& value, Machine& machine) {
  const json cpu = value.value("processor", json::object());
  machine.processor = pairs_from_json(cpu, "fields");
  take(cpu, "flags_removed", machine.processor_flags_removed);
  take(cpu, "count", machine.processors);
  take(cpu, "threads_per_core", machine.threads_per_core);
  const json memory = value.value("memory", json::object());
  take(memory, "megabytes", machine.memory_megabytes);
  take(memory, "swap_megabytes", machine.swap_megabytes);
  take(memory, "used", machine.memory_used);
  for (const json& disk : value.value("disks", json::array()))
    machine.disks.push_back(disk_from_json(disk));
  machine.dmi = pairs_from_json(value, "dmi");
  for (const json& function : value.value("pci", json::array()))
    machine.pci.push_back(function_from_json(function));
  take(value, "network_slot", machine.network_slot);
  take(value, "interrupts", machine.interrupts);
  for (const json& device : value.value("misc_devices", json::array()))
    machine.misc_devices.emplace_back(device.at("minor").get<unsigned>(),
                                      device.at("name").get<std::string>());
  machine.sensors = pairs_from_json(value, "sensors");
}

// The first block of /proc/cpuinfo. The kernel makes it block by block as it is read, each with a
// look at that processor's frequency: the others are not asked for.
Result<std::string> first_processor() {
  const UniqueFd file(::open("/proc/cpuinfo", O_RDONLY | O_CLOEXEC));
  if (!file) return fail_errno("open", "/proc/cpuinfo");
  std::string text;
  std::array<char, 4096> piece;
  while (text.find("\n\n") == std::string::npos) {
    const ssize_t n = ::read(file.get(), piece.data(), piece.size());
    if (n < 0) return fail_errno("read", "/proc/cpuinfo");
    if (n == 0) break;
    text.append(piece.data(), static_cast<std::size_t>(n));
  }
  return text.substr(0, text.find("\n\n")) + "\n";
}

}  // namespace

Machine machine_from_json(const json& value) {
  Machine machine;
  const json claims = value.value("claims", json::object());
  take(claims, "vm", machine.claims_vm);
  take(claims, "container", machine.claims_container);
  const json kernel = value.value("kernel", json::object());
  take(kernel, "release", machine.kernel_release);
  take(kernel, "version", machine.kernel_version);
  take(kernel, "build", machine.kernel_build);
  take(kernel, "command_line", machine.command_line);
  take(kernel, "modules", machine.modules);
  read_hardware(value, machine);
  const json activity = value.value("activity", json::object());
  take(activity, "load", machine.load);
  take(activity, "threads", machine.threads);
  take(activity, "busy", machine.busy);
  const json processes = value.value("processes", json::object());
  const json init = processes.value("init", json::object());
  take(init, "name", machine.init_name);
  take(init, "argv", machine.init_arguments);
  take(processes, "next_pid", machine.next_pid);
  take(processes, "pid_max", machine.pid_max);
  take(processes, "age_days", machine.age_days);
  take(processes, "recent", machine.recent);
  for (const json& daemon : processes.value("daemons", json::array()))
    machine.daemons.push_back(daemon_from_json(daemon));
  take(value, "root_files", machine.root_files);
  take(value, "volumes", machine.volumes);
  machine.cgroup_root = machine.claims_container == "none";
  return machine;
}

Result<HostMachine> read_host_machine() {
  HostMachine host;
  GYGES_TRY(host.processor, first_processor());
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (::sched_getaffinity(0, sizeof(mask), &mask) == 0)
    host.processors = static_cast<std::uint32_t>(CPU_COUNT(&mask));
  struct sysinfo info {};
  if (::sysinfo(&info) != 0) return fail_errno("read", "memory of the host");
  host.memory_kilobytes = static_cast<std::uint64_t>(info.totalram) * info.mem_unit / 1024;
  utsname name{};
  if (::uname(&name) != 0) return fail_errno("read", "name of the host's kernel");
  host.release = name.release;
  host.version = name.version;
  return host;
}

}  // namespace gyges::cues
