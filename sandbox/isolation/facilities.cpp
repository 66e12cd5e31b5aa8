#include "sandbox/isolation/facilities.h"

#include <fmt/format.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/files.h"
#include "base/json.h"
#include "sandbox/isolation/cgroup.h"
#include "sandbox/isolation/host_facts.h"
#include "sandbox/isolation/host_switches.h"
#include "sandbox/isolation/landlock.h"
#include "sandbox/isolation/mapped_mount.h"
#include "sandbox/isolation/plan.h"
#include "sandbox/isolation/policy.h"
#include "sandbox/isolation/sandbox.h"
#include "sandbox/network/network_policy.h"

namespace gyges::isolation {
namespace {

int do_nothing(void*) {
  return 0;
}

int use_privilege(void*) {
  return ::unshare(CLONE_NEWUTS) == 0 ? 0 : 1;
}

// errno of making the given namespaces, 0 if it works and what is done in them ends with 0.
int try_namespaces(int flags, int (*inside)(void*) = &do_nothing) {
  std::vector<char> stack(16U << 10U);
  pid_t pid = ::clone(inside, stack.data() + stack.size(), flags | CLONE_VM | CLONE_VFORK | SIGCHLD,
                      nullptr);
  if (pid < 0) return errno;
  int status = 0;
  if (::waitpid(pid, &status, __WALL) != pid) return errno;
  return status == 0 ? 0 : EPERM;
}

Facility sandbox_starts() {
  Facility facility{"sandbox", false, "", ""};
  auto policy = load_policy("default");
  if (!policy) {
    facility.reason = policy.error().line();
    return facility;
  }
  SandboxSpec spec{std::move(*policy), {}, nullptr};
  auto sandbox = Sandbox::start(spec);
  if (sandbox) {
    auto end = (*sandbox)->stop("");
    facility.available = end.has_value();
    facility.reason =
        end ? "a sandbox with the default policy starts and stops" : end.error().line();
    return facility;
  }
  facility.cure = sandbox.error().cure;
  Error error = sandbox.error();
  error.cure.clear();
  facility.reason = error.line();
  return facility;
}

// With a rule that relays, for which the gateway prepares; nothing is dialled.
Facility network_starts() {
  Facility facility{"network", false, "", ""};
  auto policy = load_policy("default");
  auto section = network::network_policy_from_json(
      {{"mode", "gateway"},
       {"rules", {{{"name", "doctor"}, {"to", {"192.0.2.1"}}, {"action", "relay"}}}}},
      "doctor");
  if (!policy || !section) {
    facility.reason = (policy ? section.error() : policy.error()).line();
    return facility;
  }
  policy->network = std::move(*section);
  auto sandbox = Sandbox::start(SandboxSpec{std::move(*policy), {}, nullptr});
  auto end = sandbox ? (*sandbox)->stop("") : tl::unexpected<Error>(sandbox.error());
  if (!end) {
    facility.cure = end.error().cure;
    Error error = end.error();
    error.cure.clear();
    facility.reason = error.line();
    return facility;
  }
  facility.available = end->network_failure.empty();
  facility.reason = !facility.available ? end->network_failure
                    : end->network_copies
                        ? copied_network
                        : "a sandbox starts behind the gateway, which moves what it relays";
  if (end->network_copies) facility.cure = "raise fs.pipe-user-pages-soft, or run as root";
  if (facility.available && !end->network_ports.empty()) {
    facility.reason = end->network_ports;
    facility.cure = "load the kernel modules nf_tables and nft_tproxy";
  }
  return facility;
}

Facility cgroups() {
  auto cgroup = Cgroup::create({16, 64U << 20U});
  if (!cgroup) return {"cgroups", false, cgroup.error().line(), cgroup.error().cure};
  if (!*cgroup)
    return {"cgroups", false, "no writable hierarchy with the pids controller",
            "run as root, or have a cgroup delegated to you (systemd-run --user --scope -p "
            "Delegate=yes); without it the limits use rlimits and what pid 1 counts"};
  return {"cgroups", true,
          (*cgroup)->limits_memory() ? "processes and memory can be limited"
                                     : "processes can be limited",
          ""};
}

Facility processor_quota() {
  auto cgroup = Cgroup::create({0, 0, true});
  if (cgroup && *cgroup && (*cgroup)->quota())
    return {"recorder_cpu_quota", true,
            "a sandbox that is far ahead of its recorder can be slowed down evenly", ""};
  return {"recorder_cpu_quota", false,
          cgroup ? "no writable hierarchy with the cpu controller" : cgroup.error().line(),
          "run as root on a host whose cpu controller is there for control groups (under systemd: "
          "systemd-run --scope -p CPUWeight=100); without it such a sandbox is held back in the "
          "kernel only"};
}

Facility landlock() {
  int abi = landlock_abi();
  std::string words = fmt::format("ABI {}", abi);
  if (abi < 2) words += ": too old for rules from the mounts";
  if (abi >= 2 && abi < 4) words += ": files; no TCP ports, no scope";
  if (abi >= 4 && abi < 6) words += ": files and TCP ports; no scope";
  if (abi >= 6) words += ": files, TCP ports, scope";
  if (abi > 0) return {"landlock", abi >= 2, words, abi >= 2 ? "" : "Linux 5.19 or later"};
  return {"landlock", false, std::strerror(errno),
          "a kernel with CONFIG_SECURITY_LANDLOCK and lsm=landlock"};
}

Facility time_namespaces() {
  if (::access("/proc/self/ns/time", F_OK) == 0)
    return {"time_namespaces", true, "the uptime of a persona can be set", ""};
  return {"time_namespaces", false, "this kernel has none",
          "Linux 5.6 or later with CONFIG_TIME_NS"};
}

// Whether an overlay can be laid over an id-mapped mount; 0 or what refuses it. Tried in a mount
// namespace of a child's own.
int overlay_over(const UniqueFd& tree, const std::string& directory) {
  const pid_t child = ::fork();
  if (child == 0) {
    const std::string layers = "lowerdir=" + directory + "/lower,upperdir=" + directory +
                               "/upper,workdir=" + directory + "/work";
    const auto make = [&](const char* name) {
      return ::mkdir((directory + name).c_str(), 0700) == 0;
    };
    const bool mounted =
        ::unshare(CLONE_NEWNS) == 0 &&
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
        ::mount("tmpfs", directory.c_str(), "tmpfs", 0, nullptr) == 0 && make("/lower") &&
        make("/upper") && make("/work") && make("/shown") &&
        ::syscall(SYS_move_mount, tree.get(), "", AT_FDCWD, (directory + "/lower").c_str(),
                  MOVE_MOUNT_F_EMPTY_PATH) == 0 &&
        ::mount("overlay", (directory + "/shown").c_str(), "overlay", 0, layers.c_str()) == 0;
    ::_exit(mounted ? 0 : errno);
  }
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child) return errno;
  return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

Facility mapped_mounts() {
  if (::geteuid() != 0)
    return {"id_mapped_mounts", true, "not needed: the user namespace maps the caller", ""};
  auto directory = TemporaryDirectory::create("gyges-doctor");
  if (!directory) return {"id_mapped_mounts", false, directory.error().line(), ""};
  auto copy = mapped_copy({directory->path().string(), 0, 0}, Identity{});
  if (!copy)
    return {"id_mapped_mounts", false, copy.error().reason,
            "run gyges as the user who owns the working directory"};
  if (const int refused = overlay_over(copy->tree, directory->path().string()); refused != 0)
    return {"id_mapped_mounts", false,
            fmt::format("no overlay can be laid over one: {}", std::strerror(refused)),
            "Linux 5.19 or later, or run gyges as the user who owns the working directory"};
  return {"id_mapped_mounts", true, "files of root can appear as the agent's", ""};
}

Facility overlay_marks(const HostFacts& host) {
  if (host.overlay_marks)
    return {"overlay_marks", true, "directories of the host's can be removed in an overlay", ""};
  return {
      "overlay_marks", false,
      "files in memory have no user.* attributes: in an overlay directories of the host's can be "
      "neither removed nor renamed (files can)",
      "Linux 6.6 or later, or run as root"};
}

}  // namespace

std::vector<Facility> probe_facilities() {
  auto host = read_host_facts();
  bool root = host && host->root;
  std::vector<Facility> facilities;
  if (host)
    facilities.push_back({"privilege", true,
                          host->root
                              ? "root: BPF recorder, cgroups, id-mapped mounts"
                              : "ordinary user: sandbox in a user namespace, ptrace recorder",
                          ""});
  else
    facilities.push_back({"privilege", false, host.error().line(), ""});
  facilities.push_back(sandbox_starts());
  facilities.push_back(network_starts());
  HostSwitches switches = read_host_switches("/");
  // Programs with a profile for it keep their privileges.
  if (switches.apparmor_restricts && try_namespaces(CLONE_NEWUSER, &use_privilege) == 0)
    switches.apparmor_restricts = false;
  facilities.push_back(user_namespace_facility(switches, try_namespaces(CLONE_NEWUSER), root));
  facilities.push_back(proc_facility(switches, root));
  facilities.push_back(yama_facility(switches));
  facilities.push_back(time_namespaces());
  facilities.push_back(cgroups());
  facilities.push_back(processor_quota());
  facilities.push_back(landlock());
  facilities.push_back(mapped_mounts());
  if (host) facilities.push_back(overlay_marks(*host));
  return facilities;
}

}  // namespace gyges::isolation
