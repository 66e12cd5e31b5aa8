// Switches of a host that decide whether sandboxes can be made without privilege, and what to do
// about them, for `gyges doctor`.
#pragma once

#include <filesystem>
#include <string>

#include "base/facility.h"

namespace gyges::isolation {

struct HostSwitches {
  bool apparmor_restricts = false;  // Ubuntu 23.10 and later: privileges inside are taken away
  bool clone_switched_off = false;  // Debian: unprivileged_userns_clone=0
  bool no_user_namespaces = false;  // user.max_user_namespaces=0
  int ptrace_scope = 0;             // yama; 3: nobody may trace
  bool container = false;           // Docker, Podman, Kubernetes, by what they leave
  bool filtered = false;            // this process has a seccomp filter already
  std::string covered_proc;         // a path below /proc that something is mounted on; empty: none
};

// `root` is / but for tests.
HostSwitches read_host_switches(const std::filesystem::path& root);

// `code` is the errno of trying to make one, 0 if it worked.
Facility user_namespace_facility(const HostSwitches& host, int code, bool privileged);

// Whether a fresh /proc can be mounted: without privilege the kernel refuses one that would show
// more than the present one does (mount_too_revealing).
Facility proc_facility(const HostSwitches& host, bool privileged);

// Whether the yama security module lets the ptrace recorder work.
Facility yama_facility(const HostSwitches& host);

}  // namespace gyges::isolation
