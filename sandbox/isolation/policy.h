// The policy: what a sandbox may see and do, as an immutable value read from one JSON file
// (policies/schemas/policy.schema.json, docs/policy.md). An empty list means nothing; an absent
// section means the preset's default, which the schema states.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "sandbox/isolation/landlock_rules.h"
#include "sandbox/isolation/syscall_rule.h"
#include "sandbox/network/network_policy.h"

namespace gyges::isolation {

struct Mount {
  enum class Kind {
    read_only,   // the host directory or file, read-only, nosuid, nodev; a symlink stays a symlink
    overlay,     // the host directory below a private writable layer: changes stay in the sandbox
    fresh,       // an empty writable directory
    read_write,  // the host directory itself; needs the grant writable_host_mount
  };
  Kind kind = Kind::read_only;
  std::string target;       // absolute, inside
  std::string source;       // absolute, on the host; empty: as target
  bool optional = false;    // skip silently where the source does not exist
  unsigned mode = 0755;     // of a fresh directory
  bool agent_owned = true;  // of a fresh directory
};

struct Filesystem {
  std::vector<Mount> mounts;
  std::vector<std::string> masked;   // paths inside that read as empty
  std::vector<std::string> devices;  // names below /dev
  enum class Workspace { none, read_only, overlay };
  Workspace workspace = Workspace::none;  // how `gyges run` shows the caller's directory
};

struct Identity {
  std::string hostname = "localhost";
  std::string user = "user";
  std::uint32_t uid = 1000;
  std::uint32_t gid = 1000;
  std::string home = "/home/user";
};

struct SeccompRules {
  std::string profile = "default";
  std::vector<SyscallRule> allow;            // added to the profile
  std::vector<SyscallRule> deny;             // removed from it; wins over allow
  std::vector<std::string> socket_families;  // "unix", "inet", "inet6"
};

// 0 means no limit of Gyges's own.
struct Limits {
  std::uint64_t wall_seconds = 0;
  std::uint64_t cpu_seconds = 0;   // per process
  std::uint64_t memory_bytes = 0;  // per process data segment; whole tree where cgroups can be had
  std::uint64_t processes = 0;     // whole tree
  std::uint64_t open_files = 0;    // per process
  std::uint64_t file_bytes = 0;    // largest single file
  std::uint64_t disk_bytes = 0;    // all writable directories together
  std::uint64_t inodes = 0;
  std::uint64_t output_bytes = 0;  // standard output and error of one command
  // Whether memory_bytes and processes must be limits of the sandbox as a whole, which takes a
  // cgroup, or may be those of each process and of the user where none can be had.
  bool memory_of_sandbox = false;
  bool processes_of_sandbox = false;
};

struct RecorderRules {
  std::string backend = "auto";  // auto, ebpf, ptrace, off
  std::uint32_t buffer_bytes = 64;
  std::vector<std::string> contents;         // files, pipes, sockets, terminals: recorded whole
  std::uint32_t content_bytes = 64U << 10U;  // the most of one call
  std::uint32_t ring_bytes = 4U << 20U;
};

struct CueRules {
  std::uint64_t uptime_seconds = 0;  // added to the host's uptime through a time namespace
  // Whether the mechanisms of docs/cue_mechanisms.md act on what a persona gives them.
  bool proc_files = true;
  bool sysfs = true;
  bool sysfs_network = true;
  bool init_name = true;
  bool pid_numbers = true;
  bool decoys = true;
  bool container_marks = true;
  bool system_bus = true;
  // Groups of system calls that are answered for a persona (emulation.h).
  std::vector<std::string> emulate = {"uname", "sysinfo",       "affinity",  "statfs",
                                      "prctl", "process_files", "namespaces"};
};

struct Policy {
  std::string name;
  Filesystem filesystem;
  Identity identity;
  std::vector<std::pair<std::string, std::string>> environment_set;
  std::vector<std::string> environment_pass;  // names taken over from the caller
  SeccompRules seccomp;
  LandlockRules landlock;
  std::vector<std::string> capabilities;  // kept inside, "CAP_..."; dangerous ones need a grant
  Limits limits;
  network::NetworkPolicy network;
  RecorderRules recorder;
  CueRules cues;
  std::vector<std::string> grants;  // dangerous permissions, stated one by one
};

// `name_or_path` is the name of a shipped preset ("default") or a path to a file.
Result<Policy> load_policy(std::string_view name_or_path);

// False where the filter surely refuses to make a ring of io_uring.
bool may_use_io_uring(const Policy& policy);

// Names of the shipped presets, sorted.
std::vector<std::string> preset_names();

// From an already validated JSON value; `source` names it in errors.
Result<Policy> policy_from_json(const nlohmann::json& value, std::string_view source);
nlohmann::json policy_to_json(const Policy& policy);

// The environment of a command under the policy: set values and passed-through ones, plus HOME,
// USER, LOGNAME and PATH where the policy does not set them.
std::vector<std::string> command_environment(const Policy& policy);

}  // namespace gyges::isolation
