#include "sandbox/isolation/plan.h"

#include <fmt/format.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <optional>

#include "base/files.h"
#include "base/text.h"
#include "sandbox/isolation/capabilities.h"

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

std::size_t depth(const std::string& path) {
  return static_cast<std::size_t>(std::count(path.begin(), path.end(), '/'));
}

class Builder {
 public:
  Builder(const Policy& policy, const HostFacts& host, const std::vector<std::string>& seed_paths)
      : policy_(policy), host_(host), seeds_(seed_paths) {}

  Result<Plan> build() {
    GYGES_CHECK(sort_mounts());
    namespaces();
    map_user();
    add(Op::private_mounts, "keep mount changes inside");
    GYGES_CHECK(open_sources());
    root_and_scratch();
    GYGES_CHECK(place_mounts());
    proc_and_devices();
    for (const std::string& path : policy_.filesystem.masked)
      add_path(Op::mask, "mask " + path, relative(path));
    add_path(Op::detach, "detach the writable layers' own mount", ".s");
    add(Op::enter_root, "enter the new root");
    add(Op::freeze_root, "make the root read-only");
    host_name_and_time();
    add(Op::hand_netlink, "hand the network namespace's route socket to the supervisor");
    drop_privileges();
    GYGES_CHECK(settings());
    return std::move(plan_);
  }

 private:
  struct Placed {
    Mount mount;
    bool is_directory = true;
    std::string link;                 // target of a symlink to recreate
    std::optional<std::size_t> area;  // index into plan_.areas
    std::optional<std::uint64_t> slot;
    std::optional<MappedSource> mapped;
  };

  Step& add(Op op, std::string words) {
    Step step;
    step.op = op;
    step.words = std::move(words);
    plan_.steps.push_back(std::move(step));
    return plan_.steps.back();
  }

  Step& add_path(Op op, std::string words, std::string path) {
    Step& step = add(op, std::move(words));
    step.a = std::move(path);
    return step;
  }

  void add_mount(std::string words, std::string type, std::string path, std::uint64_t flags,
                 std::string data) {
    Step& step = add(Op::mount, std::move(words));
    step.a = std::move(type);
    step.b = std::move(path);
    step.c = std::move(data);
    step.number[0] = flags;
  }

  std::uint64_t open_slot(const std::string& source) {
    Step& step = add_path(Op::open_tree, "take a copy of the host's " + source, source);
    step.number[0] = slots_;
    return slots_++;
  }

  void attach(std::string words, std::uint64_t slot, std::string path, std::uint64_t attributes) {
    Step& step = add_path(Op::attach, std::move(words), std::move(path));
    step.number[0] = slot;
    step.number[1] = attributes;
  }

