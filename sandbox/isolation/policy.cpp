#include "sandbox/isolation/policy.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <set>

#include "base/assets.h"
#include "base/json.h"
#include "base/json_document.h"
#include "base/text.h"
#include "sandbox/isolation/capabilities.h"

namespace gyges::isolation {
namespace {

using nlohmann::json;

struct KindName {
  Mount::Kind kind;
  std::string_view name;
};
constexpr std::array mount_kinds{
    KindName{Mount::Kind::read_only, "read_only"}, KindName{Mount::Kind::overlay, "overlay"},
    KindName{Mount::Kind::fresh, "fresh"}, KindName{Mount::Kind::read_write, "read_write"}};

struct WorkspaceName {
  Filesystem::Workspace workspace;
  std::string_view name;
};
constexpr std::array workspaces{WorkspaceName{Filesystem::Workspace::none, "none"},
                                WorkspaceName{Filesystem::Workspace::read_only, "read_only"},
                                WorkspaceName{Filesystem::Workspace::overlay, "overlay"}};

struct CueSwitch {
  const char* name;
  bool CueRules::*member;
};
constexpr std::array cue_switches{CueSwitch{"proc_files", &CueRules::proc_files},
                                  CueSwitch{"sysfs", &CueRules::sysfs},
                                  CueSwitch{"sysfs_network", &CueRules::sysfs_network},
                                  CueSwitch{"init_name", &CueRules::init_name},
                                  CueSwitch{"pid_numbers", &CueRules::pid_numbers},
                                  CueSwitch{"decoys", &CueRules::decoys},
                                  CueSwitch{"container_marks", &CueRules::container_marks},
                                  CueSwitch{"system_bus", &CueRules::system_bus}};

json cues_to_json(const CueRules& rules) {
  json cues = {{"uptime_seconds", rules.uptime_seconds}, {"emulate", rules.emulate}};
  for (const auto& [name, member] : cue_switches) cues[name] = rules.*member;
  return cues;
}

template <class T>
void take(const json& from, const char* key, T& into) {
  if (auto found = from.find(key); found != from.end()) into = found->get<T>();
}

// Schemas check form; these checks need more than one place.
Status check_path(std::string_view path, std::string_view source) {
  for (const std::string& part : split(path.substr(1), '/'))
    if (part == ".." || part == "." || (part.empty() && path != "/"))
      return fail("check policy", std::string(source),
                  "the path " + quoted(path) + " has an empty, . or .. component",
                  "write the path in its shortest form, without a trailing slash");
  if (path.find('\0') != std::string_view::npos)
    return fail("check policy", std::string(source), "a path contains a NUL byte", "remove it");
  return ok();
}

bool granted(const Policy& policy, std::string_view grant) {
  return std::find(policy.grants.begin(), policy.grants.end(), grant) != policy.grants.end();
}

Status check_policy(const Policy& policy, std::string_view source) {
  std::set<std::string> targets;
  for (const Mount& mount : policy.filesystem.mounts) {
    GYGES_CHECK(check_path(mount.target, source));
    if (!mount.source.empty()) GYGES_CHECK(check_path(mount.source, source));
    if (mount.target == "/" || mount.target == "/proc" || mount.target == "/dev" ||
        mount.target.starts_with("/proc/") || mount.target.starts_with("/dev/"))
      return fail("check policy", std::string(source),
                  "a mount cannot stand at " + quoted(mount.target),
                  "list directories below /; /proc and /dev are made by the sandbox itself");
    if (!targets.insert(mount.target).second)
      return fail("check policy", std::string(source),
                  "two mounts have the target " + quoted(mount.target), "remove one of them");
    if (mount.kind == Mount::Kind::read_write && !granted(policy, "writable_host_mount"))
      return fail("check policy", std::string(source),
                  "the mount " + quoted(mount.target) + " writes to the host",
                  "use kind overlay, or state the grant writable_host_mount");
  }
  for (const std::string& path : policy.filesystem.masked) {
    GYGES_CHECK(check_path(path, source));
    // A mount over the root is not seen by who stands in it.
    if (path == "/")
      return fail("check policy", std::string(source) + " at /filesystem/masked",
                  "the root cannot be masked", "leave out the mounts that shall not be seen");
    if (path == "/proc")
      return fail("check policy", std::string(source) + " at /filesystem/masked",
                  "/proc cannot be masked as a whole",
                  "mask files in it; pid 1 counts the processes and their memory there");
    // Taken as a name it would mask nothing, without a word.
    if (path.find_first_of("*?") != std::string::npos)
      return fail("check policy", std::string(source) + " at /filesystem/masked",
                  quoted(path) + " is a pattern, and masks take names",
                  "list the paths one by one, or mask the directory that holds them");
  }
  if (policy.landlock.paths)
    for (const LandlockPath& rule : *policy.landlock.paths)
      GYGES_CHECK(check_path(rule.path, source));
  GYGES_CHECK(check_path(policy.identity.home, source));
  for (const std::string& capability : policy.capabilities) {
    if (auto known = capability_number(capability); !known)
      return fail("check policy", std::string(source) + " at /capabilities", known.error().reason,
                  known.error().cure);
    if (!granted(policy, "capability:" + capability))
      return fail("check policy", std::string(source), capability + " is kept without a grant",
                  "state the grant capability:" + capability + ", or remove the capability");
  }
  for (const auto& [name, value] : policy.environment_set)
    if (name.empty() || name.find('=') != std::string::npos ||
        name.find('\0') != std::string::npos || value.find('\0') != std::string::npos)
      return fail("check policy", std::string(source),
                  "the environment name " + quoted(name) + " or its value cannot be passed on",
                  "names are not empty and hold no '='; neither holds a NUL byte");
  if (!std::has_single_bit(policy.recorder.ring_bytes))
    return fail("check policy", std::string(source) + " at /recorder/ring_bytes",
                std::to_string(policy.recorder.ring_bytes) + " is not a power of two",
                "use for example 4194304");
  return ok();
}

Result<std::vector<SyscallRule>> read_syscall_rules(const json& seccomp, const char* key,
                                                    std::string_view source) {
  std::vector<SyscallRule> rules;
  if (!seccomp.contains(key)) return rules;
  for (const json& item : seccomp.at(key)) {
    std::string place =
        std::string(source) + " at /seccomp/" + key + "/" + std::to_string(rules.size());
    GYGES_TRY(SyscallRule rule, read_syscall_rule(item, place));
    rules.push_back(std::move(rule));
  }
  return rules;
}

json syscall_rules_to_json(const std::vector<SyscallRule>& rules) {
  json list = json::array();
  for (const SyscallRule& rule : rules) list.push_back(syscall_rule_to_json(rule));
  return list;
}

void read_filesystem(const json& from, Filesystem& filesystem) {
  if (auto mounts = from.find("mounts"); mounts != from.end()) {
    for (const json& entry : *mounts) {
      Mount mount;
      auto kind = entry.at("kind").get<std::string>();
      for (const auto& row : mount_kinds)
        if (row.name == kind) mount.kind = row.kind;
      take(entry, "target", mount.target);
      take(entry, "source", mount.source);
      take(entry, "optional", mount.optional);
      if (entry.contains("mode"))
        mount.mode = static_cast<unsigned>(
            std::strtoul(entry.at("mode").get<std::string>().c_str(), nullptr, 8));
      if (entry.contains("owner")) mount.agent_owned = entry.at("owner") == "agent";
      filesystem.mounts.push_back(std::move(mount));
    }
  }
  take(from, "masked", filesystem.masked);
  take(from, "devices", filesystem.devices);
  if (auto found = from.find("workspace"); found != from.end())
    for (const auto& row : workspaces)
      if (row.name == found->get<std::string>()) filesystem.workspace = row.workspace;
}

}  // namespace

namespace {

// `value` matches the schema already.
Result<Policy> read_policy(const json& value, std::string_view source) {
  Policy policy;
  policy.name = value.at("name").get<std::string>();
  const json none = json::object();
  auto section = [&](const char* key) -> const json& {
    auto found = value.find(key);
    return found == value.end() ? none : *found;
  };
  read_filesystem(section("filesystem"), policy.filesystem);

  const json& identity = section("identity");
  take(identity, "hostname", policy.identity.hostname);
  take(identity, "user", policy.identity.user);
  take(identity, "uid", policy.identity.uid);
  take(identity, "gid", policy.identity.gid);
  take(identity, "home", policy.identity.home);

  const json& environment = section("environment");
  if (environment.contains("set"))
    for (const auto& [name, text] : environment.at("set").items())
      policy.environment_set.emplace_back(name, text.get<std::string>());
  take(environment, "pass", policy.environment_pass);

  const json& seccomp = section("seccomp");
  take(seccomp, "profile", policy.seccomp.profile);
  GYGES_TRY(policy.seccomp.allow, read_syscall_rules(seccomp, "allow", source));
  GYGES_TRY(policy.seccomp.deny, read_syscall_rules(seccomp, "deny", source));
  take(seccomp, "socket_families", policy.seccomp.socket_families);
  GYGES_TRY(policy.landlock, read_landlock_rules(section("landlock"), source));
  take(value, "capabilities", policy.capabilities);

  const json& limits = section("limits");
  take(limits, "wall_seconds", policy.limits.wall_seconds);
  take(limits, "cpu_seconds", policy.limits.cpu_seconds);
  take(limits, "memory_bytes", policy.limits.memory_bytes);
  take(limits, "processes", policy.limits.processes);
  take(limits, "open_files", policy.limits.open_files);
  take(limits, "file_bytes", policy.limits.file_bytes);
  take(limits, "disk_bytes", policy.limits.disk_bytes);
  take(limits, "inodes", policy.limits.inodes);
  take(limits, "output_bytes", policy.limits.output_bytes);
  policy.limits.memory_of_sandbox = limits.value("memory_of", "") == "sandbox";
  policy.limits.processes_of_sandbox = limits.value("processes_of", "") == "sandbox";

  GYGES_TRY(policy.network, network::network_policy_from_json(section("network"), source));
  const json& recorder = section("recorder");
  take(recorder, "backend", policy.recorder.backend);
  take(recorder, "buffer_bytes", policy.recorder.buffer_bytes);
  take(recorder, "contents", policy.recorder.contents);
  take(recorder, "content_bytes", policy.recorder.content_bytes);
  take(recorder, "ring_bytes", policy.recorder.ring_bytes);
  const json& cues = section("cues");
  take(cues, "uptime_seconds", policy.cues.uptime_seconds);
  take(cues, "emulate", policy.cues.emulate);
  for (const auto& [name, member] : cue_switches) take(cues, name, policy.cues.*member);
  take(value, "grants", policy.grants);
  GYGES_CHECK(check_policy(policy, source));
  return policy;
}

}  // namespace

Result<Policy> policy_from_json(const json& value, std::string_view source) {
  GYGES_CHECK(validate_json(value, "policy", source));
  return read_policy(value, source);
}

json policy_to_json(const Policy& policy) {
  json mounts = json::array();
  for (const Mount& mount : policy.filesystem.mounts) {
    json entry = {{"target", mount.target}};
    for (const auto& row : mount_kinds)
      if (row.kind == mount.kind) entry["kind"] = row.name;
    if (!mount.source.empty()) entry["source"] = mount.source;
    if (mount.optional) entry["optional"] = true;
    if (mount.kind == Mount::Kind::fresh) {
      std::array<char, 8> octal{};
      std::snprintf(octal.data(), octal.size(), "%04o", mount.mode & 07777U);
      entry["mode"] = octal.data();
      entry["owner"] = mount.agent_owned ? "agent" : "root";
    }
    mounts.push_back(std::move(entry));
  }
  json filesystem = {{"mounts", mounts},
                     {"masked", policy.filesystem.masked},
                     {"devices", policy.filesystem.devices}};
  for (const auto& row : workspaces)
    if (row.workspace == policy.filesystem.workspace) filesystem["workspace"] = row.name;
  json set = json::object();
  for (const auto& [name, text] : policy.environment_set) set[name] = text;
  const Limits& limits = policy.limits;
  return {{"$schema", "gyges/policy.schema.json"},
          {"version", 1},
          {"name", policy.name},
          {"filesystem", filesystem},
          {"identity",
           {{"hostname", policy.identity.hostname},
            {"user", policy.identity.user},
            {"uid", policy.identity.uid},
            {"gid", policy.identity.gid},
            {"home", policy.identity.home}}},
          {"environment", {{"set", set}, {"pass", policy.environment_pass}}},
          {"seccomp",
           {{"profile", policy.seccomp.profile},
            {"allow", syscall_rules_to_json(policy.seccomp.allow)},
            {"deny", syscall_rules_to_json(policy.seccomp.deny)},
            {"socket_families", policy.seccomp.socket_families}}},
          {"landlock", landlock_rules_to_json(policy.landlock)},
          {"capabilities", policy.capabilities},
          {"limits",
           {{"wall_seconds", limits.wall_seconds},
            {"cpu_seconds", limits.cpu_seconds},
            {"memory_bytes", limits.memory_bytes},
            {"processes", limits.processes},
            {"open_files", limits.open_files},
            {"file_bytes", limits.file_bytes},
            {"disk_bytes", limits.disk_bytes},
            {"inodes", limits.inodes},
            {"output_bytes", limits.output_bytes},
            {"memory_of", limits.memory_of_sandbox ? "sandbox" : "sandbox_or_process"},
            {"processes_of", limits.processes_of_sandbox ? "sandbox" : "sandbox_or_user"}}},
          {"network", network::network_policy_to_json(policy.network)},
          {"recorder",
           {{"backend", policy.recorder.backend},
            {"buffer_bytes", policy.recorder.buffer_bytes},
            {"contents", policy.recorder.contents},
            {"content_bytes", policy.recorder.content_bytes},
            {"ring_bytes", policy.recorder.ring_bytes}}},
          {"cues", cues_to_json(policy.cues)},
          {"grants", policy.grants}};
}

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (std::string_view name : assets_below("policies/presets/")) {
    name.remove_prefix(std::string_view("policies/presets/").size());
    names.emplace_back(name.substr(0, name.size() - std::string_view(".json").size()));
  }
  return names;
}

