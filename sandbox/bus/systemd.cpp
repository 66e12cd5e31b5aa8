// org.freedesktop.systemd1: units that are there, and that they stay as they are.
#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <array>

#include "sandbox/bus/answers.h"
#include "sandbox/bus/replies.h"

namespace gyges::bus {

using nlohmann::json;

namespace {

constexpr const char* service = "org.freedesktop.systemd1";
constexpr const char* no_unit = "org.freedesktop.systemd1.NoSuchUnit";
constexpr const char* unit_place = "/org/freedesktop/systemd1/unit/";

bool matches(const std::vector<std::string>& patterns, const std::string& text) {
  return patterns.empty() ||
         std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
           return ::fnmatch(pattern.c_str(), text.c_str(), FNM_NOESCAPE) == 0;
         });
}

json unit_row(const json& unit) {
  return row(unit["name"], unit["description"], unit["load"], unit["active"], unit["sub"],
             unit["follows"], unit["path"], 0, "", "/");
}

// Who has no privilege is told so; root finds every service configured so that only others may
// start or end it, and stays in a machine that is as it was.
Message refuse(DBusMessage& message, const Caller& caller, const std::string& unit) {
  if (caller.uid != 0 || unit.empty()) return unauthorized(message, caller);
  return failure(message, "org.freedesktop.systemd1.OnlyByDependency",
                 "Operation refused, unit " + unit +
                     " may be requested by dependency only (it is configured to refuse manual "
                     "start/stop).");
}

}  // namespace

Message Answers::list_units(Call& call, bool by_names) {
  std::vector<std::string> states, patterns;
  if (!dbus_message_has_signature(&call.message, "")) {
    const char* wanted = by_names || call.member == "ListUnitsFiltered" ? "as" : "asas";
    const auto asked = lists(call.message, wanted);
    if (!asked) return wrong_arguments(call.message, wanted);
    (by_names ? patterns : states) = (*asked)[0];
    if (asked->size() > 1) patterns = (*asked)[1];
  }
  json found = json::array();
  if (by_names) {
    for (const std::string& name : patterns)
      if (const json* unit = unit_named(name))
        found.push_back(unit_row(*unit));
      else
        found.push_back(row(name, name, "not-found", "inactive", "dead", "",
                            unit_place + escaped(name), 0, "", "/"));
    return reply(call.message, "a(ssssssouso)", row(found));
  }
  for (const json& unit : document_["units"]) {
    const bool wanted_state =
        states.empty() || std::any_of(states.begin(), states.end(), [&](const std::string& state) {
          return unit["load"] == state || unit["active"] == state || unit["sub"] == state;
        });
    if (wanted_state && matches(patterns, unit["name"].get<std::string>()))
      found.push_back(unit_row(unit));
  }
  return reply(call.message, "a(ssssssouso)", row(found));
}

Message Answers::unit_files(Call& call) {
  std::vector<std::string> states, patterns;
  if (call.member == "ListUnitFilesByPatterns") {
    const auto asked = lists(call.message, "asas");
    if (!asked) return wrong_arguments(call.message, "asas");
    states = (*asked)[0];
    patterns = (*asked)[1];
  }
  json found = json::array();
  for (const json& file : document_["unit_files"]) {
    const auto path = file[0].get<std::string>();
    if ((states.empty() || matches(states, file[1].get<std::string>())) &&
        matches(patterns, path.substr(path.rfind('/') + 1)))
      found.push_back(file);
  }
  return reply(call.message, "a(ss)", row(found));
}

Message Answers::manager(Call& call) {
  if (call.service != service || call.path != "/org/freedesktop/systemd1" ||
      (!call.interface.empty() && call.interface != "org.freedesktop.systemd1.Manager"))
    return nullptr;
  DBusMessage& message = call.message;
  const std::string& member = call.member;
  if (member == "ListUnits" || member == "ListUnitsFiltered" || member == "ListUnitsByPatterns")
    return list_units(call, false);
  if (member == "ListUnitsByNames") return list_units(call, true);
  if (member == "ListUnitFiles" || member == "ListUnitFilesByPatterns") return unit_files(call);
  if (member == "ListJobs") return reply(message, "a(usssoo)", row(json::array()));
  if (member == "Subscribe" || member == "Unsubscribe") return reply(message, "", json::array());
  if (member == "GetDefaultTarget") return reply(message, "s", row(document_["default_target"]));
  if (member == "GetUnitByPID" || member == "GetUnitByPIDFD") {
    const auto asked = arguments(message, "u");
    if (!asked) return wrong_arguments(message, "u");
    for (const json& unit : document_["units"])
      for (const json& process : unit["processes"])
        if (std::to_string(process[1].get<std::uint32_t>()) == (*asked)[0])
          return reply(message, "o", row(unit["path"]));
    return failure(message, "org.freedesktop.systemd1.NoUnitForPID",
                   "PID " + (*asked)[0] + " does not belong to any loaded unit.");
  }
  const bool named = member == "GetUnit" || member == "LoadUnit" || member == "GetUnitProcesses" ||
                     member == "GetUnitFileState";
  if (!named) return nullptr;
  const auto asked = arguments(message, "s");
  if (!asked) return wrong_arguments(message, "s");
  const std::string& name = (*asked)[0];
  if (member == "GetUnitFileState") {
    for (const json& file : document_["unit_files"]) {
      const auto path = file[0].get<std::string>();
      if (path.substr(path.rfind('/') + 1) == name) return reply(message, "s", row(file[1]));
    }
    return failure(message, DBUS_ERROR_FILE_NOT_FOUND, "No such file or directory");
  }
  const json* unit = unit_named(name);
  if (member == "LoadUnit") {
    json scratch;
    const std::string path = unit_place + escaped(name);
    if (unit == nullptr && object(path, scratch) == nullptr)
      return failure(message, DBUS_ERROR_INVALID_ARGS, "Unit name " + name + " is not valid.");
    return reply(message, "o", row(path));
  }
  if (unit == nullptr) return failure(message, no_unit, "Unit " + name + " not loaded.");
  if (member == "GetUnit") return reply(message, "o", row((*unit)["path"]));
  // A slice has the processes of all that is in its control group.
  json processes = (*unit)["processes"];
  if (name.ends_with(".slice")) {
    const std::string group = unit->value("group", "");
    for (const json& other : document_["units"])
      for (const json& process : other["processes"])
        if (process[0].get<std::string>().starts_with(group + "/")) processes.push_back(process);
  }
  return reply(message, "a(sus)", row(processes));
}