  // Looks at every source; parents come before children.
  Status sort_mounts() {
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

  void namespaces() {
    plan_.namespaces = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC;
    if (!host_.root) plan_.namespaces |= CLONE_NEWUSER;
  }

  void map_user() {
    if (host_.root) return;
    auto write = [&](const char* path, std::string content) {
      Step& step = add(Op::write_file, fmt::format("write {}", path));
      step.a = path;
      step.b = std::move(content);
    };
    // The kernel asks for this before an unprivileged gid_map (user_namespaces(7)).
    write("/proc/self/setgroups", "deny");
    write("/proc/self/uid_map", fmt::format("{} {} 1\n", policy_.identity.uid, host_.uid));
    write("/proc/self/gid_map", fmt::format("{} {} 1\n", policy_.identity.gid, host_.gid));
  }

  // Sources are taken before the new root covers anything, and only ever by descriptor afterwards.
  Status open_sources() {
    for (Placed& placed : mounts_)
      if (placed.mapped) {
        plan_.mapped.push_back(*placed.mapped);
        placed.slot = slots_++;
      }
    plan_.settings.prepared = static_cast<std::uint32_t>(plan_.mapped.size());
    for (Placed& placed : mounts_)
      if (placed.mount.kind != Mount::Kind::fresh && placed.link.empty() && !placed.mapped)
        placed.slot = open_slot(placed.mount.source);
    for (const std::string& device : policy_.filesystem.devices)
      devices_.emplace_back(device, open_slot("/dev/" + device));
    if (slots_ > init::max_slots)
      return fail("plan mounts", policy_.name, "more mounts than pid 1 can hold",
                  "mount common parents instead");
    return ok();
  }

  void root_and_scratch() {
    Step& root = add_path(Op::new_root, "make the root", "/tmp");
    root.b = root_data;
    make_path(".s", 0700);
    std::string data = "mode=700";
    if (policy_.limits.disk_bytes > 0) data += fmt::format(",size={}", policy_.limits.disk_bytes);
    if (policy_.limits.inodes > 0) data += fmt::format(",nr_inodes={}", policy_.limits.inodes);
    add_mount("make the file system of the writable layers", "tmpfs", ".s", MS_NOSUID | MS_NODEV,
              data);
    for (Placed& placed : mounts_) make_area(placed);
    if (plan_.areas.empty()) return;
    for (std::size_t i = 0; i < plan_.areas.size(); ++i) {
      const WritableArea& area = plan_.areas[i];
      make_path(fmt::format(".s/u{}", i), area.mode);
      if (area.layered) {
        make_path(fmt::format(".s/l{}", i), area.mode);
        make_path(fmt::format(".s/w{}", i), 0700);
      }
      // The layers' own attributes are what the directory shows. A host directory is the agent's,
      // by its owner or by the id-mapped mount.
      if (host_.root && (area.agent_owned || !area.host_source.empty()))
        for (const char* layer : {"u", "l"}) {
          if (*layer == 'l' && !area.layered) continue;
          Step& owner = add_path(Op::set_owner, "give " + area.target + " to the agent",
                                 fmt::format(".s/{}{}", layer, i));
          owner.number[0] = policy_.identity.uid;
          owner.number[1] = policy_.identity.gid;
          owner.number[2] = area.mode;
        }
    }
    add_path(Op::hand_over, "fill the layers that the sandbox finds", ".s");
  }

  void make_path(std::string path, unsigned mode) {
    std::string words = "make directory " + path;
    Step& step = add_path(Op::make_path, std::move(words), std::move(path));
    step.number[0] = mode;
  }

  void make_area(Placed& placed) {
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
  bool nearest_area_is(const std::string& path, const std::string& target) const {
    for (const Placed& other : mounts_)
      if (other.mount.target.size() > target.size() && below(path, other.mount.target))
        return false;
    return true;
  }

  bool inside_another_mount(const std::string& path) const {
    return std::any_of(mounts_.begin(), mounts_.end(), [&](const Placed& other) {
      return other.link.empty() && below(path, other.mount.target);
    });
  }

  Status place_mounts() {
    for (Placed& placed : mounts_) {
      const Mount& mount = placed.mount;
      std::string path = relative(mount.target);
      if (!placed.link.empty()) {
        if (inside_another_mount(mount.target)) continue;
        Step& step = add(Op::make_symlink, "make the link " + mount.target + " as on the host");
        step.a = placed.link;
        step.b = path;
        continue;
      }
      if (!inside_another_mount(mount.target)) {
        if (placed.is_directory)
          make_path(path, 0755);
        else
          add_path(Op::make_file, "make a place for " + mount.target, path);
      }
      if (placed.area) {
        place_area(*placed.area, placed.slot, path);
      } else {
        attach("mount " + mount.target + (mount.kind == Mount::Kind::read_only ? " read-only" : ""),
               *placed.slot, path,
               mount.kind == Mount::Kind::read_only ? read_only_attributes
                                                    : MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
      }
    }
    return ok();
  }

  void place_area(std::size_t index, std::optional<std::uint64_t> slot, const std::string& path) {
    const WritableArea& area = plan_.areas[index];
    if (!area.layered) {
      Step& step = add_path(Op::bind, "mount " + area.target + ", empty and writable",
                            fmt::format(".s/u{}", index));
      step.b = path;
      return;
    }
    std::string lower = fmt::format(".s/l{}", index);
    if (slot) {
      std::string source = fmt::format(".s/h{}", index);
      make_path(source, 0700);
      attach("hold the host's " + area.host_source, *slot, source, read_only_attributes);
      lower += ":" + source;
    }
    // userxattr: without privilege over the host the overlay keeps its marks in user.* attributes.
    add_mount("mount " + area.target + " with a writable layer", "overlay", path,
              MS_NOSUID | MS_NODEV,
              fmt::format("lowerdir={0},upperdir=.s/u{1},workdir=.s/w{1}{2}", lower, index,
                          host_.root ? "" : ",userxattr"));
  }

  void proc_and_devices() {
    make_path("proc", 0555);
    add_mount("mount /proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "");
    make_path("dev", 0755);
    add_mount("make /dev", "tmpfs", "dev", MS_NOSUID | MS_NOEXEC, "size=64k,nr_inodes=64,mode=755");
    for (const auto& [name, slot] : devices_) {
      add_path(Op::make_file, "make a place for /dev/" + name, "dev/" + name);
      attach("mount /dev/" + name, slot, "dev/" + name, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
    }
    make_path("dev/pts", 0755);
    add_mount("mount /dev/pts", "devpts", "dev/pts", MS_NOSUID | MS_NOEXEC,
              "newinstance,ptmxmode=0666,mode=620");
    // Part of the scratch file system, so that the disk limit counts it.
    make_path(".s/shm", 01777);
    make_path("dev/shm", 01777);
    add_path(Op::bind, "mount /dev/shm", ".s/shm").b = "dev/shm";
    for (auto [target, path] :
         {std::pair{"/proc/self/fd", "dev/fd"}, std::pair{"/proc/self/fd/0", "dev/stdin"},
          std::pair{"/proc/self/fd/1", "dev/stdout"}, std::pair{"/proc/self/fd/2", "dev/stderr"},
          std::pair{"pts/ptmx", "dev/ptmx"}}) {
      Step& step = add(Op::make_symlink, fmt::format("make the link /{}", path));
      step.a = target;
      step.b = path;
    }
    add_mount("make /dev read-only", "tmpfs", "dev",
              MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NOEXEC, "");
  }

  void host_name_and_time() {
    add_path(Op::set_hostname, "set the host name", policy_.identity.hostname);
    // After the supervisor has put pid 1 into its cgroup, so that the cgroup is the root inside.
    add(Op::new_namespaces, "make the cgroup namespace").number[0] = CLONE_NEWCGROUP;
    if (!host_.time_namespaces) {
      if (policy_.cues.uptime_seconds > 0)
        plan_.warnings.push_back("uptime stays the host's: this kernel has no time namespaces");
      return;
    }
    add(Op::new_namespaces, "make the time namespace").number[0] = 0x80;  // CLONE_NEWTIME
    if (policy_.cues.uptime_seconds > 0) {
      Step& step = add(Op::write_file, "set the uptime");
      step.a = "/proc/self/timens_offsets";
      step.b = fmt::format("monotonic {0} 0\nboottime {0} 0\n", policy_.cues.uptime_seconds);
    }
  }

  // pid 1 keeps what it needs to make agents out of its children and to kill them.
  void drop_privileges() {
    auto bit = [](unsigned capability) { return 1ULL << capability; };
    std::uint64_t keep = bit(CAP_SETPCAP) | bit(CAP_KILL) | keep_mask_;
    if (host_.root) keep |= bit(CAP_SETUID) | bit(CAP_SETGID);
    add(Op::drop_privileges, "drop the privileges of pid 1").number[0] = keep;
  }

  Status settings() {
    init::ProgramHeader& header = plan_.settings;
    header.uid = policy_.identity.uid;
    header.gid = policy_.identity.gid;
    header.change_user = host_.root ? 1 : 0;
    header.wall_seconds = static_cast<std::uint32_t>(policy_.limits.wall_seconds);
    header.count_processes = policy_.limits.processes > 0 ? 1 : 0;
    header.keep_capabilities = keep_mask_;
    std::fill(std::begin(header.limits), std::end(header.limits), ~0ULL);
    auto limit = [&](int resource, std::uint64_t value) {
      if (value > 0) header.limits[resource] = value;
    };
    limit(RLIMIT_CPU, policy_.limits.cpu_seconds);
    limit(RLIMIT_FSIZE, policy_.limits.file_bytes);
    limit(RLIMIT_NOFILE, policy_.limits.open_files);
    limit(RLIMIT_DATA, policy_.limits.memory_bytes);
    // Counted per user namespace since 5.14, so that it counts this sandbox alone when rootless. As
    // root the pids cgroup counts; see cgroup.h.
    if (!host_.root && policy_.limits.processes > 0)
      limit(RLIMIT_NPROC, policy_.limits.processes + 1);
    // One byte and not none: a core pattern that names a program starts it on the host, as root, for
    // a crash inside, unless the limit is exactly this (core(5)).
    header.limits[RLIMIT_CORE] = 1;
    header.limits[RLIMIT_MSGQUEUE] = 819200;
    header.limits[RLIMIT_MEMLOCK] = 8U << 20U;
    return ok();
  }

 public:
  Status read_capabilities() {
    for (const std::string& name : policy_.capabilities) {
      GYGES_TRY(unsigned number, capability_number(name));
      keep_mask_ |= 1ULL << number;
      plan_.warnings.push_back("the policy keeps " + name + " inside");
    }
    for (const std::string& grant : policy_.grants)
      plan_.warnings.push_back("the policy states the dangerous grant " + grant);
    return ok();
  }

 private:
  const Policy& policy_;
  const HostFacts& host_;
  const std::vector<std::string>& seeds_;
  Plan plan_;
  std::vector<Placed> mounts_;
  std::vector<std::pair<std::string, std::uint64_t>> devices_;
  std::uint64_t slots_ = 0;
  std::uint64_t keep_mask_ = 0;
};

}  // namespace

namespace {

// Root of a user namespace is an ordinary user to the host: it may not map others, mount devices or
// load programs. Only the initial namespace maps every id to itself (user_namespaces(7)).
bool in_initial_user_namespace() {
  auto map = read_file("/proc/self/uid_map");
  std::uint64_t inside = 1;
  std::uint64_t outside = 1;
  std::uint64_t count = 0;
  return map && std::sscanf(map->c_str(), "%lu %lu %lu", &inside, &outside, &count) == 3 &&
         inside == 0 && outside == 0 && count == 4294967295U;
}

}  // namespace

HostFacts read_host_facts() {
  HostFacts host;
  host.uid = ::geteuid();
  host.gid = ::getegid();
  host.root = host.uid == 0 && in_initial_user_namespace() &&
              has_effective_capability(CAP_SYS_ADMIN) && has_effective_capability(CAP_SETUID) &&
              has_effective_capability(CAP_NET_ADMIN);
  host.time_namespaces = ::access("/proc/self/ns/time", F_OK) == 0;
  return host;
}

Result<Plan> make_plan(const Policy& policy, const HostFacts& host,
                       const std::vector<std::string>& seed_paths) {
  Builder builder(policy, host, seed_paths);
  GYGES_CHECK(builder.read_capabilities());
  return builder.build();
}

std::string encode_program(const Plan& plan, const std::vector<std::string>& filters) {
  std::string bytes;
  auto append = [&](const auto& value) {
    bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
  };
  init::ProgramHeader header = plan.settings;
  header.steps = static_cast<std::uint32_t>(plan.steps.size());
  header.filters = static_cast<std::uint32_t>(filters.size());
  append(header);
  for (const std::string& filter : filters) {
    append(static_cast<std::uint64_t>(filter.size() / 8));  // the count, padded to 8 bytes
    bytes += filter;
  }
  for (const Step& step : plan.steps) {
    init::StepHeader step_header;
    step_header.op = step.op;
    step_header.lengths[0] = static_cast<std::uint32_t>(step.a.size());
    step_header.lengths[1] = static_cast<std::uint32_t>(step.b.size());
    step_header.lengths[2] = static_cast<std::uint32_t>(step.c.size());
    std::copy(std::begin(step.number), std::end(step.number), std::begin(step_header.number));
    append(step_header);
    for (const std::string* text : {&step.a, &step.b, &step.c}) {
      bytes += *text;
      bytes += '\0';
    }
  }
  return bytes;
}

}  // namespace gyges::isolation
