// From a persona's machine to the disguise of a sandbox: contents of /proc, a tree for /sys, the
// processes that are there before the agent is.
#pragma once

#include <sys/sysinfo.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "sandbox/cues/machine.h"
#include "sandbox/cues/persona.h"
#include "sandbox/isolation/disguise.h"
#include "sandbox/isolation/emulation.h"
#include "sandbox/isolation/policy.h"

namespace gyges::cues {

// The values that all generated files share: the persona's where the sandbox can keep them up, the
// host's where it cannot. A file that says one thing and a system call that says another betrays
// more than either.
// A row of /proc/PID/mountinfo, with what statfs(2) says of it.
struct MountRow {
  unsigned id = 0, parent = 0;
  std::string device;  // "254:1"
  std::string root, point, options;
  std::string optional;  // "shared:7 "
  std::string type, source, super;
  std::int64_t magic = 0;  // 0: the kernel's answer stays
  std::uint64_t bytes = 0, free = 0;
};

// How a process that was there before the agent looks.
struct ProcessLook {
  std::string name;  // comm
  std::uint32_t pid = 0;
  std::uint32_t uid = 0, gid = 0;
  std::uint64_t start_ticks = 0, user_ticks = 0, system_ticks = 0;  // of 10 ms
  std::uint64_t size_kilobytes = 0, resident_kilobytes = 0;
  std::uint32_t threads = 1;
  std::uint32_t terminal = 0;            // device number; 0: none
  std::int32_t kill_rank = 0;            // oom_score_adj
  std::string unit;                      // control group; empty: the user's session
  bool kernel = false;                   // a thread of the kernel's: no memory, no arguments
  bool idle = false, real_time = false;  // how that one waits and is scheduled
  std::int32_t nice = 0;

  [[nodiscard]] std::uint64_t voluntary_switches() const { return user_ticks * 19 + 211; }
  [[nodiscard]] std::uint64_t other_switches() const { return user_ticks / 3 + 17; }
};

struct MachineView : std::enable_shared_from_this<MachineView> {
  Machine machine;
  std::string hostname;
  std::string release, version;
  std::uint32_t processors = 1;
  std::uint64_t memory_kilobytes = 0;
  std::uint64_t host_memory_kilobytes = 0;
  std::string processor;            // one block of /proc/cpuinfo, without the number lines
  std::uint64_t uptime_offset = 0;  // seconds, as in the policy
  std::uint64_t seed = 0;
  std::vector<std::string> interfaces;  // of the sandbox's network namespace
  // "8-4-4-4-12" and others that are this run's own.
  std::string boot_id, machine_uuid;
  std::uint32_t user = 0, group = 0;  // the agent's
  std::uint64_t session = 1;          // number of its login
  bool user_directory = false;        // it has a /run/user of its own
  std::int64_t day = 0;               // the world's
  std::vector<ProcessLook> processes;
};

// For what outlives the caller: itself where it is shared already, and otherwise a copy.
std::shared_ptr<const MachineView> kept(const MachineView& view);

// Threads that its kernel allows: an eighth of the memory may become their stacks (set_max_threads
// in kernel/fork.c).
inline std::uint64_t most_threads(const MachineView& view) {
  return view.memory_kilobytes / 128;
}

// Whether the persona's kernel is older than that of the given numbers.
bool is_before(const MachineView& view, unsigned major, unsigned minor);

// `as_of`: as of a template's context; 0: the start of the current day.
MachineView make_view(const Persona& persona, std::uint64_t seed, const isolation::CueRules& rules,
                      const HostMachine& host, std::int64_t as_of = 0);

// The parts of a disguise; thread-safe.
std::vector<isolation::Cover> proc_covers(const MachineView& view);
std::vector<isolation::TreeEntry> sysfs_tree(const MachineView& view, std::string& network);

// /proc/loadavg, whose last field is the newest process. Thread-safe.
std::string load_file(const MachineView& view, std::uint32_t last_process,
                      const isolation::OwnUse& own);

// What sysinfo(2) says where it is emulated: what /proc/uptime, loadavg and meminfo say.
// Thread-safe.
std::function<struct sysinfo(const isolation::OwnUse&)> sysinfo_of(const MachineView& view);
// `covers`: those that its fixed files stand for are among them.
std::shared_ptr<const isolation::Emulation> make_emulation(
    const MachineView& view, const std::vector<isolation::Cover>& covers);

std::string modules_file(const Machine& machine);

// Files of /proc that tell what goes on: locks, consoles, keys.
std::string locks_file(const MachineView& view);
std::string consoles_file(const std::string& command_line);
std::string key_users_file(std::uint32_t user);

// The mounts that the persona has; empty where it has no disks.
std::vector<MountRow> mount_rows(const MachineView& view);
std::string mountinfo_file(const std::vector<MountRow>& rows);
std::string mounts_file(const std::vector<MountRow>& rows);
std::string mountstats_file(const std::vector<MountRow>& rows);
std::vector<isolation::ShownMount> shown_mounts(const std::vector<MountRow>& rows,
                                                std::uint64_t memory_kilobytes);

// Hundredths of a second from the machine's start to that of the process with this number, which
// are later the higher the number is.
std::uint64_t start_by_number(std::uint32_t number);

// Pid 1 and those daemons whose numbers the persona says; a function of the arguments alone.
// `lived_seconds`: since when they run, up to the uptime.
std::vector<ProcessLook> process_looks(const Persona& persona, const Machine& machine,
                                       std::uint64_t seed, std::uint64_t uptime_seconds,
                                       std::uint64_t lived_seconds);
// The kernel's own threads; none in a container.
std::vector<ProcessLook> kernel_thread_looks(const Machine& machine, std::uint32_t processors,
                                             std::uint64_t seed, std::uint64_t uptime_seconds);
std::pair<std::uint32_t, std::uint32_t> account_ids(const Persona& persona,
                                                    const std::string& user);
std::optional<isolation::ShownState> shown_state(const Machine& machine);
// `counted`: the persona's number of processors shows.
std::vector<isolation::ProcessFileRule> process_file_rules(const MachineView& view, bool counted);

// All of it; the same arguments on the same host in one second of its uptime give the same. Null
// for a persona without the section `machine`. `as_of`: as of make_view().
Result<std::shared_ptr<const isolation::Disguise>> make_disguise(const Persona& persona,
                                                                 std::uint64_t seed,
                                                                 const isolation::Policy& policy,
                                                                 std::int64_t as_of = 0);

}  // namespace gyges::cues
