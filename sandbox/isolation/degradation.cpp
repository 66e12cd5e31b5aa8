#include "sandbox/isolation/degradation.h"

#include <algorithm>
#include <array>

#include "base/text.h"

namespace gyges::isolation {
namespace {

struct Row {
  Degradation degradation;
  std::string_view name;
  std::string_view step;
  std::string_view lacks;
  std::string_view cure;
  std::string_view instead;
};
constexpr std::array rows{
    Row{Degradation::memory_cgroup, "memory_cgroup", "limit the sandbox's memory as a whole",
        "this host offers no writable cgroup with the memory controller",
        "run as root, have a cgroup delegated (systemd-run --user --scope -p Delegate=yes), or set "
        "limits.memory_of to sandbox_or_process",
        "limits.memory_bytes counts each process and not the sandbox: there is no memory cgroup"},
    Row{Degradation::process_cgroup, "process_cgroup", "limit the sandbox's processes alone",
        "this host offers no writable cgroup with the pids controller",
        "mount a cgroup hierarchy with the pids controller, run as an ordinary user, whose "
        "processes are counted by user namespace, or set limits.processes_of to sandbox_or_user",
        "limits.processes counts all processes of the user on the host: there is no pids cgroup"},
    Row{Degradation::time_namespace, "time_namespace", "set the uptime",
        "this kernel has no time namespaces",
        "use Linux 5.6 or later with CONFIG_TIME_NS, or remove cues.uptime_seconds",
        "the uptime stays the host's: this kernel has no time namespaces"},
    Row{Degradation::landlock, "landlock", "plan Landlock",
        "this kernel cannot hold the policy's Landlock rules",
        "use a kernel with Landlock, or change the policy",
        "the policy's Landlock rules hold only as far as this kernel can"},
    Row{Degradation::packet_rules, "packet_rules", "let TCP connections in on every port",
        "this host has no packet rules (nftables)",
        "load the kernel modules nf_tables and nft_tproxy, or set network.capture to best",
        "TCP connections are let in on listed ports alone: this host has no packet rules"}};

const Row& row_of(Degradation degradation) {
  return *std::find_if(rows.begin(), rows.end(),
                       [&](const Row& row) { return row.degradation == degradation; });
}

}  // namespace

std::string_view degradation_name(Degradation degradation) {
  return row_of(degradation).name;
}

std::vector<std::string> degradation_names() {
  std::vector<std::string> names;
  for (const Row& row : rows) names.emplace_back(row.name);
  return names;
}

bool accepted_degradation(Degradation degradation, const std::vector<std::string>& accepted) {
  return std::find(accepted.begin(), accepted.end(), degradation_name(degradation)) !=
         accepted.end();
}

Status accept_or_fail(Degradation degradation, const std::vector<std::string>& accepted,
                      std::vector<std::string>& degraded) {
  const Row& row = row_of(degradation);
  if (accepted_degradation(degradation, accepted)) {
    degraded.emplace_back(row.name);
    return ok();
  }
  return fail(
      row.step, "", row.lacks,
      std::string(row.cure) + "; or accept it with --allow-degraded=" + std::string(row.name));
}

std::string degradation_words(std::string_view name) {
  for (const Row& row : rows)
    if (row.name == name) return std::string(row.instead);
  return std::string(name);
}

Status check_degradations(const std::vector<std::string>& accepted) {
  for (const std::string& name : accepted)
    if (std::none_of(rows.begin(), rows.end(), [&](const Row& row) { return row.name == name; }))
      return fail("accept degradation", printable(name), "nothing has this name",
                  "use one of " + join(degradation_names(), ", "));
  return ok();
}

}  // namespace gyges::isolation
