// The machine of a persona: what its kernel, processor, memory, disks, firmware and buses say of
// themselves. One value from which every file of /proc and /sys that tells them is generated, so
// that none contradicts another.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"

namespace gyges::cues {

using Pairs = std::vector<std::pair<std::string, std::string>>;

struct Partition {
  std::string name;  // "vda15"
  std::uint64_t megabytes = 0;
  unsigned number = 0;  // at the name's end, which is its minor number too
  std::string mount;    // where it is mounted; empty: nowhere, or it is the root
};

struct Disk {
  std::string name;  // "vda"
  unsigned major = 254;
  std::uint64_t megabytes = 0;
  std::string model;  // empty: its driver tells none
  std::string slot;   // the PCI function that it hangs on
  std::vector<Partition> partitions;
};

struct PciFunction {
  std::string slot;        // "0000:00:03.0"
  std::string class_code;  // "0x020000"
  std::string vendor;      // "0x1af4"
  std::string device;
  std::string subsystem_vendor;
  std::string subsystem_device;
  std::string driver;  // empty: none
};

struct Daemon {
  std::string name;  // comm
  std::vector<std::string> argv;
  std::string user;
  std::uint32_t pid = 0;

  // Where what was started stands among the arguments. The kernel puts the interpreter before a
  // script, whose name the process keeps.
  [[nodiscard]] std::size_t program() const {
    return argv.size() > 1 && argv[1].ends_with("/" + name) ? 1 : 0;
  }
};

struct Machine {
  // What systemd-detect-virt and others of its kind should say: "kvm", "none", "docker", ...
  std::string claims_vm = "none";
  std::string claims_container = "none";

  std::string kernel_release, kernel_version, kernel_build;  // build: "(user@host) (compiler)"
  std::string command_line;
  Pairs processor;  // fields of /proc/cpuinfo in place of the host's
  std::vector<std::string> processor_flags_removed;
  std::uint32_t processors = 0;  // 0: as many as the sandbox may use
  std::uint32_t threads_per_core = 1;
  std::uint64_t memory_megabytes = 0;  // 0: the host's
  std::uint64_t swap_megabytes = 0;
  double memory_used = 0.35;  // of it
  std::vector<Disk> disks;
  Pairs dmi;  // empty: the machine has no such directory
  std::vector<PciFunction> pci;
  std::string network_slot;          // PCI function of the network interfaces; empty: virtual ones
  std::vector<std::string> modules;  // lines of /proc/modules up to the state
  std::vector<std::string> interrupts;  // "24 PCI-MSI 49152-edge virtio0-config"
  std::vector<std::pair<unsigned, std::string>> misc_devices;
  Pairs sensors;  // file below class/hwmon/hwmon0 and its content
  std::array<double, 3> load = {0.1, 0.1, 0.1};
  std::uint32_t threads = 150;  // of the whole machine, as loadavg counts them
  double busy = 0.03;           // share of processor time that is not idle
  std::string init_name = "init";
  std::vector<std::string> init_arguments = {"init"};
  std::uint32_t next_pid = 0;
  std::uint32_t pid_max = 0;  // 0: the kernel's
  double age_days = -1;       // of a container's processes before the day; negative: the machine's
  bool recent = false;        // a container started at recent_time()
  std::vector<Daemon> daemons;
  bool cgroup_root = true;  // whether /sys/fs/cgroup is that of a machine or of a container
  std::vector<std::string> root_files;  // empty files below /, "/.dockerenv"
  std::vector<std::string> volumes;     // a container's, on the disk of its host: mount points
};

// What the start line names the root by; a machine's own.
std::string boot_uuid(std::uint64_t seed);
std::string root_uuid(std::uint64_t seed);
// Of the file system of another partition, by its name.
std::string partition_uuid(std::uint64_t seed, const std::string& name);

// From validated JSON, the section `machine` of a persona.
Machine machine_from_json(const nlohmann::json& value);
// Refuses what no machine is: a container older than the machine that it runs on, partitions that
// are larger than their disk, hide the root or each other. `source` names the manifest in errors.
Status check_machine(const Machine& machine, std::uint64_t uptime_seconds,
                     const std::string& source);

// What the host is and cannot hide, and what the sandbox's mechanisms let a persona replace.
struct HostMachine {
  std::string processor;  // the first block of /proc/cpuinfo
  std::uint32_t processors = 1;
  std::uint64_t memory_kilobytes = 0;
  std::string release, version;  // uname(2)
};
Result<HostMachine> read_host_machine();

}  // namespace gyges::cues
