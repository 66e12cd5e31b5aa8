#include "sandbox/isolation/host_switches.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/files.h"
#include "base/text.h"

namespace gyges::isolation {
namespace {

std::string first_line(const std::filesystem::path& file) {
  auto text = read_file(file.string());
  return text ? text->substr(0, text->find('\n')) : std::string();
}

std::string covered_below_proc(const std::filesystem::path& root) {
  auto mounts = read_file((root / "proc/self/mountinfo").string());
  if (!mounts) return {};
  for (const std::string& line : split(*mounts, '\n')) {
    std::vector<std::string> fields = split(line, ' ');
    // What is mounted there to be used, and covers nothing.
    if (fields.size() > 4 && fields[4].starts_with("/proc/") &&
        fields[4] != "/proc/sys/fs/binfmt_misc" && fields[4] != "/proc/fs/nfsd")
      return fields[4];
  }
  return {};
}

}  // namespace

HostSwitches read_host_switches(const std::filesystem::path& root) {
  HostSwitches host;
  std::filesystem::path sys = root / "proc/sys";
  host.apparmor_restricts = first_line(sys / "kernel/apparmor_restrict_unprivileged_userns") == "1";
  host.clone_switched_off = first_line(sys / "kernel/unprivileged_userns_clone") == "0";
  host.no_user_namespaces = first_line(sys / "user/max_user_namespaces") == "0";
  host.ptrace_scope = std::atoi(first_line(sys / "kernel/yama/ptrace_scope").c_str());
  std::error_code ignored;
  host.container = std::filesystem::exists(root / ".dockerenv", ignored) ||
                   std::filesystem::exists(root / "run/.containerenv", ignored);
  if (auto groups = read_file((root / "proc/1/cgroup").string()))
    for (const char* word : {"docker", "kubepods", "containerd", "libpod"})
      host.container |= groups->find(word) != std::string::npos;
  if (auto status = read_file((root / "proc/self/status").string()))
    host.filtered = status->find("\nSeccomp:\t2") != std::string::npos;
  host.covered_proc = covered_below_proc(root);
  return host;
}

Facility user_namespace_facility(const HostSwitches& host, int code, bool privileged) {
  Facility facility{"user_namespaces", code == 0, code == 0 ? "can be made" : std::strerror(code),
                    ""};
  if (code == 0 && host.apparmor_restricts && !privileged) {
    facility.available = false;
    facility.reason =
        "AppArmor takes their privileges away (kernel.apparmor_restrict_unprivileged_userns=1)";
    facility.cure =
        "as root: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or install an AppArmor "
        "profile with `userns,` for the gyges binary";
    return facility;
  }
  if (code == 0) return facility;
  if (host.no_user_namespaces || code == ENOSPC) {
    facility.reason += " (user.max_user_namespaces)";
    facility.cure = "as root: sysctl -w user.max_user_namespaces=15000";
  } else if (host.clone_switched_off) {
    facility.reason += " (kernel.unprivileged_userns_clone=0)";
    facility.cure = "as root: sysctl -w kernel.unprivileged_userns_clone=1";
  } else if (host.apparmor_restricts) {
    facility.reason += " (kernel.apparmor_restrict_unprivileged_userns=1)";
    facility.cure = "as root: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0";
  } else if (host.container || host.filtered) {
    facility.reason += host.container ? " (inside a container)" : " (a seccomp filter is in force)";
    facility.cure =
        "start the container with a seccomp profile that allows user namespaces (for Docker "
        "--security-opt seccomp=unconfined), or run gyges outside it";
  } else {
    facility.cure = "a kernel with CONFIG_USER_NS";
  }
  return facility;
}

Facility proc_facility(const HostSwitches& host, bool privileged) {
  if (privileged || host.covered_proc.empty())
    return {"fresh_proc", true, "a /proc of its own can be mounted", ""};
  return {
      "fresh_proc", false,
      "something is mounted on " + printable(host.covered_proc) +
          (host.container ? ", as container runtimes do" : "") +
          ": the kernel refuses a fresh /proc to an ordinary user",
      "for Docker --security-opt systempaths=unconfined (Podman: unmask=ALL), on a host: unmount "
      "it, or run as root"};
}

Facility yama_facility(const HostSwitches& host) {
  // Up to 2 the recorder may trace: it owns the user namespace of what it traces, or is root.
  if (host.ptrace_scope < 3)
    return {"yama", true, "kernel.yama.ptrace_scope=" + std::to_string(host.ptrace_scope), ""};
  return {"yama", false, "forbids tracing (kernel.yama.ptrace_scope=3) until a restart",
          "set kernel.yama.ptrace_scope to 1 at boot, or record as root with BPF"};
}

}  // namespace gyges::isolation
