// The persona's daemons as units of systemd, and those that every machine of its kind has beside
// them. Names and words are those of Debian's packages.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/text.h"
#include "sandbox/bus/names.h"
#include "sandbox/cues/seeded_stream.h"
#include "sandbox/cues/system_bus.h"
#include "sandbox/cues/unit_properties.h"
#include "sandbox/cues/unit_table.h"

namespace gyges::cues {
namespace {

using bus::row;
using nlohmann::json;

const Daemon* daemon_of(const Machine& machine, std::uint32_t pid) {
  for (const Daemon& daemon : machine.daemons)
    if (daemon.pid == pid) return &daemon;
  return nullptr;
}

// "/system.slice/system-getty.slice/getty@tty1.service" and what stands before its group's own.
std::string unit_in(const std::string& group) {
  for (const std::string& part : split(group, '/'))
    if (part.ends_with(".service") || part.ends_with(".scope")) return part;
  return {};
}

// Of the persona's own unit file.
std::string field_of_file(const Persona& persona, const std::string& path, std::string_view key) {
  for (const WorldFile& file : persona.files)
    if (file.path == path)
      for (const std::string& line : split(file.content, '\n'))
        if (line.starts_with(key)) return line.substr(key.size());
  return {};
}

UnitLook service_of(const Persona& persona, const MachineView& view, const ProcessLook& look,
                    const BusMoment& moment) {
  const Daemon* daemon = daemon_of(view.machine, look.pid);
  UnitLook unit;
  unit.name = unit_in(look.unit);
  unit.description = unit.name;
  unit.path = "/lib/systemd/system/" + unit.name;
  if (const std::size_t at = unit.name.find('@'); at != std::string::npos)
    unit.path = "/lib/systemd/system/" + unit.name.substr(0, at + 1) + ".service";
  unit.file_state = "enabled";
  for (const KnownService& known : known_services)
    if (known.name == unit.name) {
      unit.description = known.description;
      unit.documentation = known.documentation;
      unit.file_state = known.file_state;
      unit.type = known.type;
      unit.bus_name = known.bus_name;
      unit.triggered_by = known.triggered_by;
    }
  const std::string own = "/etc/systemd/system/" + unit.name;
  if (const std::string text = field_of_file(persona, own, "Description="); !text.empty()) {
    unit.description = text;
    unit.path = own;
  }
  unit.sub = "running";
  unit.group = "/" + look.unit.substr(0, look.unit.find(unit.name)) + unit.name;
  unit.slice = look.unit.find("system-getty.slice") != std::string::npos ? "system-getty.slice"
                                                                         : "system.slice";
  unit.entered = moment.boot + look.start_ticks * 10000;
  unit.pid = look.pid;
  unit.memory = look.resident_kilobytes * 1024;
  unit.tasks = look.threads;
  unit.processor_nanoseconds = (look.user_ticks + look.system_ticks) * 10000000;
  if (daemon != nullptr) {
    unit.arguments.assign(daemon->argv.begin() + static_cast<long>(daemon->program()),
                          daemon->argv.end());
    // "sshd: /usr/sbin/sshd -D [listener] ..." was started by what it says of itself.
    if (const std::vector<std::string> words = split(daemon->argv.front(), ' ');
        words.size() > 2 && words[0].ends_with(":"))
      unit.arguments = {words[1], words[2]};
    unit.processes = row(row("/" + look.unit, look.pid, join(daemon->argv, " ")));
  }
  return unit;
}

// Of the session: the scope, the slices, and the user's own systemd where there is one.
void add_session(const Persona& persona, const MachineView& view, const BusMoment& moment,
                 std::vector<UnitLook>& units) {
  auto add = [&](std::string name, std::string description, std::string sub, std::string group) {
    UnitLook unit;
    unit.name = std::move(name);
    unit.description = std::move(description);
    unit.sub = std::move(sub);
    unit.group = std::move(group);
    unit.entered = login_time(persona, moment);
    units.push_back(std::move(unit));
    return &units.back();
  };
  const std::string slice = fmt::format("user-{}.slice", view.user);
  const std::string place = "/user.slice/" + slice + "/";
  UnitLook* scope = add(session_scope(view),
                        fmt::format("Session {} of User {}", view.session, persona.user.name),
                        "running", place + session_scope(view));
  scope->slice = slice;
  scope->path = "/run/systemd/transient/" + session_scope(view);
  scope->file_state = "transient";
  add(slice, fmt::format("User Slice of UID {}", view.user), "active", "/user.slice/" + slice);
  if (!view.user_directory) return;
  UnitLook* runtime = add(fmt::format("user-runtime-dir@{}.service", view.user),
                          fmt::format("User Runtime Directory /run/user/{}", view.user), "exited",
                          place + fmt::format("user-runtime-dir@{}.service", view.user));
  runtime->path = "/lib/systemd/system/user-runtime-dir@.service";
  runtime->file_state = "static";
  runtime->slice = slice;
  for (const ProcessLook& look : view.processes)
    if (look.unit.empty() && !look.kernel && look.name == "systemd") {
      UnitLook* manager = add(fmt::format("user@{}.service", view.user),
                              fmt::format("User Manager for UID {}", view.user), "running",
                              place + fmt::format("user@{}.service", view.user));
      manager->path = "/lib/systemd/system/user@.service";
      manager->file_state = "static";
      manager->slice = slice;
      manager->type = "notify";
      manager->pid = look.pid;
      manager->memory = look.resident_kilobytes * 1024;
      manager->tasks = look.threads;
      manager->processor_nanoseconds = (look.user_ticks + look.system_ticks) * 10000000;
      manager->processes =
          row(row(manager->group + "/init.scope", look.pid, "/lib/systemd/systemd --user"));
    }
}

std::string unit_of_path(std::string_view path) {
  if (path == "/") return "-";
  std::string name;
  for (const char c : path.substr(1)) {
    if (c == '/')
      name += '-';
    else if (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.' || c == ':')
      name += c;
    else
      name += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  }
  return name;
}

void add_disks(const MachineView& view, const BusMoment& moment, std::vector<UnitLook>& units) {
  for (const MountRow& mount : mount_rows(view)) {
    // What is not a unit: mounts below others of the kernel's, and those of a session.
    static const std::set<std::string_view> shown{"/dev/hugepages",      "/dev/mqueue",
                                                  "/run/lock",           "/sys/kernel/debug",
                                                  "/sys/kernel/tracing", "/sys/fs/fuse/connections",
                                                  "/sys/kernel/config"};
    const bool disk = mount.source.starts_with("/dev/");
    if (!disk && !shown.contains(mount.point)) continue;
    UnitLook unit;
    unit.name = unit_of_path(mount.point) + ".mount";
    unit.description = mount.point == "/" ? "Root Mount" : mount.point;
    if (mount.point == "/dev/hugepages") unit.description = "Huge Pages File System";
    if (mount.point == "/dev/mqueue") unit.description = "POSIX Message Queue File System";
    if (mount.point == "/run/lock") unit.description = "Legacy Locks Directory /run/lock";
    if (mount.point == "/sys/kernel/debug") unit.description = "Kernel Debug File System";
    if (mount.point == "/sys/kernel/tracing") unit.description = "Kernel Trace File System";
    if (mount.point == "/sys/kernel/config") unit.description = "Kernel Configuration File System";
    if (mount.point == "/sys/fs/fuse/connections") unit.description = "FUSE Control File System";
    unit.sub = "mounted";
    unit.path = disk ? "/run/systemd/generator/" + unit.name : "/lib/systemd/system/" + unit.name;
    unit.file_state = disk ? "generated" : "static";
    unit.entered = moment.boot + 1400000;
    unit.where = mount.point;
    unit.what = mount.source;
    unit.options = mount.options;
    unit.mount_type = mount.type;
    unit.slice = "system.slice";
    unit.group = "/system.slice/" + unit.name;
    units.push_back(std::move(unit));
  }
  for (const Disk& disk : view.machine.disks)
    for (const Partition& partition : disk.partitions) {
      UnitLook unit;
      unit.name = unit_of_path("/dev/" + partition.name) + ".device";
      unit.description = disk.model.empty() ? "/dev/" + partition.name
                                            : disk.model + " " + std::to_string(partition.number);
      unit.sub = "plugged";
      unit.entered = moment.boot + 1200000;
      units.push_back(std::move(unit));
    }
}

void add_known(const MachineView& view, const BusMoment& moment, std::vector<UnitLook>& units) {
  const auto runs = [&](std::string_view name) {
    return std::any_of(units.begin(), units.end(),
                       [&](const UnitLook& unit) { return unit.name == name; });
  };
  std::uint64_t at = moment.boot + 900000;
  constexpr std::uint64_t day = 86400ULL * 1000000;
  for (const KnownUnit& known : known_units) {
    if (!known.with.empty() && !runs(known.with)) continue;
    if (runs(known.name)) continue;
    UnitLook unit;
    unit.name = known.name;
    unit.description = known.description;
    unit.active = known.active;
    unit.sub = known.sub;
    unit.file_state = known.file_state;
    unit.documentation = known.documentation;
    if (unit.file_state.empty() && !unit.name.ends_with(".slice")) unit.file_state = "static";
    unit.path = "/lib/systemd/system/" + unit.name;
    unit.triggers = known.triggers;
    unit.listens = known.listens;
    unit.entered = unit.active == "active" ? at : 0;
    at += 31000;  // before what comes after basic.target
    if (unit.name.ends_with(".service")) {
      unit.type = "oneshot";
      unit.slice = "system.slice";
      unit.group = unit.active == "active" ? "/system.slice/" + unit.name : "";
    }
    if (unit.name.ends_with(".slice")) unit.group = unit.name == "-.slice" ? "" : "/" + unit.name;
    if (unit.name == "system-getty.slice") unit.group = "/system.slice/" + unit.name;
    if (unit.name.ends_with(".timer")) {
      SeededStream stream(view.seed, "machine/timer/" + unit.name);
      const std::uint64_t period = known.days * day;
      const std::uint64_t phase = known.hour >= 0
                                      ? static_cast<std::uint64_t>(known.hour) * 3600000000ULL
                                      : stream.below(86400) * 1000000;
      // Midnights since 1970; weekly ones are Monday's, and 1970 began on a Thursday.
      const std::uint64_t offset = (known.days == 7 ? 4 * day : 0) + phase;
      unit.last = (moment.now - offset) / period * period + offset;
      unit.next = unit.last + period;
      if (unit.last < moment.boot) unit.last = moment.boot + 4000000;
    }
    units.push_back(std::move(unit));
  }
}

// Services that sysinit.target waits for (DefaultDependencies=no in their files).
bool brings_system_up(const UnitLook& unit) {
  static constexpr std::array names{"apparmor.",
                                    "keyboard-setup.",
                                    "kmod-static-nodes.",
                                    "modprobe@",
                                    "systemd-fsck-root.",
                                    "systemd-journal",
                                    "systemd-modules-load.",
                                    "systemd-random-seed.",
                                    "systemd-remount-fs.",
                                    "systemd-sysctl.",
                                    "systemd-sysusers.",
                                    "systemd-tmpfiles-setup",
                                    "systemd-udev",
                                    "systemd-update-utmp."};
  return unit.name.ends_with(".service") &&
         std::any_of(names.begin(), names.end(),
                     [&](const char* name) { return unit.name.starts_with(name); });
}

// What the targets of a start hold together.
void add_relations(std::vector<UnitLook>& units) {
  std::map<std::string, UnitLook*, std::less<>> named;
  for (UnitLook& unit : units) named[unit.name] = &unit;
  auto needs = [&](std::string_view target, const std::string& other) {
    const auto found = named.find(target);
    if (found == named.end() || !named.contains(other)) return;
    found->second->wants.push_back(other);
    named[other]->wanted_by.emplace_back(target);
  };
  needs("graphical.target", "multi-user.target");
  needs("multi-user.target", "basic.target");
  needs("basic.target", "sysinit.target");
  for (const char* other : {"paths.target", "slices.target", "sockets.target", "timers.target"})
    needs("basic.target", other);
  for (const char* other : {"cryptsetup.target", "local-fs.target", "swap.target",
                            "systemd-journald.service", "systemd-udevd.service"})
    needs("sysinit.target", other);
  for (UnitLook& unit : units) unit.early = brings_system_up(unit);
  for (const UnitLook& unit : std::vector<UnitLook>(units)) {
    if (unit.name.ends_with(".timer")) needs("timers.target", unit.name);
    if (unit.name.ends_with(".socket")) needs("sockets.target", unit.name);
    if (unit.name.ends_with(".service") && unit.file_state == "enabled")
      needs(unit.name.starts_with("getty@") ? "getty.target"
            : unit.early                    ? "sysinit.target"
                                            : "multi-user.target",
            unit.name);
  }
  needs("multi-user.target", "getty.target");
  needs("multi-user.target", "dbus.service");
  needs("multi-user.target", "systemd-logind.service");
}

// No target is reached before what it wants. When the last one is.
std::uint64_t order_targets(const BusMoment& moment, std::vector<UnitLook>& units) {
  std::map<std::string_view, UnitLook*> named;
  for (UnitLook& unit : units) named[unit.name] = &unit;
  std::uint64_t finished = moment.boot + 9870000;
  bool moved = true;
  for (int round = 0; moved && round < 8; ++round) {
    moved = false;
    for (UnitLook& unit : units) {
      if (!unit.name.ends_with(".target") || unit.active != "active") continue;
      for (const std::string& other : unit.wants) {
        const UnitLook& wanted = *named[other];
        if (wanted.active != "active" || unit.entered > wanted.entered) continue;
        unit.entered = wanted.entered + 3000;
        moved = true;
      }
      finished = std::max(finished, unit.entered + 12000);
    }
  }
  return finished;
}

}  // namespace

void add_units(const Persona& persona, const MachineView& view, const BusMoment& moment,
               json& document) {
  std::vector<UnitLook> units;
  units.reserve(256);  // rows are pointed to while they are filled
  for (const ProcessLook& look : view.processes)
    if (!look.kernel && look.pid != 1 && !look.unit.empty() && !unit_in(look.unit).empty())
      units.push_back(service_of(persona, view, look, moment));
  add_session(persona, view, moment, units);
  add_disks(view, moment, units);
  add_known(view, moment, units);
  UnitLook init;
  init.name = "init.scope";
  init.description = "System and Service Manager";
  init.sub = "running";
  init.entered = moment.boot + 800000;
  init.group = "/init.scope";
  init.slice = "-.slice";
  init.processes = row(row("/init.scope", 1, join(view.machine.init_arguments, " ")));
  units.push_back(std::move(init));
  add_relations(units);
  const std::uint64_t finished = order_targets(moment, units);
  std::sort(units.begin(), units.end(),
            [](const UnitLook& one, const UnitLook& other) { return one.name < other.name; });
  // Debian's default stands whether there is a screen or not.
  document["default_target"] = "graphical.target";
  document["units"] = json::array();
  document["unit_files"] = json::array();
  std::set<std::string> files;
  for (UnitLook& unit : units) {
    const std::string path = "/org/freedesktop/systemd1/unit/" + bus::escaped(unit.name);
    document["units"].push_back({{"name", unit.name},
                                 {"description", unit.description},
                                 {"load", "loaded"},
                                 {"active", unit.active},
                                 {"sub", unit.sub},
                                 {"follows", ""},
                                 {"path", path},
                                 {"group", unit.group},
                                 {"processes", unit.processes}});
    json& object = document["objects"][path];
    object["name"] = "org.freedesktop.systemd1";
    unit.most_tasks = most_tasks_of(unit.name, view);
    if (unit.name.ends_with(".service") && unit.entered > 0)
      unit.took = 6000 + SeededStream(view.seed, "machine/unit/" + unit.name).below(380000);
    object["interfaces"] = unit_properties(unit, moment);
    if (!unit.path.empty() && !unit.file_state.empty() && files.insert(unit.path).second)
      document["unit_files"].push_back(row(unit.path, unit.file_state));
  }
  for (const auto& [path, state] : other_unit_files)
    if (files.insert(std::string("/lib/systemd/system/") + path).second)
      document["unit_files"].push_back(row(std::string("/lib/systemd/system/") + path, state));
  document["aliases"] = json::object();
  for (const auto& [alias, name] : unit_aliases)
    if (std::any_of(units.begin(), units.end(),
                    [&known = name](const UnitLook& unit) { return unit.name == known; }))
      document["aliases"][alias] = name;
  document["absent"] = absent_unit_properties(view);
  json& manager = document["objects"]["/org/freedesktop/systemd1"];
  manager["name"] = "org.freedesktop.systemd1";
  manager["interfaces"]["org.freedesktop.systemd1.Manager"] =
      manager_properties(view, moment, units.size(), finished);
}

}  // namespace gyges::cues
