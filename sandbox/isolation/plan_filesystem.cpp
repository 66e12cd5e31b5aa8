#include "sandbox/isolation/plan_filesystem.h"

#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/text.h"
#include "sandbox/isolation/disguise.h"

namespace gyges::isolation {
namespace {

using init::Op;

constexpr std::uint64_t read_only_attributes =
    MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;

// Room for the directories, symlinks and mount points of the root itself; the agent cannot write
// it.
constexpr const char* root_data = "size=4m,nr_inodes=4096,mode=755";

std::string relative(const std::string& path) {
  return path.substr(1);
}

bool below(const std::string& path, const std::string& directory) {
  return path.size() > directory.size() && path.starts_with(directory) &&
         path[directory.size()] == '/';
}

// Directories of programs and the list of installed ones, in which nobody listens. A socket or FIFO
// below any other directory works through a read-only mount as on the host: who connects or writes
// to it changes no file.
bool holds_programs(const std::string& path) {
  static constexpr std::array roots{"/usr",   "/bin",       "/sbin",      "/lib",
                                    "/lib32", "/lib64",     "/libx32",    "/etc",
                                    "/opt",   "/nix/store", "/gnu/store", "/var/lib/dpkg"};
  return std::any_of(roots.begin(), roots.end(),
                     [&](const char* root) { return path == root || below(path, root); });
}

std::size_t depth(const std::string& path) {
  return static_cast<std::size_t>(std::count(path.begin(), path.end(), '/'));
}

}  // namespace

std::uint64_t FilesystemPlan::open_slot(const std::string& source) {
  Step& step = steps_.add_path(Op::open_tree, "take a copy of the host's " + source, source);
  step.number[0] = slots_;
  return slots_++;
}

void FilesystemPlan::attach(std::string words, std::uint64_t slot, std::string path,
                            std::uint64_t attributes) {
  Step& step = steps_.add_path(Op::attach, std::move(words), std::move(path));
  step.number[0] = slot;
  step.number[1] = attributes;
}

Status FilesystemPlan::sort_mounts() {
  for (const Mount& mount : policy_.filesystem.mounts) {
    Placed placed;
    placed.mount = mount;
    if (placed.mount.source.empty()) placed.mount.source = mount.target;
    if (mount.kind != Mount::Kind::fresh) {
      struct stat info {};
      const std::string& source = placed.mount.source;
      if (::lstat(source.c_str(), &info) != 0) {
        if (mount.optional && (errno == ENOENT || errno == ENOTDIR)) continue;
        return fail_errno("plan mount", source, errno,
                          "correct the policy's filesystem.mounts, or mark the mount optional");
      }
      if (S_ISLNK(info.st_mode)) {
        if (mount.kind != Mount::Kind::read_only)
          return fail("plan mount", source, "is a symbolic link",
                      "name the directory that it points to");
        std::string target(4096, '\0');
        ssize_t length = ::readlink(source.c_str(), target.data(), target.size());
        if (length < 0) return fail_errno("read link", source);
        target.resize(static_cast<std::size_t>(length));
        placed.link = target;
      }
      placed.is_directory = S_ISDIR(info.st_mode);
      if (placed.link.empty() && !placed.is_directory && !S_ISREG(info.st_mode))
        return fail("plan mount", source, "is neither a directory nor a regular file",
                    "mount the directory that holds it");
      // Rootless the caller's files are the agent's already, by the user namespace.
      if (mount.kind == Mount::Kind::overlay && host_.root && info.st_uid != policy_.identity.uid)
        placed.mapped = MappedSource{source, info.st_uid, info.st_gid};
      if (mount.kind == Mount::Kind::overlay && !placed.is_directory)
        return fail("plan mount", source, "is not a directory",
                    "kind overlay needs a directory; use read_only for a file");
    }
    mounts_.push_back(std::move(placed));
  }
  std::stable_sort(mounts_.begin(), mounts_.end(), [](const Placed& x, const Placed& y) {
    return depth(x.mount.target) < depth(y.mount.target);
  });
  return ok();
}

Status FilesystemPlan::open_sources(const std::string& shared) {
  for (Placed& placed : mounts_)
    if (placed.mapped) {
      plan_.mapped.push_back(*placed.mapped);
      placed.slot = slots_++;
    }
  for (Placed& placed : mounts_)
    if (placed.mount.kind != Mount::Kind::fresh && placed.link.empty() && !placed.mapped)
      placed.slot = open_slot(placed.mount.source);
  for (const std::string& device : policy_.filesystem.devices)
    devices_.emplace_back(device, open_slot("/dev/" + device));
  if (!shared.empty()) shared_ = open_slot(shared);
  if (slots_ + policy_.filesystem.masked.size() > init::max_slots)
    return fail("plan mounts", policy_.name, "more mounts and masks than pid 1 can hold",
                "mount common parents instead");
  return ok();
}

void FilesystemPlan::root_and_scratch(const Disguise& disguise) {
  Step& root = steps_.add_path(Op::new_root, "make the root", "/tmp");
  root.b = root_data;
  root.number[0] = disguise.root_of_disk ? 1 : 0;
  steps_.make_path(".s", 0700);
  std::string data = "mode=700";
  if (policy_.limits.disk_bytes > 0) data += fmt::format(",size={}", policy_.limits.disk_bytes);
  if (policy_.limits.inodes > 0) data += fmt::format(",nr_inodes={}", policy_.limits.inodes);
  steps_.mount("make the file system of the writable layers", "tmpfs", ".s", MS_NOSUID | MS_NODEV,
               data);
  for (Placed& placed : mounts_) make_area(placed);
  if (!plan_.areas.empty()) make_layers();
  if (!disguise.places_files()) return;
  // A file system of its own: nothing that the agent writes to, and none of its limits.
  steps_.make_path(".c", 0755);
  steps_.mount("make the file system of the disguise", "tmpfs", ".c",
               MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=16m,nr_inodes=8192,mode=755");
  steps_.add_path(Op::hand_copy, "fill the disguise", ".c").number[0] =
      static_cast<std::uint64_t>(init::Hand::disguise);
}

void FilesystemPlan::make_layers() {
  for (std::size_t i = 0; i < plan_.areas.size(); ++i) {
    const WritableArea& area = plan_.areas[i];
    steps_.make_path(fmt::format(".s/u{}", i), area.mode);
    if (area.layered) {
      steps_.make_path(fmt::format(".s/l{}", i), area.mode);
      steps_.make_path(fmt::format(".s/w{}", i), 0700);
    }
    // The layers' own attributes are what the directory shows. A host directory is the agent's,
    // by its owner or by the id-mapped mount.
    if (host_.root && (area.agent_owned || !area.host_source.empty()))
      for (const char* layer : {"u", "l"}) {
        if (*layer == 'l' && !area.layered) continue;
        Step& owner = steps_.add_path(Op::set_owner, "give " + area.target + " to the agent",
                                      fmt::format(".s/{}{}", layer, i));
        owner.number[0] = policy_.identity.uid;
        owner.number[1] = policy_.identity.gid;
        owner.number[2] = area.mode;
      }
  }
  Step& hand = steps_.add_path(Op::hand_over, "fill the layers that the sandbox finds", ".s");
  hand.number[0] = static_cast<std::uint64_t>(init::Hand::scratch);
  hand.number[1] = 1;
}

void FilesystemPlan::await_layers() {
  if (plan_.areas.empty()) return;
  steps_.add(Op::await_answer, "wait until the layers are filled").number[0] =
      static_cast<std::uint64_t>(init::Hand::scratch);
}

void FilesystemPlan::make_area(Placed& placed) {
  const Mount& mount = placed.mount;
  if (mount.kind != Mount::Kind::fresh && mount.kind != Mount::Kind::overlay) return;
  WritableArea area;
  area.target = mount.target;
  area.mode = mount.mode;
  area.agent_owned = mount.agent_owned;
  if (mount.kind == Mount::Kind::overlay) {
    area.host_source = mount.source;
    area.layered = true;
    struct stat info {};
    if (::stat(mount.source.c_str(), &info) == 0) area.mode = info.st_mode & 07777U;
  }
  auto inside = [&](const std::string& path) {
    return below(path, mount.target) && nearest_area_is(path, mount.target);
  };
  for (const std::string& path : seeds_) area.layered |= path == mount.target || inside(path);
  for (const Placed& other : mounts_)
    if (inside(other.mount.target)) {
      area.layered = true;
      if (!other.link.empty())
        plan_.links.emplace_back(other.mount.target, other.link);
      else
        plan_.mount_points.push_back(other.mount.target + (other.is_directory ? "/" : ""));
    }
  placed.area = plan_.areas.size();
  plan_.areas.push_back(std::move(area));
}

// Whether `target` is the deepest mount that `path` lies in.
bool FilesystemPlan::nearest_area_is(const std::string& path, const std::string& target) const {
  for (const Placed& other : mounts_)
    if (other.mount.target.size() > target.size() && below(path, other.mount.target)) return false;
  return true;
}

bool FilesystemPlan::granted(std::string_view grant) const {
  return std::find(policy_.grants.begin(), policy_.grants.end(), grant) != policy_.grants.end();
}

bool FilesystemPlan::inside_another_mount(const std::string& path) const {
  return std::any_of(mounts_.begin(), mounts_.end(), [&](const Placed& other) {
    return other.link.empty() && below(path, other.mount.target);
  });
}

void FilesystemPlan::place_mounts() {
  for (Placed& placed : mounts_) {
    const Mount& mount = placed.mount;
    std::string path = relative(mount.target);
    if (!placed.link.empty()) {
      if (inside_another_mount(mount.target)) continue;
      Step& step =
          steps_.add(Op::make_symlink, "make the link " + mount.target + " as on the host");
      step.a = placed.link;
      step.b = path;
      continue;
    }
    if (!inside_another_mount(mount.target)) {
      if (placed.is_directory)
        steps_.make_path(path, 0755);
      else
        steps_.add_path(Op::make_file, "make a place for " + mount.target, path);
    } else {
      // A link in the directory that holds it, which others may have written, would lead elsewhere.
      steps_.add_path(Op::check_path, "check that no link leads to " + mount.target, path);
    }
    if (placed.area) {
      place_area(*placed.area, placed.slot, path);
    } else if (mount.kind == Mount::Kind::read_only && placed.is_directory &&
               !holds_programs(mount.source) && !granted("host_sockets")) {
      place_view(mount.target, *placed.slot, path);
    } else {
      attach("mount " + mount.target + (mount.kind == Mount::Kind::read_only ? " read-only" : ""),
             *placed.slot, path,
             mount.kind == Mount::Kind::read_only ? read_only_attributes
                                                  : MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    }
  }
}

void FilesystemPlan::place_area(std::size_t index, std::optional<std::uint64_t> slot,
                                const std::string& path) {
  const WritableArea& area = plan_.areas[index];
  if (!area.layered) {
    Step& step = steps_.add_path(Op::bind, "mount " + area.target + ", empty and writable",
                                 fmt::format(".s/u{}", index));
    step.b = path;
    return;
  }
  std::string lower = fmt::format(".s/l{}", index);
  if (slot) {
    std::string source = fmt::format(".s/h{}", index);
    steps_.make_path(source, 0700);
    attach("hold the host's " + area.host_source, *slot, source, read_only_attributes);
    lower += ":" + source;
    if (!host_.overlay_marks)
      plan_.warnings.push_back("directories that " + area.target +
                               " has from the host can be neither removed nor renamed inside "
                               "(Input/output error): that needs Linux 6.6, or root");
  }
  // xino: a file keeps its number when it is copied, in its hard links, too, which programs compare
  // (git clone). The kernel finds the number of a link's origin for root alone (6.18).
  // userxattr: without privilege over the host the overlay keeps its marks in user.* attributes.
  steps_.mount("mount " + area.target + " with a writable layer", "overlay", path,
               MS_NOSUID | MS_NODEV,
               fmt::format("lowerdir={0},upperdir=.s/u{1},workdir=.s/w{1}{2}", lower, index,
                           !host_.root ? ",userxattr"
                           : slot      ? ",xino=on"
                                       : ""));
}

// An overlay without a writable layer: files and directories are the host's, sockets and FIFOs are
// only their names.
void FilesystemPlan::place_view(const std::string& target, std::uint64_t slot,
                                const std::string& path) {
  const std::string source = fmt::format(".s/r{}", views_++);
  steps_.make_path(".s/e", 0755);
  steps_.make_path(source, 0700);
  attach("hold the host's " + target, slot, source, read_only_attributes);
  steps_.mount("mount " + target + " read-only, without what listens there", "overlay", path,
               MS_RDONLY | MS_NOSUID | MS_NODEV,
               fmt::format("lowerdir=.s/e:{}{}", source, host_.root ? "" : ",userxattr"));
}

void FilesystemPlan::proc_and_devices(bool terminal, const Disguise& disguise) {
  steps_.make_path("proc", 0555);
  steps_.mount("mount /proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "");
  steps_.make_path("dev", 0755);
  steps_.mount("make /dev", "tmpfs", "dev", MS_NOSUID | MS_NOEXEC,
               "size=64k,nr_inodes=64,mode=755");
  for (const auto& [name, slot] : devices_) {
    steps_.add_path(Op::make_file, "make a place for /dev/" + name, "dev/" + name);
    attach("mount /dev/" + name, slot, "dev/" + name, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
  }
  steps_.make_path("dev/pts", 0755);
  // All instances share the kernel's number of pseudo-terminals (kernel.pty.max, 4096).
  steps_.mount("mount /dev/pts", "devpts", "dev/pts", MS_NOSUID | MS_NOEXEC,
               "newinstance,ptmxmode=0666,mode=620,max=256");
  // The first of the instance: /dev/pts/0.
  if (terminal)
    steps_.add_path(Op::hand_terminal, "make a terminal and hand it to the supervisor",
                    "dev/pts/ptmx");
  // Part of the scratch file system, so that the disk limit counts it.
  steps_.make_path(".s/shm", 01777);
  steps_.make_path("dev/shm", 01777);
  steps_.add_path(Op::bind, "mount /dev/shm", ".s/shm").b = "dev/shm";
  for (const auto& [path, mode] : disguise.device_directories)
    steps_.make_path(relative(path), mode);
  for (auto [target, path] :
       {std::pair{"/proc/self/fd", "dev/fd"}, std::pair{"/proc/self/fd/0", "dev/stdin"},
        std::pair{"/proc/self/fd/1", "dev/stdout"}, std::pair{"/proc/self/fd/2", "dev/stderr"},
        std::pair{"pts/ptmx", "dev/ptmx"}}) {
    Step& step = steps_.add(Op::make_symlink, fmt::format("make the link /{}", path));
    step.a = target;
    step.b = path;
  }
  steps_.mount("make /dev read-only", "tmpfs", "dev",
               MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NOEXEC, "");
}

void FilesystemPlan::looks_of_root(const Disguise& disguise) {
  for (const std::string& path : disguise.root_files)
    steps_.add_path(Op::make_file, "make " + path, relative(path)).number[0] = 0755;
  // Rootless they are the agent's user's, and one that is closed to others is closed to it too.
  for (const auto& [path, mode] : disguise.root_directories)
    steps_.make_path(relative(path), host_.root || (mode & 0077U) != 0 ? mode : 0U);
  root_time_ = disguise.root_time;
  if (!disguise.root_of_disk) {
    start_time_ = disguise.run_time;
    dated_later_ = disguise.root_files;
  }
  // What was made for this run and is the system's, not the agent's nor the host's.
  for (const WritableArea& area : plan_.areas) {
    const std::int64_t time = area.target == "/run"   ? disguise.run_time
                              : area.target == "/tmp" ? disguise.temporary_time
                                                      : root_time_;
    if (time > 0 && !area.agent_owned && area.host_source.empty())
      date(area.target, relative(area.target), time);
  }
}

void FilesystemPlan::date(const std::string& name, std::string path, std::int64_t time) {
  steps_.add_path(Op::set_time, "date " + name, std::move(path)).number[0] =
      static_cast<std::uint64_t>(time);
}

void FilesystemPlan::await_disguise(const Disguise& disguise) {
  if (!disguise.places_files()) return;
  steps_.add(Op::await_answer, "wait until the disguise is filled").number[0] =
      static_cast<std::uint64_t>(init::Hand::disguise);
}

void FilesystemPlan::cover(const Disguise& disguise) {
  if (!disguise.places_files()) return;
  // The file system stays writable for the supervisor, by the copy. What is bound from here on is
  // as this mount is, and takes one call each.
  steps_.mount("make what is shown of the disguise read-only", "tmpfs", ".c",
               MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "");
  std::string trees = ".c/";
  if (shared_) {
    // What is this run's own, over what all runs share.
    steps_.make_path(".s/k", 0700);
    attach("hold what disguises share", *shared_, ".s/k", read_only_attributes);
    steps_.make_path(".d", 0755);
    // Without xino numbers of files are small, as they are everywhere.
    steps_.mount("put the disguise together", "overlay", ".d",
                 MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
                 fmt::format("lowerdir=.c:.s/k,xino=off{}", host_.root ? "" : ",userxattr"));
    trees = ".d/";
  }
  for (std::size_t i = 0; i < disguise.covers.size(); ++i) {
    const std::string& path = disguise.covers[i].path;
    if (!disguise.places(disguise.covers[i])) continue;
    steps_
        .add_path(Op::cover, "cover " + path,
                  (disguise.covers[i].entries ? trees : ".c/") + cover_source(i))
        .b = relative(path);
    disguised_.insert(path);
  }
  bool taken = std::any_of(mounts_.begin(), mounts_.end(), [](const Placed& placed) {
    return placed.mount.target == "/sys" || below(placed.mount.target, "/sys");
  });
  if (!disguise.sysfs.empty() && !taken) {
    steps_.make_path("sys", 0555);
    steps_.add_path(Op::bind, "mount /sys", trees + sysfs_source).b = "sys";
    if (!disguise.network_directory.empty())
      steps_.add_path(Op::show_network, "show the sandbox's own network interfaces in /sys", ".n")
          .b = "sys/" + disguise.network_directory;
  }
  if (shared_) steps_.add_path(Op::leave_behind, "leave the trees' own mount behind", ".d");
  steps_.add_path(Op::leave_behind, "leave the disguise's own mount behind", ".c");
}

// What covers a masked file where the policy shows no /dev/null: a copy of an empty file's mount
// for each, because a mount can be placed once.
void FilesystemPlan::open_covers() {
  const auto& devices = policy_.filesystem.devices;
  if (std::find(devices.begin(), devices.end(), "null") != devices.end()) return;
  for (const std::string& path : policy_.filesystem.masked) {
    steps_.add_path(Op::make_file, "make an empty file to mask with", ".s/empty");
    Step& step = steps_.add_path(Op::open_tree, "take a copy of it to mask " + path, ".s/empty");
    step.number[0] = slots_;
    covers_.push_back(slots_++);
  }
}

void FilesystemPlan::enter() {
  open_covers();
  steps_.add_path(Op::leave_behind, "leave the writable layers' own mount behind", ".s");
  steps_.add(Op::enter_root, "enter the new root");
  // Inside, so that an absolute link on the way to a masked path cannot lead the mask into the
  // host's tree.
  for (std::size_t i = 0; i < policy_.filesystem.masked.size(); ++i) {
    const std::string& path = policy_.filesystem.masked[i];
    if (disguised_.contains(path)) continue;
    steps_.add_path(Op::mask, "mask " + path, relative(path)).number[0] =
        covers_.empty() ? 0 : covers_[i] + 1;
  }
  if (root_time_ > 0)
    steps_.add(Op::date_root, "date the root").number[0] = static_cast<std::uint64_t>(root_time_);
  if (start_time_ > 0) {
    for (const std::string& path : dated_later_) date(path, path, start_time_);
    date("the root once more", "/", start_time_);
  }
  steps_.add(Op::freeze_root, "make the root read-only");
}

}  // namespace gyges::isolation
