// What is mounted where, as the persona has it: /proc/PID/mountinfo, mounts and mountstats, and the
// answers of statfs(2), from one table.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <tuple>

#include "sandbox/cues/disguise.h"
#include "sandbox/cues/machine_trees.h"
#include "sandbox/cues/seeded_stream.h"
#include "sandbox/cues/usual_files.h"

namespace gyges::cues {
namespace {

// linux/magic.h and the ST_ flags of statfs(2), of which the C library names some.
constexpr std::int64_t ext4 = 0xef53, overlay = 0x794c7630, tmpfs = 0x01021994, proc = 0x9fa0,
                       sysfs = 0x62656572, devpts = 0x1cd1, cgroup2 = 0x63677270,
                       security = 0x73636673, pstore = 0x6165676c, bpf = 0xcafe4a11,
                       debug = 0x64626720, tracing = 0x74726163, mqueue = 0x19800202,
                       hugetlbfs = 0x958458f6, autofs = 0x187, configfs = 0x62656570,
                       fusectl = 0x65735543;

// A device that stands for no disk: its minor number alone.
std::string nodev(unsigned minor) {
  return fmt::format("0:{}", minor);
}

class Table {
 public:
  explicit Table(unsigned first) : next_(first) {}

  // Returns the row's number. `parent`: its number; 0 for the root.
  unsigned add(MountRow row, unsigned parent, unsigned peers) {
    row.id = next_++;
    row.parent = parent == 0 ? row.id - 1 : parent;
    if (peers > 0) row.optional = fmt::format("shared:{} ", peers);
    rows_.push_back(std::move(row));
    return rows_.back().id;
  }
  // The row whose mount point holds `path`, by its own path.
  [[nodiscard]] unsigned holder(const std::string& path) const {
    const MountRow* best = nullptr;
    for (const MountRow& row : rows_) {
      const bool holds = row.point == "/" || path.starts_with(row.point + "/");
      if (holds && (best == nullptr || row.point.size() > best->point.size())) best = &row;
    }
    return best == nullptr ? 0 : best->id;
  }
  std::vector<MountRow> take() { return std::move(rows_); }

