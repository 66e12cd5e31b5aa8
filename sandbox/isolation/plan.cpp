#include "sandbox/isolation/plan.h"

#include <fmt/format.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/resource.h>

#include <algorithm>

#include "base/text.h"
#include "sandbox/isolation/capabilities.h"
#include "sandbox/isolation/degradation.h"
#include "sandbox/isolation/disguise.h"
#include "sandbox/isolation/landlock.h"
#include "sandbox/isolation/plan_filesystem.h"
#include "sandbox/isolation/plan_steps.h"

namespace gyges::isolation {
namespace {

using init::Op;

// The capabilities that commands keep, as a bit mask; what is kept and granted is a warning.
Result<std::uint64_t> kept_capabilities(const Policy& policy, Plan& plan) {
  std::uint64_t mask = 0;
  for (const std::string& name : policy.capabilities) {
    GYGES_TRY(unsigned number, capability_number(name));
    mask |= 1ULL << number;
    plan.warnings.push_back("the policy keeps " + name + " inside");
  }
  for (const std::string& grant : policy.grants)
    plan.warnings.push_back("the policy states the dangerous grant " + grant);
  return mask;
}

void map_user(const Policy& policy, const HostFacts& host, StepWriter& steps) {
  if (host.root) return;
  auto write = [&](const char* path, std::string content) {
    steps.write_file(fmt::format("write {}", path), path, std::move(content));
  };
  // The kernel asks for this before an unprivileged gid_map (user_namespaces(7)).
  write("/proc/self/setgroups", "deny");
  write("/proc/self/uid_map", fmt::format("{} {} 1\n", policy.identity.uid, host.uid));
  write("/proc/self/gid_map", fmt::format("{} {} 1\n", policy.identity.gid, host.gid));
}

// Late, because the supervisor makes it meanwhile; before everything that is not pid 1 alone, and
// before the cgroup namespace, in which the cgroup that it is made in shows as the root.
void enter_cgroup(StepWriter& steps) {
  steps.add(Op::await_cgroup, "enter the cgroup, where there is one");
}

Status host_name_and_time(const Policy& policy, const HostFacts& host,
                          const std::vector<std::string>& accepted, const Disguise& disguise,
                          Plan& plan, StepWriter& steps) {
  steps.add_path(Op::set_hostname, "set the host name", policy.identity.hostname);
  if (disguise.decoys.empty()) enter_cgroup(steps);
  steps.add(Op::new_namespaces, "make the cgroup namespace").number[0] = CLONE_NEWCGROUP;
  if (!host.time_namespaces) {
    if (policy.cues.uptime_seconds > 0)
      return accept_or_fail(Degradation::time_namespace, accepted, plan.degraded);
    return ok();
  }
  steps.add(Op::new_namespaces, "make the time namespace").number[0] = 0x80;  // CLONE_NEWTIME
  // A child that shares memory stays in its parent's until it executes a program.
  plan.settings.own_memory = host.exec_enters_time ? 0 : 1;
  if (policy.cues.uptime_seconds > 0)
    steps.write_file("set the uptime", "/proc/self/timens_offsets",
                     fmt::format("monotonic {0} 0\nboottime {0} 0\n", policy.cues.uptime_seconds));
  return ok();
}

// When the supervisor has filled what it fills; they get ready while pid 1 mounts. Everything that
// they share with it is there but its root, which becomes theirs when it is entered; clocks and
// cgroups read the reader's namespaces.
void decoys(const Disguise& disguise, const HostFacts& host, StepWriter& steps) {
  if (!disguise.decoys.empty()) enter_cgroup(steps);
  for (const Decoy& decoy : disguise.decoys) {
    Step& step = steps.add_path(Op::decoy, "start a process that looks like " + decoy.name,
                                decoy.name.substr(0, 15));
    step.b = join(decoy.argv, std::string_view("\0", 1));
    step.number[0] = decoy.uid;
    step.number[1] = decoy.gid;
    step.number[2] = (host.root ? 1U : 0U) | static_cast<std::uint64_t>(decoy.pid) << 32U;
  }
  if (!disguise.decoys.empty()) steps.add(Op::start_decoys, "start the persona's processes");
}

void looks_of_processes(const Disguise& disguise, StepWriter& steps) {
  if (disguise.init_name != "init") steps.add_path(Op::set_name, "name pid 1", disguise.init_name);
  if (disguise.next_pid > 0)
    steps.add(Op::next_pid, fmt::format("make {} the next pid", disguise.next_pid)).number[0] =
        disguise.next_pid;
}

void system_bus(const Policy& policy, const Disguise& disguise, Plan& plan, StepWriter& steps) {
  if (!disguise.bus || !allows_system_bus(policy)) return;
  Step& step = steps.add(Op::offer_bus_sockets, "listen where the system bus is");
  step.a = bus_socket_paths[0];
  step.b = bus_socket_paths[1];
  step.number[0] = static_cast<std::uint64_t>(disguise.bus_time);
  plan.sockets = {step.a, step.b};
  plan.sockets_time = disguise.bus_time;
}

bool policy_mounts(const Policy& policy, const std::string& path) {
  return std::any_of(policy.filesystem.mounts.begin(), policy.filesystem.mounts.end(),
                     [&](const Mount& mount) { return mount.target == path; });
}

Status landlock(const Policy& policy, const HostFacts& host,
                const std::vector<std::string>& accepted, const Disguise& disguise, Plan& plan,
                StepWriter& steps) {
  bool accepts = accepted_degradation(Degradation::landlock, accepted);
  auto whole = plan_landlock(policy, host.landlock_abi, false);
  if (!whole) {
    if (!accepts) return tl::unexpected<Error>(std::move(whole.error()));
    plan.degraded.emplace_back(degradation_name(Degradation::landlock));
  }
  GYGES_TRY(LandlockPlan walls, plan_landlock(policy, host.landlock_abi, accepts));
  plan.landlock = walls.state;
  if (!disguise.sysfs.empty()) allow_reading(walls, "/sys");
  for (const auto& [path, mode] : disguise.root_directories)
    if ((mode & 0077U) != 0 && !policy_mounts(policy, path)) allow_reading(walls, path);
  for (const LandlockRuleset& ruleset : walls.rulesets) {
    Step& begin = steps.add(Op::landlock_begin, "begin Landlock rules " + ruleset.words);
    begin.number[0] = ruleset.files;
    begin.number[1] = ruleset.network;
    begin.number[2] = ruleset.scope;
    for (const auto& rule : ruleset.paths)
      steps
          .add_path(Op::landlock_path, "Landlock: " + access_words(rule.access) + " " + rule.path,
                    rule.path)
          .number[0] = rule.access;
    for (const auto& [port, access] : ruleset.ports) {
      Step& step = steps.add(Op::landlock_port, fmt::format("Landlock: TCP port {}", port));
      step.number[0] = port;
      step.number[1] = access;
    }
    steps.add(Op::landlock_enforce, "enforce the Landlock rules");
  }
  return ok();
}

// While the host's /proc is there: the sandbox's own shows the settings of networks read-only.
void egress_gateway(const Policy& policy, StepWriter& steps) {
  if (policy.network.mode != network::NetworkPolicy::Mode::gateway) return;
  steps
      .add_path(
          Op::hand_gateway,
          "make the egress gateway's network namespace and hand its sockets to the supervisor",
          fmt::format("{0} {0}\n", policy.identity.gid))
      .number[0] = policy.network.interface.has_v6 ? 1 : 0;
}

// pid 1 keeps what it needs to make agents out of its children and to kill them.
void drop_privileges(const HostFacts& host, std::uint64_t kept, StepWriter& steps) {
  auto bit = [](unsigned capability) { return 1ULL << capability; };
  std::uint64_t keep = bit(CAP_SETPCAP) | bit(CAP_KILL) | kept;
  if (host.root) keep |= bit(CAP_SETUID) | bit(CAP_SETGID);
  // To count the memory of its children, also of those that are not dumpable. In the sandbox's own
  // user namespace; as root it would be the host's.
  if (!host.root) keep |= bit(CAP_SYS_PTRACE);
  steps.add(Op::drop_privileges, "drop the privileges of pid 1").number[0] = keep;
}

// What pid 1 applies to every command: identity, capabilities, limits.
void command_settings(const Policy& policy, const HostFacts& host, std::uint64_t kept,
                      init::ProgramHeader& header) {
  header.uid = policy.identity.uid;
  header.gid = policy.identity.gid;
  header.change_user = host.root ? 1 : 0;
  header.wall_seconds = static_cast<std::uint32_t>(policy.limits.wall_seconds);
  header.keep_capabilities = kept;
  std::fill(std::begin(header.limits), std::end(header.limits), ~0ULL);
  auto limit = [&](int resource, std::uint64_t value) {
    if (value > 0) header.limits[resource] = value;
  };
  limit(RLIMIT_CPU, policy.limits.cpu_seconds);
  limit(RLIMIT_FSIZE, policy.limits.file_bytes);
  limit(RLIMIT_NOFILE, policy.limits.open_files);
  limit(RLIMIT_DATA, policy.limits.memory_bytes);
  // Counted per user namespace since 5.14, so that it counts this sandbox alone when rootless. As
  // root the pids cgroup counts; see cgroup.h.
  if (!host.root && policy.limits.processes > 0) limit(RLIMIT_NPROC, policy.limits.processes + 1);
  // One byte and not none: a core pattern that names a program starts it on the host, as root, for
  // a crash inside, unless the limit is exactly this (core(5)).
  header.limits[RLIMIT_CORE] = 1;
  header.limits[RLIMIT_MSGQUEUE] = 819200;
  // Queued signals, and timers of timer_create(2), each of them memory of the kernel's.
  header.limits[RLIMIT_SIGPENDING] = 8192;
  header.limits[RLIMIT_MEMLOCK] = 8U << 20U;
}

}  // namespace

bool allows_system_bus(const Policy& policy) {
  const auto& mounts = policy.filesystem.mounts;
  const bool own_run = std::any_of(mounts.begin(), mounts.end(), [](const Mount& mount) {
    return mount.target == "/run" && mount.kind == Mount::Kind::fresh;
  });
  return own_run && policy.cues.system_bus;
}

std::uint64_t namespaces_of_init(const HostFacts& host) {
  std::uint64_t flags = CLONE_NEWPID | init::own_namespaces;
  return host.root ? flags : flags | CLONE_NEWUSER;
}

// The order of a sandbox's making. A new step goes where what it needs is there and what it forbids
// is done; its words name it in errors and in `gyges policy explain`.
Result<Plan> make_plan(const Policy& policy, const HostFacts& host,
                       const std::vector<std::string>& seed_paths,
                       const std::vector<std::string>& accepted, bool terminal,
                       const Disguise* covering, const std::string& shared_tree) {
  const Disguise none;
  const Disguise& disguise = covering != nullptr ? *covering : none;
  Plan plan;
  StepWriter steps(plan.steps);
  GYGES_TRY(std::uint64_t kept, kept_capabilities(policy, plan));
  FilesystemPlan filesystem(policy, host, seed_paths, plan);
  GYGES_CHECK(filesystem.sort_mounts());

  plan.namespaces = namespaces_of_init(host);
  map_user(policy, host, steps);
  steps.add(Op::private_mounts, "keep mount changes inside");
  egress_gateway(policy, steps);

  GYGES_CHECK(filesystem.open_sources(shared_tree));
  filesystem.root_and_scratch(disguise);
  // No policy mounts anything there.
  filesystem.proc_and_devices(terminal, disguise);
  // Sooner there than the layers.
  filesystem.await_disguise(disguise);
  decoys(disguise, host, steps);
  filesystem.cover(disguise);
  filesystem.await_layers();
  filesystem.place_mounts();
  filesystem.looks_of_root(disguise);
  // A process that is being made while the root changes would keep the host's.
  if (!disguise.decoys.empty())
    steps.add(Op::await_decoys, "wait until the persona's processes sleep");
  filesystem.enter();

  GYGES_CHECK(host_name_and_time(policy, host, accepted, disguise, plan, steps));
  if (policy.network.mode == network::NetworkPolicy::Mode::none)
    steps.add(Op::loopback_up, "bring up the loopback interface");
  else
    steps.add(Op::hand_netlink, "hand the network namespace's route socket to the supervisor");
  looks_of_processes(disguise, steps);
  system_bus(policy, disguise, plan, steps);
  // After everything that mounts: a process under Landlock cannot.
  GYGES_CHECK(landlock(policy, host, accepted, disguise, plan, steps));

  drop_privileges(host, kept, steps);
  command_settings(policy, host, kept, plan.settings);
  return plan;
}

}  // namespace gyges::isolation