// Also at units themselves, and at the other services: what changes anything.
Message Answers::jobs(Call& call) {
  if (call.service == service && call.path == "/org/freedesktop/systemd1") {
    constexpr std::array on_units{"StartUnit",
                                  "StartUnitReplace",
                                  "StopUnit",
                                  "ReloadUnit",
                                  "RestartUnit",
                                  "TryRestartUnit",
                                  "ReloadOrRestartUnit",
                                  "ReloadOrTryRestartUnit",
                                  "EnqueueUnitJob",
                                  "KillUnit",
                                  "CleanUnit",
                                  "FreezeUnit",
                                  "ThawUnit",
                                  "SetUnitProperties",
                                  "ResetFailedUnit",
                                  "StartTransientUnit",
                                  "RefUnit"};
    constexpr std::array others{"Reload",
                                "Reexecute",
                                "Exit",
                                "Reboot",
                                "PowerOff",
                                "Halt",
                                "KExec",
                                "SwitchRoot",
                                "SetEnvironment",
                                "UnsetEnvironment",
                                "ResetFailed",
                                "EnableUnitFiles",
                                "DisableUnitFiles",
                                "MaskUnitFiles",
                                "UnmaskUnitFiles",
                                "LinkUnitFiles",
                                "ReenableUnitFiles",
                                "PresetUnitFiles",
                                "RevertUnitFiles",
                                "SetDefaultTarget",
                                "PresetAllUnitFiles",
                                "AddDependencyUnitFiles",
                                "EnableUnitFilesWithFlags",
                                "DisableUnitFilesWithFlags"};
    if (std::find(others.begin(), others.end(), call.member) != others.end())
      return refuse(call.message, call.caller, "");
    if (std::find(on_units.begin(), on_units.end(), call.member) == on_units.end()) return nullptr;
    DBusMessageIter from;
    const char* name = nullptr;
    if (dbus_message_iter_init(&call.message, &from) == 0 ||
        dbus_message_iter_get_arg_type(&from) != DBUS_TYPE_STRING)
      return wrong_arguments(call.message, "ss");
    dbus_message_iter_get_basic(&from, &name);
    const json* unit = unit_named(name);
    // Known before anybody is asked for a privilege.
    if (unit == nullptr && call.member != "StartTransientUnit")
      return failure(
          call.message, no_unit,
          fmt::format(
              "Unit {} not {}.", name,
              call.member == "StartUnit" || call.member == "RestartUnit" ? "found" : "loaded"));
    // To start what runs changes nothing, and nobody is refused it as root.
    if (call.caller.uid == 0 && call.member == "StartUnit" && (*unit)["active"] == "active")
      return reply(call.message, "o", row("/org/freedesktop/systemd1/job/4127"));
    return refuse(call.message, call.caller, name);
  }
  return nullptr;
}

Message Answers::unit(Call& call) {
  if (call.service != service || !call.path.starts_with(unit_place)) return nullptr;
  json scratch;
  const json* interfaces = object(call.path, scratch);
  if (interfaces == nullptr) return nullptr;
  constexpr std::array changing{"Start",         "Stop",       "Reload", "Restart", "TryRestart",
                                "Kill",          "Freeze",     "Thaw",   "Clean",   "ResetFailed",
                                "SetProperties", "EnqueueJob", "Ref"};
  const std::string name =
      unescaped(std::string_view(call.path).substr(std::string_view(unit_place).size()))
          .value_or("");
  if (std::find(changing.begin(), changing.end(), call.member) != changing.end())
    return refuse(call.message, call.caller, name);
  if (call.member != "GetProcesses") return nullptr;
  const json* known = unit_named(name);
  return reply(call.message, "a(sus)",
               row(known == nullptr ? json::array() : (*known)["processes"]));
}

}  // namespace gyges::bus