 private:
  unsigned next_;
  std::vector<MountRow> rows_;
};

struct Root {
  std::string device, source;
  std::uint64_t bytes = 0, free = 0;
};

// A partition that is mounted beside the root. As full as one of its kind is.
MountRow partition_row(const MachineView& view, const Disk& disk, const Partition& part) {
  const std::uint64_t bytes = part.megabytes * 1024 * 1024 / 100 * 98;
  const std::uint64_t room = 31 + (view.seed + part.number * 7) % 37;
  // Everybody may look into /tmp: it holds what is seen there, and ext4's own directories.
  const std::uint64_t free =
      part.mount == "/tmp" ? bytes - (7 + view.seed % 9) * 4096 : bytes / 100 * room;
  return {0,    0,          fmt::format("{}:{}", disk.major, part.number),
          "/",  part.mount, "rw,relatime",
          "",   "ext4",     "/dev/" + part.name,
          "rw", ext4,       bytes,
          free};
}

Root root_of(const MachineView& view) {
  Root root;
  if (view.machine.disks.empty()) return root;
  const Disk& disk = view.machine.disks.front();
  const std::string name = root_partition(view.machine);
  root.source = "/dev/" + name;
  root.device = fmt::format("{}:0", disk.major);
  std::uint64_t megabytes = disk.megabytes;
  for (const Partition& part : disk.partitions) {
    if (part.name != name) continue;
    megabytes = part.megabytes;
    root.device = fmt::format("{}:{}", disk.major, part.number);
  }
  root.bytes = megabytes * 1024 * 1024 / 100 * 98;
  root.free = root.bytes / 100 * (40 + view.seed % 23);
  return root;
}

constexpr const char* plain = "rw,nosuid,nodev,noexec,relatime";

// A mount of a file system that stands for no disk.
MountRow plain_row(const char* point, const char* options, unsigned minor, const char* type,
                   const char* source, std::string super, std::int64_t magic) {
  return MountRow{0,    0,      nodev(minor),     "/",   point, options, "",
                  type, source, std::move(super), magic, 0,     0};
}

struct Parents {
  unsigned sys, process, devices, run;
};

// What systemd mounts as units of its own, once the first ones stand; some with their modules.
void add_units_of_systemd(const MachineView& view, Table& table, const Parents& parents) {
  const auto has = [&](std::string_view module) {
    return std::any_of(view.machine.modules.begin(), view.machine.modules.end(),
                       [&](const std::string& line) {
                         return line.starts_with(module) && line.substr(module.size(), 1) == " ";
                       });
  };
  const std::string pipe = std::to_string(11000 + view.seed % 4000);
  table.add(
      plain_row("/proc/sys/fs/binfmt_misc", "rw,relatime", 29, "autofs", "systemd-1",
                "rw,fd=30,pgrp=1,timeout=0,minproto=5,maxproto=5,direct,pipe_ino=" + pipe, autofs),
      parents.process, 12);
  table.add(plain_row("/dev/mqueue", plain, 19, "mqueue", "mqueue", "rw", mqueue), parents.devices,
            13);
  table.add(plain_row("/dev/hugepages", "rw,relatime", 30, "hugetlbfs", "hugetlbfs",
                      "rw,pagesize=2M", hugetlbfs),
            parents.devices, 15);
  if (has("configfs"))
    table.add(plain_row("/sys/kernel/config", plain, 31, "configfs", "configfs", "rw", configfs),
              parents.sys, 18);
  if (has("fuse"))
    table.add(plain_row("/sys/fs/fuse/connections", plain, 32, "fusectl", "fusectl", "rw", fusectl),
              parents.sys, 19);
  MountRow lock =
      plain_row("/run/lock", plain, 25, "tmpfs", "tmpfs", "rw,size=5120k,inode64", tmpfs);
  lock.bytes = 5U << 20U;
  lock.free = lock.bytes - 4096;
  table.add(std::move(lock), parents.run, 6);
}

std::vector<MountRow> machine_mounts(const MachineView& view) {
  const Root root = root_of(view);
  const std::uint64_t memory = view.memory_kilobytes * 1024;
  const std::uint64_t tenth = view.memory_kilobytes / 40 * 4;  // whole pages
  Table table(22);
  // The kernel numbers the early ones before the root is switched to, and so the root comes later.
  // Parents have to be there: findmnt(8) follows them.
  const unsigned top = 27;
  constexpr auto none = plain_row;
  const unsigned sys = table.add(none("/sys", plain, 20, "sysfs", "sysfs", "rw", sysfs), top, 7);
  const unsigned process = table.add(none("/proc", plain, 21, "proc", "proc", "rw", proc), top, 14);
  MountRow devices =
      none("/dev", "rw,nosuid,relatime", 5, "devtmpfs", "udev",
           fmt::format("rw,size={}k,nr_inodes={},mode=755,inode64",
                       view.memory_kilobytes / 8 * 4 - 9312, view.memory_kilobytes / 8 - 2328),
           tmpfs);
  devices.bytes = devices.free = (view.memory_kilobytes / 8 * 4 - 9312) * 1024;
  const unsigned dev = table.add(std::move(devices), top, 2);
  table.add(none("/dev/pts", "rw,nosuid,noexec,relatime", 22, "devpts", "devpts",
                 "rw,gid=5,mode=620,ptmxmode=000", devpts),
            dev, 3);
  MountRow run = none("/run", plain, 23, "tmpfs", "tmpfs",
                      fmt::format("rw,size={}k,mode=755,inode64", tenth), tmpfs);
  run.bytes = tenth * 1024;
  run.free = run.bytes - (900 + view.seed % 700) * 1024;
  const unsigned runs = table.add(run, top, 5);
  MountRow disk{0,           0,
                root.device, "/",
                "/",         "rw,relatime",
                "",          "ext4",
                root.source, "rw,errors=remount-ro",
                ext4,        root.bytes,
                root.free};
  table.add(std::move(disk), 1, 1);
  table.add(none("/sys/kernel/security", plain, 6, "securityfs", "securityfs", "rw", security), sys,
            8);
  MountRow shm = none("/dev/shm", "rw,nosuid,nodev", 24, "tmpfs", "tmpfs", "rw,inode64", tmpfs);
  shm.bytes = shm.free = memory / 2;
  table.add(std::move(shm), dev, 4);
  table.add(none("/sys/fs/cgroup", plain, 26, "cgroup2", "cgroup2",
                 "rw,nsdelegate,memory_recursiveprot", cgroup2),
            sys, 9);
  table.add(none("/sys/fs/pstore", plain, 27, "pstore", "pstore", "rw", pstore), sys, 10);
  table.add(none("/sys/fs/bpf", plain, 28, "bpf", "bpf", "rw,mode=700", bpf), sys, 11);
  table.add(none("/sys/kernel/debug", plain, 7, "debugfs", "debugfs", "rw", debug), sys, 16);
  table.add(none("/sys/kernel/tracing", plain, 12, "tracefs", "tracefs", "rw", tracing), sys, 17);
  add_units_of_systemd(view, table, {sys, process, dev, runs});
  unsigned peers = 90;
  std::vector<MountRow> parts;
  for (const Disk& volume : view.machine.disks)
    for (const Partition& part : volume.partitions)
      if (!part.mount.empty()) parts.push_back(partition_row(view, volume, part));
  // What holds another is mounted before it.
  std::stable_sort(parts.begin(), parts.end(), [](const MountRow& a, const MountRow& b) {
    return std::count(a.point.begin(), a.point.end(), '/') <
           std::count(b.point.begin(), b.point.end(), '/');
  });
  for (MountRow& part : parts) {
    const unsigned holder = table.holder(part.point);
    table.add(std::move(part), holder, peers += 2);
  }
  if (view.user_directory) {
    MountRow user = none("", "rw,nosuid,nodev,relatime", 41, "tmpfs", "tmpfs",
                         fmt::format("rw,size={}k,nr_inodes={},mode=700,uid={},gid={},inode64",
                                     tenth, view.memory_kilobytes / 40, view.user, view.group),
                         tmpfs);
    user.point = fmt::format("/run/user/{}", view.user);
    user.bytes = user.free = tenth * 1024;
    table.add(std::move(user), runs, 331);
  }
  return table.take();
}

std::vector<MountRow> container_mounts(const MachineView& view) {
  const Root root = root_of(view);
  const bool docker = view.machine.claims_container == "docker";
  SeededStream stream(view.seed, "machine/mounts");
  Table table(1100 + static_cast<unsigned>(stream.below(900)));
  const unsigned minor = 120 + static_cast<unsigned>(stream.below(60));
  auto none = [&](const char* point, const char* options, unsigned after, const char* type,
                  const char* source, const char* super, std::int64_t magic) {
    return MountRow{0, 0, nodev(minor + after), "/", point, options, "", type, source, super, magic,
                    0, 0};
  };
  std::string layers;
  std::string upper;
  if (docker) {
    const std::string store = "/var/lib/docker/overlay2/";
    for (int i = 0; i < 7; ++i) {
      std::string name;
      for (int k = 0; k < 26; ++k) name += "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[stream.below(32)];
      layers += (i == 0 ? "" : ":") + store + "l/" + name;
    }
    upper = store + stream.hex(64);
    layers = fmt::format("rw,lowerdir={},upperdir={}/diff,workdir={}/work", layers, upper, upper);
  } else {
    const std::string store =
        "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/";
    const std::uint64_t last = 90 + stream.below(400);
    for (std::uint64_t i = 0; i < 6; ++i)
      layers += fmt::format("{}{}{}/fs", i == 0 ? "" : ":", store, last - 2 - i);
    layers = fmt::format("rw,lowerdir={},upperdir={}{}/fs,workdir={}{}/work", layers, store, last,
                         store, last);
  }
  MountRow disk{0,         0,         nodev(minor), "/",     "/",        "rw,relatime", "",
                "overlay", "overlay", layers,       overlay, root.bytes, root.free};
  const unsigned top = table.add(std::move(disk), 0, 0);
  const unsigned procs = table.add(none("/proc", plain, 3, "proc", "proc", "rw", proc), top, 0);
  MountRow devices =
      none("/dev", "rw,nosuid", 4, "tmpfs", "tmpfs", "rw,size=65536k,mode=755,inode64", tmpfs);
  devices.bytes = devices.free = 64U << 20U;
  const unsigned dev = table.add(std::move(devices), top, 0);
  table.add(none("/dev/pts", "rw,nosuid,noexec,relatime", 5, "devpts", "devpts",
                 "rw,gid=5,mode=620,ptmxmode=666", devpts),
            dev, 0);
  const unsigned sys = table.add(
      none("/sys", "ro,nosuid,nodev,noexec,relatime", 6, "sysfs", "sysfs", "ro", sysfs), top, 0);
  MountRow groups = none("/sys/fs/cgroup", "ro,nosuid,nodev,noexec,relatime", 0, "cgroup2",
                         "cgroup", "rw,nsdelegate,memory_recursiveprot", cgroup2);
  groups.device = "0:29";
  table.add(std::move(groups), sys, 0);
  MountRow shm = none("/dev/shm", plain, 2, "tmpfs", "shm", "rw,size=65536k,inode64", tmpfs);
  shm.bytes = shm.free = 64U << 20U;
  table.add(std::move(shm), dev, 0);
  const std::string id = stream.hex(64);
  const std::string pod = pod_uid(view.seed);
  for (const char* name : {"resolv.conf", "hostname", "hosts"}) {
    const std::string from =
        docker ? fmt::format("/var/lib/docker/containers/{}/{}", id, name)
        : std::string_view(name) == "hosts"
            ? fmt::format("/var/lib/kubelet/pods/{}/etc-hosts", pod)
            : fmt::format("/var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/{}/{}", id,
                          name);
    table.add({0, 0, root.device, from, fmt::format("/etc/{}", name), "rw,relatime", "", "ext4",
               root.source, "rw,discard,errors=remount-ro", ext4, root.bytes, root.free},
              top, 0);
  }
  if (!docker) {
    MountRow secrets = none("/run/secrets/kubernetes.io/serviceaccount", "ro,relatime", 1, "tmpfs",
                            "tmpfs", "", tmpfs);
    secrets.super = fmt::format("rw,size={}k,inode64", view.memory_kilobytes);
    secrets.bytes = view.memory_kilobytes * 1024;
    secrets.free = secrets.bytes - 12288;
    table.add(std::move(secrets), top, 0);
  }
  for (const std::string& point : view.machine.volumes) {
    const std::string from =
        docker ? fmt::format("/var/lib/docker/volumes/{}/_data", stream.hex(64))
               : fmt::format("/var/lib/kubelet/pods/{}/volumes/kubernetes.io~empty-dir/{}", pod,
                             point.substr(point.rfind('/') + 1));
    table.add({0, 0, root.device, from, point, "rw,relatime", "", "ext4", root.source,
               "rw,discard,errors=remount-ro", ext4, root.bytes, root.free},
              top, 0);
  }
  // A kernel can have been built without some; runtimes cover what there is.
  auto there = [](const char* name) {
    return ::access(fmt::format("/proc/{}", name).c_str(), F_OK) == 0;
  };
  for (const char* name : {"bus", "fs", "irq", "sys", "sysrq-trigger"}) {
    if (!there(name)) continue;
    MountRow row = none("", "ro,nosuid,nodev,noexec,relatime", 3, "proc", "proc", "rw", proc);
    row.root = fmt::format("/{}", name);
    row.point = fmt::format("/proc/{}", name);
    table.add(std::move(row), procs, 0);
  }
  for (const char* name : {"kcore", "keys", "timer_list"}) {
    if (!there(name)) continue;
    MountRow row =
        none("", "rw,nosuid", 4, "tmpfs", "tmpfs", "rw,size=65536k,mode=755,inode64", tmpfs);
    row.root = "/null";
    // As /dev, which it is a file of: df(1) would list the room of the disguise.
    row.bytes = row.free = 64U << 20U;
    row.point = fmt::format("/proc/{}", name);
    table.add(std::move(row), procs, 0);
  }
  table.add(none("/proc/acpi", "ro,relatime", 7, "tmpfs", "tmpfs", "ro,inode64", 0), procs, 0);
  table.add(none("/sys/firmware", "ro,relatime", 8, "tmpfs", "tmpfs", "ro,inode64", tmpfs), sys, 0);
  return table.take();
}

// Of each group of 128 MiB 8192 (mke2fs(8)), and as many used as files of a usual size would be.
// One disk says one thing, wherever it is mounted.
std::pair<std::uint64_t, std::uint64_t> nodes_of_disk(const MountRow& row) {
  const std::uint64_t groups = (row.bytes / 98 * 100 + (127U << 20U)) >> 27U;
  const std::uint64_t size_of_file = 37000 + row.bytes / 4096 * 7919 % 60000;
  constexpr std::uint64_t own = 11;  // reserved, and lost+found
  return {groups * 8192, own + (row.bytes - row.free) / size_of_file};
}

}  // namespace

std::string root_partition(const Machine& machine) {
  if (machine.disks.empty()) return {};
  const Disk& disk = machine.disks.front();
  const Partition* largest = nullptr;
  for (const Partition& part : disk.partitions)
    if (part.mount.empty() && (largest == nullptr || part.megabytes > largest->megabytes))
      largest = &part;
  return largest == nullptr ? disk.name : largest->name;
}

std::vector<std::string> mounted_partitions(const Machine& machine) {
  std::vector<std::string> names;
  if (machine.disks.empty()) return names;
  names.push_back(root_partition(machine));
  for (const Disk& disk : machine.disks)
    for (const Partition& part : disk.partitions)
      if (!part.mount.empty()) names.push_back(part.name);
  return names;
}

std::vector<MountRow> mount_rows(const MachineView& view) {
  if (view.machine.disks.empty()) return {};
  return view.machine.cgroup_root ? machine_mounts(view) : container_mounts(view);
}

std::string mountinfo_file(const std::vector<MountRow>& rows) {
  std::string text;
  for (const MountRow& row : rows)
    text +=
        fmt::format("{} {} {} {} {} {} {}- {} {} {}\n", row.id, row.parent, row.device, row.root,
                    row.point, row.options, row.optional, row.type, row.source, row.super);
  return text;
}

// The options of the mount, then those of the file system that it does not say itself.
std::string mounts_file(const std::vector<MountRow>& rows) {
  std::string text;
  for (const MountRow& row : rows) {
    const std::size_t comma = row.super.find(',');
    const std::string further = comma == std::string::npos ? "" : row.super.substr(comma);
    text +=
        fmt::format("{} {} {} {}{} 0 0\n", row.source, row.point, row.type, row.options, further);
  }
  return text;
}

std::string mountstats_file(const std::vector<MountRow>& rows) {
  std::string text;
  for (const MountRow& row : rows)
    text +=
        fmt::format("device {} mounted on {} with fstype {}\n", row.source, row.point, row.type);
  return text;
}

std::vector<isolation::ShownMount> shown_mounts(const std::vector<MountRow>& rows,
                                                std::uint64_t memory_kilobytes) {
  struct Flag {
    std::string_view option;
    std::int64_t flag;
  };
  static constexpr std::array flags{Flag{"ro,", 0x1}, Flag{",nosuid", 0x2}, Flag{",nodev", 0x4},
                                    Flag{",noexec", 0x8}, Flag{",relatime", 0x1000}};
  std::vector<isolation::ShownMount> shown;
  for (const MountRow& row : rows) {
    isolation::ShownMount mount{row.point, row.magic, row.bytes, row.free, 0};
    // Half as many as the memory has pages, whatever the size (shmem_default_max_inodes).
    static constexpr std::string_view said = "nr_inodes=";
    if (const std::size_t at = row.super.find(said); at != std::string::npos)
      mount.inodes = std::strtoull(row.super.c_str() + at + said.size(), nullptr, 10);
    else if (row.magic == tmpfs)
      mount.inodes = memory_kilobytes / 8;
    else if (row.magic == ext4 || row.magic == overlay)
      std::tie(mount.inodes, mount.inodes_used) = nodes_of_disk(row);
    for (const Flag& flag : flags)
      if (("," + row.options + ",").find(flag.option) != std::string::npos)
        mount.flags |= flag.flag;
    shown.push_back(std::move(mount));
  }
  return shown;
}

}  // namespace gyges::cues