bool may_use_io_uring(const Policy& policy) {
  static constexpr std::string_view shipped[] = {"default", "strict", "listed"};
  const SeccompRules& rules = policy.seccomp;
  // A profile of the user's own may allow anything.
  return std::find(std::begin(shipped), std::end(shipped), rules.profile) == std::end(shipped) ||
         std::find(policy.grants.begin(), policy.grants.end(), "io_uring") != policy.grants.end() ||
         std::any_of(rules.allow.begin(), rules.allow.end(),
                     [](const SyscallRule& rule) { return rule.syscall == "io_uring_setup"; });
}

Result<Policy> load_policy(std::string_view name_or_path) {
  if (name_or_path.find('/') == std::string_view::npos && !name_or_path.ends_with(".json")) {
    std::string file = "policies/presets/" + std::string(name_or_path) + ".json";
    auto preset = asset(file);
    if (!preset) {
      return fail("find policy", quoted(name_or_path), "no preset has this name",
                  "use one of " + join(preset_names(), ", ") + ", or a path with a slash");
    }
    GYGES_TRY(json value, parse_json(*preset, file));
    // Part of this build and held against the schema by its tests: validating anew would cost every
    // start of a sandbox a millisecond.
    return read_policy(value, file);
  }
  GYGES_TRY(json value, load_json(std::filesystem::path(name_or_path), "policy"));
  return policy_from_json(value, name_or_path);
}

std::vector<std::string> command_environment(const Policy& policy) {
  std::vector<std::pair<std::string, std::string>> values = {
      {"HOME", policy.identity.home},
      {"USER", policy.identity.user},
      {"LOGNAME", policy.identity.user},
      {"PATH", "/usr/local/bin:/usr/bin:/bin"}};
  auto put = [&](const std::string& name, const std::string& text) {
    for (auto& entry : values)
      if (entry.first == name) {
        entry.second = text;
        return;
      }
    values.emplace_back(name, text);
  };
  for (const std::string& name : policy.environment_pass)
    if (const char* text = std::getenv(name.c_str())) put(name, text);
  for (const auto& [name, text] : policy.environment_set) put(name, text);
  std::vector<std::string> environment;
  environment.reserve(values.size());
  for (const auto& [name, text] : values) environment.push_back(name + "=" + text);
  return environment;
}

}  // namespace gyges::isolation
