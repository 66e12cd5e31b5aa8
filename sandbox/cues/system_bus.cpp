#include "sandbox/cues/system_bus.h"

#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/text.h"
#include "sandbox/bus/names.h"
#include "sandbox/cues/seeded_stream.h"

namespace gyges::cues {
namespace {

using bus::row;
using nlohmann::json;

std::uint64_t microseconds(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1000000 +
         static_cast<std::uint64_t>(now.tv_nsec) / 1000;
}

json value(const char* type, json what) {
  return row(type, std::move(what));
}

// NAME="..." of os-release: the persona's lines, or the host's where these stay.
std::string release_field(const Persona& persona, std::string_view name) {
  std::vector<std::string> lines = persona.os_release;
  if (lines.empty()) {
    constexpr std::size_t most = 65536;
    auto text = read_file("/etc/os-release", most);
    if (text) lines = split(*text, '\n');
  }
  for (const std::string& line : lines)
    if (line.starts_with(std::string(name) + "=")) {
      std::string found = line.substr(name.size() + 1);
      std::erase(found, '"');
      return found;
    }
  return {};
}

std::string dmi_field(const Machine& machine, std::string_view name) {
  for (const auto& [field, text] : machine.dmi)
    if (field == name) return text;
  return {};
}

void add_object(json& document, const std::string& path, const char* name, const char* interface,
                json properties) {
  json& object = document["objects"][path];
  object["name"] = name;
  object["interfaces"][interface] = std::move(properties);
}

void add_host(const Persona& persona, const MachineView& view, json& document) {
  const bool virtual_machine = view.machine.claims_vm != "none";
  const std::string pretty = release_field(persona, "PRETTY_NAME");
  const std::string vendor = dmi_field(view.machine, "sys_vendor");
  const std::string model = dmi_field(view.machine, "product_name");
  const std::string chassis_type = dmi_field(view.machine, "chassis_type");
  const bool laptop = chassis_type == "9" || chassis_type == "10" || chassis_type == "31";
  const std::string chassis = virtual_machine ? "vm" : laptop ? "laptop" : "desktop";
  const std::pair<const char*, std::string> texts[] = {
      {"Hostname", persona.hostname},
      {"StaticHostname", persona.hostname},
      {"PrettyHostname", ""},
      {"DefaultHostname", "localhost"},
      {"HostnameSource", "static"},
      {"IconName", "computer-" + chassis},
      {"Chassis", chassis},
      {"Deployment", ""},
      {"Location", ""},
      {"KernelName", "Linux"},
      {"KernelRelease", view.release},
      {"KernelVersion", view.version},
      {"OperatingSystemPrettyName", pretty},
      {"OperatingSystemCPEName", release_field(persona, "CPE_NAME")},
      {"HomeURL", release_field(persona, "HOME_URL")},
      {"HardwareVendor", vendor},
      {"HardwareModel", model},
      {"FirmwareVersion", dmi_field(view.machine, "bios_version")},
      {"FirmwareVendor", dmi_field(view.machine, "bios_vendor")}};
  json properties, description;
  for (const auto& [name, text] : texts) {
    properties[name] = value("s", text);
    description[name] = text.empty() ? json() : json(text);
  }
  add_object(document, "/org/freedesktop/hostname1", "org.freedesktop.hostname1",
             "org.freedesktop.hostname1", std::move(properties));
  document["host_description"] = std::move(description);
}

void add_time(const Persona& persona, json& document) {
  // Whoever keeps the clock.
  bool kept = false;
  for (const Daemon& daemon : persona.machine->daemons)
    kept = kept || daemon.name == "chronyd" || daemon.name == "ntpd" ||
           daemon.name.starts_with("systemd-timesyn");
  add_object(document, "/org/freedesktop/timedate1", "org.freedesktop.timedate1",
             "org.freedesktop.timedate1",
             {{"Timezone", value("s", persona.time_zone)},
              {"LocalRTC", value("b", false)},
              {"CanNTP", value("b", true)},
              {"NTP", value("b", kept)},
              {"NTPSynchronized", value("b", true)},
              {"TimeUSec", value("t", "now")},
              {"RTCTimeUSec", value("t", "now")}});
  json zones = json::array({"UTC"});
  constexpr std::size_t most = 1U << 20U;
  if (auto table = read_file("/usr/share/zoneinfo/tzdata.zi", most))
    for (const std::string& line : split(*table, '\n')) {
      const std::vector<std::string> words = split(line, ' ');
      if (words.size() == 3 && words[0] == "L") zones.push_back(words[2]);
      if (words.size() >= 4 && words[0] == "Z") zones.push_back(words[1]);
    }
  std::sort(zones.begin(), zones.end());
  document["time_zones"] = std::move(zones);
  std::string language = "C.UTF-8";
  for (const auto& [name, text] : persona.environment)
    if (name == "LANG") language = text;
  add_object(document, "/org/freedesktop/locale1", "org.freedesktop.locale1",
             "org.freedesktop.locale1",
             {{"Locale", value("as", row("LANG=" + language))},
              {"X11Layout", value("s", "us")},
              {"X11Model", value("s", "pc105")},
              {"X11Variant", value("s", "")},
              {"X11Options", value("s", "")},
              {"VConsoleKeymap", value("s", "")},
              {"VConsoleKeymapToggle", value("s", "")}});
}

// Where the login came from, as /run/systemd/sessions has it.
std::string remote_host(const Persona& persona) {
  constexpr std::string_view key = "REMOTE_HOST=";
  for (const WorldFile& file : persona.files)
    if (file.path.starts_with("/run/systemd/sessions/"))
      for (const std::string& line : split(file.content, '\n'))
        if (line.starts_with(key)) return line.substr(key.size());
  return {};
}

void add_logins(const Persona& persona, const MachineView& view, const BusMoment& moment,
                json& document) {
  const bool seated = at_screen(persona);
  const std::string id = std::to_string(view.session);
  const std::string& user = persona.user.name;
  const std::string place = "/org/freedesktop/login1/";
  const std::string session = place + "session/" + bus::escaped(id);
  const std::string account = fmt::format("{}user/_{}", place, view.user);
  const std::string seat = place + "seat/seat0";
  const std::uint64_t began = login_time(persona, moment);
  document["sessions"] = row(row(id, view.user, user, seated ? "seat0" : "", session));
  document["users"] = row(row(view.user, user, account));
  document["seats"] = row(row("seat0", seat));
  constexpr const char* service = "org.freedesktop.login1";
  const json of_session = {{"Id", value("s", id)},
                           {"User", value("(uo)", row(view.user, account))},
                           {"Name", value("s", user)},
                           {"Timestamp", value("t", began)},
                           {"TimestampMonotonic", value("t", began - moment.boot)},
                           {"VTNr", value("u", seated ? 2 : 0)},
                           {"Seat", value("(so)", seated ? row("seat0", seat) : row("", "/"))},
                           {"TTY", value("s", seated ? "tty2" : "")},
                           {"Display", value("s", "")},
                           {"Remote", value("b", !seated)},
                           {"RemoteHost", value("s", seated ? "" : remote_host(persona))},
                           {"RemoteUser", value("s", "")},
                           {"Service", value("s", seated ? "gdm-password" : "sshd")},
                           {"Desktop", value("s", seated ? "gnome" : "")},
                           {"Scope", value("s", session_scope(view))},
                           {"Leader", value("u", 0)},
                           {"Audit", value("u", view.session)},
                           {"Type", value("s", seated ? "wayland" : "tty")},
                           {"Class", value("s", "user")},
                           {"Active", value("b", true)},
                           {"State", value("s", "active")},
                           {"IdleHint", value("b", false)},
                           {"IdleSinceHint", value("t", 0)},
                           {"IdleSinceHintMonotonic", value("t", 0)},
                           {"LockedHint", value("b", false)}};
  for (const std::string& path : {session, place + "session/auto", place + "session/self"})
    add_object(document, path, service, "org.freedesktop.login1.Session", of_session);
  const json of_user = {{"UID", value("u", view.user)},
                        {"GID", value("u", view.group)},
                        {"Name", value("s", user)},
                        {"Timestamp", value("t", began)},
                        {"TimestampMonotonic", value("t", began - moment.boot)},
                        {"RuntimePath", value("s", fmt::format("/run/user/{}", view.user))},
                        {"Service", value("s", fmt::format("user@{}.service", view.user))},
                        {"Slice", value("s", fmt::format("user-{}.slice", view.user))},
                        {"Display", value("(so)", row(id, session))},
                        {"State", value("s", "active")},
                        {"Sessions", value("a(so)", row(row(id, session)))},
                        {"IdleHint", value("b", false)},
                        {"IdleSinceHint", value("t", 0)},
                        {"IdleSinceHintMonotonic", value("t", 0)},
                        {"Linger", value("b", false)}};
  for (const std::string& path : {account, place + "user/self"})
    add_object(document, path, service, "org.freedesktop.login1.User", of_user);
  add_object(document, seat, service, "org.freedesktop.login1.Seat",
             {{"Id", value("s", "seat0")},
              {"ActiveSession", value("(so)", seated ? row(id, session) : row("", "/"))},
              {"CanTTY", value("b", true)},
              {"CanGraphical", value("b", true)},
              {"Sessions", value("a(so)", seated ? row(row(id, session)) : json::array())},
              {"IdleHint", value("b", false)},
              {"IdleSinceHint", value("t", 0)},
              {"IdleSinceHintMonotonic", value("t", 0)}});
  add_object(document, "/org/freedesktop/login1", service, "org.freedesktop.login1.Manager",
             {{"NAutoVTs", value("u", 6)},
              {"KillUserProcesses", value("b", false)},
              {"IdleHint", value("b", false)},
              {"BlockInhibited", value("s", "")},
              {"DelayInhibited", value("s", "")},
              {"PreparingForShutdown", value("b", false)},
              {"PreparingForSleep", value("b", false)},
              {"Docked", value("b", false)},
              {"RebootParameter", value("s", "")},
              {"NCurrentInhibitors", value("t", 0)},
              {"NCurrentSessions", value("t", 1)}});
}

// Who is on the bus: systemd, and the daemons that have a name there.
void add_names(const MachineView& view, json& document) {
  static constexpr std::pair<std::string_view, const char*> known[] = {
      {"systemd-logind", "org.freedesktop.login1"},
      {"systemd-network", "org.freedesktop.network1"},
      {"systemd-resolve", "org.freedesktop.resolve1"},
      {"systemd-timesyn", "org.freedesktop.timesync1"},
      {"NetworkManager", "org.freedesktop.NetworkManager"},
      {"wpa_supplicant", "fi.w1.wpa_supplicant1"},
      {"gdm3", "org.gnome.DisplayManager"},
      {"polkitd", "org.freedesktop.PolicyKit1"},
      {"upowerd", "org.freedesktop.UPower"}};
  document["names"] =
      row(json{{"name", "org.freedesktop.systemd1"}, {"owner", ":1.1"}, {"uid", 0}, {"pid", 1}});
  int number = 1;
  for (const ProcessLook& look : view.processes) {
    if (look.kernel) continue;
    for (const auto& [process, name] : known)
      if (look.name == process)
        document["names"].push_back({{"name", name},
                                     {"owner", fmt::format(":1.{}", ++number)},
                                     {"uid", look.uid},
                                     {"pid", look.pid}});
    if (look.name == "dbus-daemon" && !look.unit.empty())
      document["names"].push_back({{"name", "org.freedesktop.DBus"},
                                   {"owner", "org.freedesktop.DBus"},
                                   {"uid", look.uid},
                                   {"pid", look.pid},
                                   {"bus", true}});
  }
  document["activatable"] =
      row("org.freedesktop.systemd1", "org.freedesktop.login1", "org.freedesktop.hostname1",
          "org.freedesktop.timedate1", "org.freedesktop.locale1");
}

}  // namespace

bool has_system_bus(const Machine& machine) {
  return machine.claims_container == "none" && machine.init_name == "systemd" &&
         std::any_of(machine.daemons.begin(), machine.daemons.end(),
                     [](const Daemon& daemon) { return daemon.name == "dbus-daemon"; });
}

bool at_screen(const Persona& persona) {
  return std::any_of(persona.machine->daemons.begin(), persona.machine->daemons.end(),
                     [&](const Daemon& daemon) { return daemon.user == persona.user.name; });
}

std::string session_scope(const MachineView& view) {
  return fmt::format("session-{}.scope", view.session);
}

// By ssh a few minutes before the day of the run, as the persona's /run/systemd/sessions has it; at
// the screen as soon as the machine was up.
std::uint64_t login_time(const Persona& persona, const BusMoment& moment) {
  constexpr std::uint64_t second = 1000000;
  if (at_screen(persona)) return moment.boot + 60 * second;
  const auto day = static_cast<std::uint64_t>(moment.day) * second;
  for (const WorldFile& file : persona.files)
    if (file.path.starts_with("/run/systemd/sessions/"))
      return day - static_cast<std::uint64_t>(file.age_days * 86400) * second;
  return day;
}

std::string bus_document(const Persona& persona, const MachineView& view) {
  BusMoment moment;
  moment.now = microseconds(CLOCK_REALTIME);
  moment.day = view.day;
  moment.boot = moment.now - microseconds(CLOCK_BOOTTIME) - view.uptime_offset * 1000000;
  moment.installed = static_cast<std::uint64_t>(installation_time(view.day)) * 1000000;
  json document;
  SeededStream stream(view.seed, "machine/bus");
  document["bus_id"] = stream.hex(32);
  // That of /etc/machine-id.
  TemplateContext context;
  context.seed = view.seed;
  document["machine_id"] =
      render("{{hex 32 machine_id}}", context, persona.name).value_or(std::string(32, '0'));
  add_names(view, document);
  add_host(persona, view, document);
  add_time(persona, document);
  add_logins(persona, view, moment, document);
  add_units(persona, view, moment, document);
  // Without root every process inside is the agent's user, whoever it is here.
  if (::geteuid() != 0) document["peer_uid"] = view.user;
  // What the host's files put in that is no UTF-8 must not end the supervisor.
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace gyges::cues
