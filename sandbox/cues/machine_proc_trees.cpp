// Directories of /proc in which the kernel tells the hardware once more: interrupts by number,
// functions of PCI, file systems by device. And lists of drivers and of what is typed on.
#include <fmt/format.h>

#include <cstdlib>
#include <set>

#include "base/text.h"
#include "sandbox/cues/disguise.h"
#include "sandbox/cues/entry_tree.h"
#include "sandbox/cues/machine_trees.h"

namespace gyges::cues {
namespace {

constexpr unsigned closed = 0555;

std::string mask_of(std::uint32_t processors) {
  return fmt::format("{:x}\n", processors >= 64 ? ~0ULL : (1ULL << processors) - 1);
}

std::string list_of(std::uint32_t processors) {
  return processors == 1 ? "0\n" : fmt::format("0-{}\n", processors - 1);
}

isolation::Cover directory(const char* path, EntryTree& tree) {
  return {path, "", closed, {}, tree.take()};
}

// /proc/irq/24/virtio0-config: the handlers as in /proc/interrupts.
isolation::Cover interrupts_tree(const MachineView& view) {
  EntryTree tree(closed);
  tree.file("default_smp_affinity", mask_of(view.processors), 0644);
  std::size_t index = 0;
  for (const std::string& line : view.machine.interrupts) {
    const std::string number = line.substr(0, line.find(' '));
    const std::uint32_t processor = static_cast<std::uint32_t>(index++) % view.processors;
    tree.file(number + "/smp_affinity", mask_of(view.processors), 0644);
    tree.file(number + "/smp_affinity_list", list_of(view.processors), 0644);
    tree.file(number + "/effective_affinity", fmt::format("{:x}\n", 1ULL << (processor % 64)));
    tree.file(number + "/effective_affinity_list", fmt::format("{}\n", processor));
    tree.file(number + "/affinity_hint", "0\n");
    tree.file(number + "/node", "0\n");
    tree.file(number + "/spurious", "count 0\nunhandled 0\nlast_unhandled 0 ms\n");
    tree.directory(number + "/" + line.substr(line.rfind(' ') + 1));
  }
  return directory("/proc/irq", tree);
}

// /proc/bus/pci/00/03.0
isolation::Cover pci_tree(const MachineView& view) {
  EntryTree tree(closed);
  tree.file("devices", pci_devices_file(view.machine));
  for (const PciFunction& function : view.machine.pci)
    tree.file(function.slot.substr(5, 2) + "/" + function.slot.substr(8),
              pci_configuration(function), 0644);
  return directory("/proc/bus/pci", tree);
}

// The host's are those of another kernel than the persona has. An image has none.
isolation::Cover modules_tree(const MachineView& view) {
  EntryTree tree(0755);
  if (view.machine.cgroup_root) {
    const std::string base = view.release + "/";
    tree.directory(base + "kernel/drivers");
    tree.directory(base + "kernel/fs");
    tree.directory(base + "kernel/net");
    std::string dependencies;
    for (const std::string& module : view.machine.modules)
      dependencies += "kernel/drivers/" + module.substr(0, module.find(' ')) + ".ko:\n";
    for (const char* name :
         {"modules.alias", "modules.builtin", "modules.builtin.modinfo", "modules.devname",
          "modules.order", "modules.softdep", "modules.symbols"})
      tree.file(base + name, "", 0644);
    tree.file(base + "modules.dep", std::move(dependencies), 0644);
  }
  return {"/usr/lib/modules", "", 0755, {}, tree.take()};
}

// The disk's file systems; the kernel would name the host's disks.
isolation::Cover file_systems_tree(const MachineView& view) {
  EntryTree tree(closed);
  tree.directory("ext4");
  tree.directory("jbd2");
  for (const std::string& disk : mounted_partitions(view.machine)) {
    tree.file("ext4/" + disk + "/options",
              "rw\nbsddf\nnogrpid\nblock_validity\ndioread_nolock\nnodiscard\ndelalloc\n"
              "nowarn_on_error\njournal_checksum\nbarrier\nauto_da_alloc\nuser_xattr\nacl\n"
              "noquota\nresuid=0\nresgid=0\nerrors=remount-ro\ncommit=5\nmin_batch_time=0\n"
              "max_batch_time=15000\nstripe=0\ndata=ordered\ninode_readahead_blks=32\n"
              "init_itable=10\nmax_dir_size_kb=0\n");
    tree.file("ext4/" + disk + "/mb_stats",
              "mballoc:\n\tmb stats collection turned off.\n\tTo enable, please write \"1\" to "
              "sysfs file mb_stats.\n");
    tree.own_file("jbd2/" + disk + "-8/info",
                  fmt::format("{} transactions ({} requested), each up to 16384 blocks\n",
                              612000 + view.seed % 90000, 590000 + view.seed % 90000));
  }
  return directory("/proc/fs", tree);
}

// Numbers as of a Debian kernel.
std::string devices_file(const Machine& machine) {
  bool nvme = false;
  std::string disks;
  std::set<unsigned> majors;
  for (const Disk& disk : machine.disks) {
    nvme = nvme || disk.name.starts_with("nvme");
    if (disk.name.starts_with("vd") && majors.insert(disk.major).second)
      disks += fmt::format("{:3d} virtblk\n", disk.major);
  }
  std::string text =
      "Character devices:\n  1 mem\n  4 /dev/vc/0\n  4 tty\n  4 ttyS\n  5 /dev/tty\n"
      "  5 /dev/console\n  5 /dev/ptmx\n  7 vcs\n 10 misc\n 13 input\n 21 sg\n 29 fb\n128 ptm\n"
      "136 pts\n180 usb\n189 usb_device\n204 ttyMAX\n226 drm\n";
  if (nvme) text += "242 nvme-generic\n243 nvme\n";
  return text +
         "244 hidraw\n245 aux\n246 bsg\n247 watchdog\n248 ptp\n249 pps\n250 rtc\n251 dax\n"
         "252 dimmctl\n253 ndctl\n254 gpiochip\n\nBlock devices:\n  7 loop\n  8 sd\n  9 md\n"
         " 11 sr\n 65 sd\n 66 sd\n 67 sd\n 68 sd\n253 device-mapper\n" +
         disks + "259 blkext\n";
}

// What is built in, in the order of Debian's kernel, then what the modules bring. The host's would
// tell what its kernel was built for.
std::string file_system_types(const Machine& machine) {
  std::string text;
  for (const char* name : {"sysfs", "tmpfs", "bdev", "proc", "cgroup", "cgroup2", "cpuset",
                           "devtmpfs", "debugfs", "tracefs", "securityfs", "sockfs", "bpf",
                           "pipefs", "ramfs", "hugetlbfs", "devpts", "mqueue", "pstore"})
    text += fmt::format("nodev\t{}\n", name);
  struct Row {
    const char* module;
    const char* types;
  };
  static constexpr Row rows[] = {
      {"ext4", "\text3\n\text2\n\text4\n"},
      {"btrfs", "\tbtrfs\n"},
      {"autofs4", "nodev\tautofs\n"},
      {"configfs", "nodev\tconfigfs\n"},
      {"fuse", "\tfuseblk\nnodev\tfuse\nnodev\tfusectl\n"},
      {"overlay", "nodev\toverlay\n"},
  };
  for (const Row& row : rows)
    for (const std::string& module : machine.modules)
      if (module.starts_with(std::string(row.module) + " ")) text += row.types;
  return text;
}

struct InputDevice {
  const char* name;
  const char* place;
  const char* handlers;
  const char* identity;
  const char* abilities;
};
constexpr InputDevice power_button{"Power Button", "LNXPWRBN/button/input0", "kbd event0 ",
                                   "Bus=0019 Vendor=0000 Product=0001 Version=0000",
                                   "B: PROP=0\nB: EV=3\nB: KEY=10000000000000 0\n"};
constexpr InputDevice keyboard{
    "AT Translated Set 2 keyboard", "isa0060/serio0/input0", "sysrq kbd event1 leds ",
    "Bus=0011 Vendor=0001 Product=0001 Version=ab41",
    "B: PROP=0\nB: EV=120013\nB: KEY=402000000 3803078f800d001 feffffdfffefffff "
    "fffffffffffffffe\nB: MSC=10\nB: LED=7\n"};

// Where the keyboard's interrupt is, there is a keyboard.
std::vector<InputDevice> input_devices(const Machine& machine) {
  std::vector<InputDevice> devices{power_button};
  for (const std::string& line : machine.interrupts)
    if (line.starts_with("1 ") && line.ends_with(" i8042")) devices.push_back(keyboard);
  return devices;
}

std::string input_devices_file(const Machine& machine) {
  std::string text;
  int number = 0;
  for (const InputDevice& device : input_devices(machine))
    text += fmt::format(
        "I: {}\nN: Name=\"{}\"\nP: Phys={}\nS: Sysfs=/devices/virtual/input/input{}\nU: Uniq=\n"
        "H: Handlers={}\n{}\n",
        device.identity, device.name, device.place, number++, device.handlers, device.abilities);
  return text;
}

}  // namespace

std::string pci_configuration(const PciFunction& function) {
  std::string bytes(64, '\0');
  auto put16 = [&](std::size_t at, const std::string& hex) {
    const auto value = std::strtoul(hex.c_str(), nullptr, 16);
    bytes[at] = static_cast<char>(value & 0xffU);
    bytes[at + 1] = static_cast<char>(value >> 8U & 0xffU);
  };
  put16(0, function.vendor);
  put16(2, function.device);
  const auto code = std::strtoul(function.class_code.c_str(), nullptr, 16);
  for (unsigned i = 0; i < 3; ++i) bytes[9 + i] = static_cast<char>(code >> (8 * i) & 0xffU);
  // It decodes its windows and may write to memory. Virtio has a list of capabilities, which only
  // root reads on.
  const bool driven = !function.driver.empty();
  const bool virtual_function = function.driver == "virtio-pci";
  put16(4, driven ? "0x0507" : "0x0103");
  put16(6, virtual_function ? "0x0010" : "0x0280");
  if (virtual_function) bytes[52] = 0x40;
  if (driven) {
    bytes[60] = 0x0b;  // its interrupt
    bytes[61] = 1;     // pin A
  }
  put16(44, function.subsystem_vendor);
  put16(46, function.subsystem_device);
  return bytes;
}

std::string pci_devices_file(const Machine& machine) {
  std::string text;
  for (const PciFunction& function : machine.pci) {
    // "0000:00:03.0": bus, device and function as in the configuration address.
    const auto bus = std::strtoul(function.slot.substr(5, 2).c_str(), nullptr, 16);
    const auto device = std::strtoul(function.slot.substr(8, 2).c_str(), nullptr, 16);
    const auto number = std::strtoul(function.slot.substr(11).c_str(), nullptr, 16);
    text += fmt::format("{:02x}{:02x}\t{}{}\t0", bus, device << 3U | number,
                        function.vendor.substr(2), function.device.substr(2));
    for (int i = 0; i < 14; ++i) text += fmt::format("\t{:>16}", 0);
    text += "\t" + function.driver + "\n";
  }
  return text;
}

std::vector<isolation::Cover> hardware_covers(const MachineView& view) {
  std::vector<isolation::Cover> covers;
  auto fixed = [&](const char* path, std::string content) {
    covers.push_back({path, std::move(content), 0444, {}});
  };
  covers.push_back(interrupts_tree(view));
  covers.push_back(pci_tree(view));
  covers.push_back(file_systems_tree(view));
  covers.push_back(modules_tree(view));
  // Settings that come with a module.
  const std::vector<std::string>& modules = view.machine.modules;
  if (std::none_of(modules.begin(), modules.end(),
                   [](const std::string& line) { return line.starts_with("xfs "); }))
    covers.push_back({"/proc/sys/fs/xfs", "", closed, {}, std::vector<isolation::TreeEntry>{}});
  fixed("/proc/devices", devices_file(view.machine));
  fixed("/proc/filesystems", file_system_types(view.machine));
  fixed("/proc/bus/input/devices", input_devices_file(view.machine));
  fixed("/proc/bus/input/handlers",
        "N: Number=0 Name=rfkill\nN: Number=1 Name=leds\nN: Number=2 Name=kbd\n"
        "N: Number=3 Name=sysrq (filter)\nN: Number=4 Name=evdev Minor=64\n");
  return covers;
}

}  // namespace gyges::cues
