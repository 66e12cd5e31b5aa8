// A tree for /sys. It has what tells the machine (firmware, processors, disks, buses, interfaces)
// and what common programs read, in the places where sysfs(5) has them; not the thousands of files
// that drivers add.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <memory>

#include "base/text.h"
#include "sandbox/cues/disguise.h"
#include "sandbox/cues/entry_tree.h"
#include "sandbox/cues/machine_counters.h"
#include "sandbox/cues/machine_trees.h"

namespace gyges::cues {
namespace {

std::string line(std::string text) {
  return text + "\n";
}

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

std::string slot_path(const std::string& slot) {
  return "devices/pci" + slot.substr(0, 7) + "/" + slot;
}

void put_dmi(const MachineView& view, EntryTree& tree) {
  if (view.machine.dmi.empty()) return;
  const std::string base = "devices/virtual/dmi/id";
  for (const auto& [name, value] : view.machine.dmi) {
    // Serial numbers are for root, on every machine.
    const bool secret = name.ends_with("_serial") || name == "product_uuid";
    std::string content = value;
    if (name == "product_uuid") content = view.machine_uuid;
    // Clouds name their machines after the maker of the processor, which is the host's.
    static constexpr std::string_view maker = "{maker}";
    if (const std::size_t at = content.find(maker); at != std::string::npos)
      content.replace(at, maker.size(),
                      view.processor.find("AuthenticAMD") != std::string::npos ? "a" : "i");
    const unsigned mode = secret ? 0400 : 0444;
    if (name == "product_uuid")
      tree.own_file(base + "/" + name, line(content), mode);
    else
      tree.file(base + "/" + name, line(content), mode);
  }
  tree.link("class/dmi/id", base);
  // What dmidecode reads, as root alone; containers have this directory covered.
  if (view.machine.cgroup_root)
    for (const char* name : {"DMI", "smbios_entry_point"})
      tree.file(std::string("firmware/dmi/tables/") + name, "", 0400);
}

// Start, end and flags of its windows: of virtio one of ports and one of memory.
std::string resources_of(const PciFunction& function, int number) {
  std::string text;
  for (int i = 0; i < 13; ++i) {
    std::uint64_t start = 0, end = 0, flags = 0;
    if (function.driver == "virtio-pci" && i == 0) {
      start = 0xc000U + static_cast<std::uint64_t>(number) * 0x40U;
      end = start + 0x3fU;
      flags = 0x40101;  // IORESOURCE_IO, and that it is the window of a function
    } else if (function.driver == "virtio-pci" && i == 1) {
      start = 0xfebc0000U + static_cast<std::uint64_t>(number) * 0x1000U;
      end = start + 0xfffU;
      flags = 0x40200;
    }
    text += fmt::format("{:#018x} {:#018x} {:#018x}\n", start, end, flags);
  }
  return text;
}

void put_pci(const MachineView& view, EntryTree& tree) {
  int number = 0;
  for (const PciFunction& function : view.machine.pci) {
    const std::string base = slot_path(function.slot);
    tree.file(base + "/class", line(function.class_code));
    tree.file(base + "/vendor", line(function.vendor));
    tree.file(base + "/device", line(function.device));
    tree.file(base + "/subsystem_vendor", line(function.subsystem_vendor));
    tree.file(base + "/subsystem_device", line(function.subsystem_device));
    tree.file(base + "/revision", "0x00\n");
    tree.file(base + "/enable", "1\n");
    tree.file(base + "/numa_node", "-1\n");
    tree.file(base + "/irq", function.driver.empty() ? "0\n" : fmt::format("{}\n", 10 + number));
    tree.file(base + "/config", pci_configuration(function), 0644);
    tree.file(base + "/resource", resources_of(function, number));
    tree.link("bus/pci/devices/" + function.slot, base);
    if (!function.driver.empty()) {
      const std::string driver = "bus/pci/drivers/" + function.driver;
      tree.directory(driver);
      tree.link(base + "/driver", driver);
      tree.link(driver + "/" + function.slot, base);
    }
    tree.link(base + "/subsystem", "bus/pci");
    if (function.driver == "virtio-pci") {
      const std::string name = fmt::format("virtio{}", number++);
      const std::string kind = "0x00" + function.subsystem_device.substr(4);
      tree.file(base + "/" + name + "/vendor", "0x1af4\n");
      tree.file(base + "/" + name + "/device", line(kind));
      tree.file(base + "/" + name + "/status", "0x0000000f\n");
      tree.file(base + "/" + name + "/modalias",
                fmt::format("virtio:d0000{}v00001AF4\n", kind.substr(2)));
      tree.link(base + "/" + name + "/subsystem", "bus/virtio");
      tree.link("bus/virtio/devices/" + name, base + "/" + name);
    }
  }
}

// The directory in which a device of this function's lies.
std::string device_of(const Machine& machine, const std::string& slot) {
  int number = 0;
  for (const PciFunction& function : machine.pci) {
    const bool virtual_function = function.driver == "virtio-pci";
    if (function.slot == slot)
      return slot_path(slot) + (virtual_function ? fmt::format("/virtio{}", number) : "");
    number += virtual_function ? 1 : 0;
  }
  return "devices/virtual";
}

struct Setting {
  const char* name;
  const char* value;
};

// Of a queue without a limit of its own, as virtio's and that of NVMe are.
constexpr std::array queue_settings{
    Setting{"add_random", "0"},
    Setting{"discard_granularity", "512"},
    Setting{"discard_max_bytes", "2147483136"},
    Setting{"discard_zeroes_data", "0"},
    Setting{"hw_sector_size", "512"},
    Setting{"iostats", "1"},
    Setting{"logical_block_size", "512"},
    Setting{"max_sectors_kb", "1280"},
    Setting{"max_segments", "254"},
    Setting{"minimum_io_size", "512"},
    Setting{"nomerges", "0"},
    Setting{"nr_requests", "256"},
    Setting{"optimal_io_size", "0"},
    Setting{"physical_block_size", "512"},
    Setting{"read_ahead_kb", "128"},
    Setting{"rotational", "0"},
    Setting{"rq_affinity", "1"},
    Setting{"scheduler", "[none] mq-deadline"},
    Setting{"write_cache", "write back"},
    Setting{"zoned", "none"},
};

void put_disks(const MachineView& view, EntryTree& tree) {
  const Machine& machine = view.machine;
  const auto shared = kept(view);
  tree.directory("class/block");
  tree.directory("block");
  for (const Disk& disk : machine.disks) {
    const std::string device = device_of(machine, disk.slot);
    const std::string base = device + "/block/" + disk.name;
    auto common = [&](const std::string& at, unsigned minor, std::uint64_t megabytes) {
      const std::string name = at.substr(at.rfind('/') + 1);
      tree.file(at + "/uevent",
                fmt::format("MAJOR={}\nMINOR={}\nDEVNAME={}\nDEVTYPE={}\n", disk.major, minor, name,
                            minor == 0 ? "disk" : "partition"),
                0644);
      tree.link(at + "/subsystem", "class/block");
      tree.file(at + "/dev", fmt::format("{}:{}\n", disk.major, minor));
      tree.file(at + "/size", fmt::format("{}\n", megabytes * 2048));
      tree.file(at + "/ro", "0\n");
      tree.file(at + "/alignment_offset", "0\n");
      tree.file(at + "/discard_alignment", "0\n");
      tree.file(at + "/inflight", "       0        0\n");
      tree.directory(at + "/holders");
      tree.moving_file(at + "/stat", [shared, name] { return disk_stat_file(*shared, name); });
      tree.link(fmt::format("dev/block/{}:{}", disk.major, minor), at);
    };
    common(base, 0, disk.megabytes);
    tree.file(base + "/removable", "0\n");
    tree.file(base + "/hidden", "0\n");
    tree.file(base + "/range", "16\n");
    tree.file(base + "/ext_range", "256\n");
    tree.directory(base + "/slaves");
    for (const Setting& setting : queue_settings)
      tree.file(base + "/queue/" + setting.name, line(setting.value), 0644);
    // What it is a part of: programs take a disk without it for a virtual one, and leave it out.
    if (disk.model.empty()) {
      tree.link(base + "/device", device);
    } else {
      tree.file(base + "/device/model", line(disk.model));
      tree.file(base + "/device/state", "live\n");
      tree.file(base + "/device/transport", "pcie\n");
      tree.file(base + "/device/address", line(disk.slot));
    }
    std::uint64_t start = 2048;
    for (const Partition& part : disk.partitions) {
      const std::string at = base + "/" + part.name;
      common(at, part.number, part.megabytes);
      tree.file(at + "/partition", fmt::format("{}\n", part.number));
      tree.file(at + "/start", fmt::format("{}\n", start));
      start += part.megabytes * 2048;
      tree.link("class/block/" + part.name, at);
    }
    tree.link("class/block/" + disk.name, base);
    tree.link("block/" + disk.name, base);
  }
}

// What is carried about has a battery (types of SMBIOS: portable, laptop, notebook).
void put_power(const MachineView& view, EntryTree& tree) {
  const auto type = std::find_if(view.machine.dmi.begin(), view.machine.dmi.end(),
                                 [](const auto& field) { return field.first == "chassis_type"; });
  if (type == view.machine.dmi.end() ||
      (type->second != "8" && type->second != "9" && type->second != "10"))
    return;
  const std::string acpi = "devices/LNXSYSTM:00/LNXSYBUS:00/PNP0A08:00/device:19/PNP0C09:00/";
  const std::string battery = acpi + "PNP0C0A:00/power_supply/BAT0";
  const std::uint64_t design = 52500000;  // microwatt hours
  const std::uint64_t full = design - view.seed % 9000 * 1000;
  const Pairs values{{"type", "Battery"},
                     {"status", "Not charging"},
                     {"present", "1"},
                     {"technology", "Li-poly"},
                     {"cycle_count", std::to_string(140 + view.seed % 160)},
                     {"voltage_min_design", "15440000"},
                     {"voltage_now", "16911000"},
                     {"power_now", "0"},
                     {"energy_full_design", std::to_string(design)},
                     {"energy_full", std::to_string(full)},
                     {"energy_now", std::to_string(full / 100 * 96)},
                     {"capacity", "96"},
                     {"capacity_level", "Normal"},
                     {"model_name", "5B10W51867"},
                     {"manufacturer", "SMP"},
                     {"serial_number", fmt::format("{:>5}", 1000 + view.seed % 4000)}};
  // All of them once more, in one file.
  std::string all = "POWER_SUPPLY_NAME=BAT0\n";
  for (const auto& [name, value] : values) {
    tree.own_file(battery + "/" + name, line(value));
    all += "POWER_SUPPLY_" + upper(name) + "=" + value + "\n";
  }
  tree.own_file(battery + "/uevent", std::move(all), 0644);
  tree.link("class/power_supply/BAT0", battery);
  const std::string mains = acpi + "ACPI0003:00/power_supply/AC";
  tree.file(mains + "/type", "Mains\n");
  tree.file(mains + "/online", "1\n");
  tree.file(mains + "/uevent",
            "POWER_SUPPLY_NAME=AC\nPOWER_SUPPLY_TYPE=Mains\nPOWER_SUPPLY_ONLINE=1\n", 0644);
  tree.link("class/power_supply/AC", mains);
  const std::string zone = "devices/virtual/thermal/thermal_zone0";
  tree.file(zone + "/type", "acpitz\n");
  tree.own_file(zone + "/temp", fmt::format("{}000\n", 44 + view.seed % 9));
  tree.link("class/thermal/thermal_zone0", zone);
}

}  // namespace

std::vector<isolation::TreeEntry> sysfs_tree(const MachineView& view, std::string& network) {
  const Machine& machine = view.machine;
  EntryTree tree(0755);
  put_dmi(view, tree);
  put_processors(view, tree);
  put_memory(view, tree);
  put_pci(view, tree);
  put_disks(view, tree);
  put_power(view, tree);
  put_control_groups(view, tree);
  // The kernel's own view of the interfaces is placed over this directory.
  // The loopback interface is no device's.
  const bool own_device = !machine.network_slot.empty() && view.interfaces.size() > 1;
  network = own_device ? device_of(machine, machine.network_slot) + "/net" : "devices/virtual/net";
  tree.directory(network);
  tree.directory("class/net");
  for (const std::string& name : view.interfaces)
    tree.link("class/net/" + name, network + "/" + name);
  for (const char* name : {"class/tty",
                           "class/input",
                           "class/thermal",
                           "class/power_supply",
                           "class/rtc",
                           "class/mem",
                           "class/misc",
                           "bus/usb/devices",
                           "bus/platform/devices",
                           "firmware/acpi",
                           "firmware/dmi",
                           "fs/bpf",
                           "fs/ext4",
                           "fs/fuse/connections",
                           "fs/pstore",
                           "kernel/config",
                           "kernel/debug",
                           "kernel/security",
                           "kernel/tracing",
                           "devices/platform",
                           "devices/pnp0",
                           "dev/char"})
    tree.directory(name);
  for (const auto& [name, content] : machine.sensors)
    tree.file("devices/virtual/hwmon/hwmon0/" + name, line(content));
  tree.directory("class/hwmon");
  if (!machine.sensors.empty()) tree.link("class/hwmon/hwmon0", "devices/virtual/hwmon/hwmon0");
  if (machine.kernel_version.find("Debian") != std::string::npos) {
    tree.file("module/apparmor/parameters/enabled", "Y\n");
    if (machine.cgroup_root) {
      tree.file("kernel/security/lsm", "lockdown,capability,landlock,yama,apparmor,tomoyo,bpf");
      tree.file("kernel/security/apparmor/profiles", "", 0400);  // only root is told them
    }
  }
  tree.file("kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n", 0644);
  tree.file("kernel/mm/transparent_hugepage/hpage_pmd_size", "2097152\n");
  tree.file("kernel/uevent_seqnum", "2817\n");
  tree.file("kernel/profiling", "0\n", 0644);
  tree.file("kernel/kexec_loaded", "0\n");
  tree.file("power/state", "freeze mem disk\n", 0644);
  for (const std::string& module : machine.modules) {
    const std::string name = module.substr(0, module.find(' '));
    const std::string base = "module/" + name;
    const std::vector<std::string> fields = split(module, ' ');
    tree.file(base + "/initstate", "live\n");
    tree.file(base + "/refcnt", line(fields.size() > 2 ? fields[2] : "0"));
    tree.directory(base + "/holders");
    // "ext4,jbd2,": those that use it; "-": none.
    if (fields.size() > 3)
      for (const std::string& holder : split(fields[3], ','))
        if (!holder.empty() && holder != "-")
          tree.link(base + "/holders/" + holder, "module/" + holder);
  }
  return tree.take();
}

}  // namespace gyges::cues
