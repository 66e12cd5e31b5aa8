#include "sandbox/cues/unit_properties.h"

#include <algorithm>
#include <cctype>

#include "base/files.h"
#include "base/text.h"
#include "sandbox/bus/names.h"

namespace gyges::cues {
namespace {

using bus::row;
using nlohmann::json;

constexpr std::uint64_t none = ~std::uint64_t{0};  // systemd's "infinity" and "not counted"
constexpr std::uint64_t second = 1000000;

json text(std::string what) {
  return row("s", std::move(what));
}
json texts(const std::vector<std::string>& what) {
  return row("as", json(what));
}
json number(std::uint64_t what) {
  return row("t", what);
}
json truth(bool what) {
  return row("b", what);
}

std::vector<std::string> maybe(const std::string& one) {
  return one.empty() ? std::vector<std::string>() : std::vector<std::string>{one};
}

void put_time(json& into, const std::string& name, std::uint64_t at, const BusMoment& moment) {
  into[name] = number(at);
  into[name + "Monotonic"] = number(at == 0 ? 0 : at - moment.boot);
}

json common(const UnitLook& unit, const BusMoment& moment, bool loaded) {
  const bool active = unit.active == "active";
  const bool service = unit.name.ends_with(".service");
  json all = {
      {"Id", text(unit.name)},
      {"Names", texts({unit.name})},
      {"Following", text("")},
      {"Requires", texts({})},
      {"Requisite", texts({})},
      {"Wants", texts(unit.wants)},
      {"BindsTo", texts({})},
      {"PartOf", texts({})},
      {"Upholds", texts({})},
      {"RequiredBy", texts({})},
      {"RequisiteOf", texts({})},
      {"WantedBy", texts(unit.wanted_by)},
      {"BoundBy", texts({})},
      {"UpheldBy", texts({})},
      {"ConsistsOf", texts({})},
      {"Conflicts", texts(service && loaded ? std::vector<std::string>{"shutdown.target"}
                                            : std::vector<std::string>())},
      {"ConflictedBy", texts({})},
      {"Before", texts(unit.wanted_by)},
      {"After", texts(!service || !loaded ? unit.wants
                      : unit.early        ? std::vector<std::string>{"system.slice"}
                                   : std::vector<std::string>{"sysinit.target", "basic.target",
                                                              "system.slice"})},
      {"OnFailure", texts({})},
      {"OnFailureOf", texts({})},
      {"OnSuccess", texts({})},
      {"OnSuccessOf", texts({})},
      {"Triggers", texts(maybe(unit.triggers))},
      {"TriggeredBy", texts(maybe(unit.triggered_by))},
      {"PropagatesReloadTo", texts({})},
      {"ReloadPropagatedFrom", texts({})},
      {"JoinsNamespaceOf", texts({})},
      {"SliceOf", texts({})},
      {"RequiresMountsFor", texts({})},
      {"Documentation", texts(maybe(unit.documentation))},
      {"Description", text(unit.description)},
      {"LoadState", text(loaded ? "loaded" : "not-found")},
      {"ActiveState", text(unit.active)},
      {"FreezerState", text("running")},
      {"SubState", text(unit.sub)},
      {"FragmentPath", text(unit.path)},
      {"SourcePath", text("")},
      {"DropInPaths", texts({})},
      {"UnitFileState", text(unit.file_state)},
      {"UnitFilePreset",
       text(unit.file_state == "enabled" || unit.file_state == "disabled" ? "enabled" : "")},
      {"CanStart", truth(loaded)},
      {"CanStop", truth(loaded)},
      {"CanReload", truth(false)},
      {"CanIsolate", truth(false)},
      {"CanClean", texts({})},
      {"CanFreeze", truth(loaded && service)},
      {"Job", row("(uo)", row(0, "/"))},
      {"StopWhenUnneeded", truth(false)},
      {"RefuseManualStart", truth(false)},
      {"RefuseManualStop", truth(false)},
      {"AllowIsolate", truth(false)},
      {"DefaultDependencies", truth(!unit.early)},
      {"OnSuccessJobMode", text("fail")},
      {"OnFailureJobMode", text("replace")},
      {"IgnoreOnIsolate", truth(false)},
      {"NeedDaemonReload", truth(false)},
      {"Markers", texts({})},
      {"JobTimeoutUSec", number(none)},
      {"JobRunningTimeoutUSec", number(none)},
      {"JobTimeoutAction", text("none")},
      {"JobTimeoutRebootArgument", text("")},
      {"ConditionResult", truth(active)},
      {"AssertResult", truth(active)},
      {"Conditions", row("a(sbbsi)", json::array())},
      {"Asserts", row("a(sbbsi)", json::array())},
      {"LoadError", row("(ss)", row("", ""))},
      {"Transient", truth(unit.file_state == "transient")},
      {"Perpetual", truth(unit.name == "-.slice" || unit.name == "init.scope")},
      {"StartLimitIntervalUSec", number(10 * second)},
      {"StartLimitBurst", row("u", 5)},
      {"StartLimitAction", text("none")},
      {"FailureAction", text("none")},
      {"SuccessAction", text("none")},
      {"RebootArgument", text("")},
      {"CollectMode", text("inactive")},
      {"Refs", texts({})}};
  for (const char* name : {"StateChangeTimestamp", "ActiveEnterTimestamp"})
    put_time(all, name, unit.entered, moment);
  for (const char* name : {"InactiveExitTimestamp", "ConditionTimestamp", "AssertTimestamp"})
    put_time(all, name, unit.entered - unit.took, moment);
  for (const char* name : {"ActiveExitTimestamp", "InactiveEnterTimestamp"})
    put_time(all, name, 0, moment);
  return all;
}

// What units have that have a control group.
void add_group(const UnitLook& unit, json& into) {
  const bool counted = unit.pid != 0;
  into["Slice"] = text(unit.slice);
  into["ControlGroup"] = text(unit.group);
  into["MemoryCurrent"] = number(counted ? unit.memory : none);
  into["MemoryAvailable"] = number(none);
  into["CPUUsageNSec"] = number(counted ? unit.processor_nanoseconds : none);
  into["TasksCurrent"] = number(counted ? unit.tasks : none);
  into["IOReadBytes"] = number(none);
  into["IOWriteBytes"] = number(none);
  into["IPIngressBytes"] = number(none);
  into["IPEgressBytes"] = number(none);
  into["Delegate"] = truth(false);
  into["CPUAccounting"] = truth(true);
  into["MemoryAccounting"] = truth(true);
  into["TasksAccounting"] = truth(true);
  into["CPUWeight"] = number(none);
  into["CPUQuotaPerSecUSec"] = number(none);
  into["MemoryMin"] = number(0);
  into["MemoryLow"] = number(0);
  into["MemoryHigh"] = number(none);
  into["MemoryMax"] = number(none);
  into["MemorySwapMax"] = number(none);
  into["TasksMax"] = number(unit.most_tasks);
}

json service(const UnitLook& unit, const BusMoment& moment) {
  json all;
  add_group(unit, all);
  const bool running = unit.pid != 0;
  const bool once = unit.type == "oneshot";
  all["Type"] = text(unit.type);
  all["Restart"] = text(once ? "no" : "on-failure");
  all["NotifyAccess"] = text(unit.type == "notify" ? "main" : "none");
  all["RestartUSec"] = number(second / 10);
  all["TimeoutStartUSec"] = number(once ? none : 90 * second);
  all["TimeoutStopUSec"] = number(90 * second);
  all["TimeoutAbortUSec"] = number(90 * second);
  all["RuntimeMaxUSec"] = number(none);
  all["WatchdogUSec"] = number(0);
  put_time(all, "WatchdogTimestamp", 0, moment);
  all["RemainAfterExit"] = truth(unit.sub == "exited");
  all["GuessMainPID"] = truth(true);
  all["MainPID"] = row("u", unit.pid);
  all["ControlPID"] = row("u", 0);
  all["BusName"] = text(unit.bus_name);
  all["PIDFile"] = text("");
  all["StatusText"] = text("");
  all["StatusErrno"] = row("i", 0);
  all["Result"] = text("success");
  all["ReloadResult"] = text("success");
  all["CleanResult"] = text("success");
  all["UID"] = row("u", 4294967295U);
  all["GID"] = row("u", 4294967295U);
  all["NRestarts"] = row("u", 0);
  all["OOMPolicy"] = text("stop");
  const std::uint64_t ended = once ? unit.entered : 0;
  put_time(all, "ExecMainStartTimestamp", unit.entered, moment);
  put_time(all, "ExecMainExitTimestamp", ended, moment);
  all["ExecMainPID"] = row("u", unit.pid);
  all["ExecMainCode"] = row("i", ended > 0 ? 1 : 0);
  all["ExecMainStatus"] = row("i", 0);
  json commands = json::array();
  if (!unit.arguments.empty())
    commands.push_back(row(unit.arguments.front(), json(unit.arguments), false, unit.entered,
                           unit.entered == 0 ? 0 : unit.entered - moment.boot, 0, 0,
                           running ? unit.pid : 0, 0, 0));
  all["ExecStart"] = row("a(sasbttttuii)", std::move(commands));
  for (const char* name :
       {"ExecCondition", "ExecStartPre", "ExecStartPost", "ExecReload", "ExecStop", "ExecStopPost"})
    all[name] = row("a(sasbttttuii)", json::array());
  all["KillMode"] = text("control-group");
  all["KillSignal"] = row("i", 15);
  all["SendSIGKILL"] = truth(true);
  all["User"] = text("");
  all["Group"] = text("");
  all["Environment"] = texts({});
  all["WorkingDirectory"] = text("");
  all["LimitNOFILE"] = number(524288);
  all["LimitNOFILESoft"] = number(1024);
  return all;
}

// That of the host's package, whose programs ask.
std::string version_of_systemd() {
  constexpr std::size_t most = 64U << 20U;
  if (auto status = read_file("/var/lib/dpkg/status", most)) {
    const std::size_t at = status->find("Package: systemd\n");
    const std::size_t version = at == std::string::npos ? at : status->find("\nVersion: ", at);
    if (version != std::string::npos)
      return status->substr(version + 10, status->find('\n', version + 10) - (version + 10));
  }
  return "252";
}

}  // namespace

json unit_properties(const UnitLook& unit, const BusMoment& moment) {
  json all;
  const std::string kind = unit.name.substr(unit.name.rfind('.') + 1);
  const std::string own = std::string("org.freedesktop.systemd1.") +
                          static_cast<char>(std::toupper(static_cast<unsigned char>(kind[0]))) +
                          kind.substr(1);
  all["org.freedesktop.systemd1.Unit"] = common(unit, moment, true);
  json& more = all[own];
  more = json::object();
  if (kind == "service") more = service(unit, moment);
  if (kind == "slice" || kind == "scope" || kind == "mount" || kind == "socket")
    add_group(unit, more);
  if (kind == "scope") {
    more["Controller"] = text("");
    more["Result"] = text("success");
    more["RuntimeMaxUSec"] = number(none);
  }
  if (kind == "mount") {
    more["Where"] = text(unit.where);
    more["What"] = text(unit.what);
    more["Options"] = text(unit.options);
    more["Type"] = text(unit.mount_type);
    more["Result"] = text("success");
    more["ControlPID"] = row("u", 0);
  }
  if (kind == "socket") {
    json listens = json::array();
    if (!unit.listens.empty()) listens.push_back(row("Stream", unit.listens));
    more["Listen"] = row("a(ss)", std::move(listens));
    more["Accept"] = truth(false);
    more["NConnections"] = row("u", 0);
    more["NAccepted"] = row("u", 0);
    more["NRefused"] = row("u", 0);
    more["Result"] = text("success");
    more["ControlPID"] = row("u", 0);
  }
  if (kind == "timer") {
    more["Unit"] = text(unit.triggers);
    more["TimersMonotonic"] = row("a(stt)", json::array());
    more["TimersCalendar"] = row("a(sst)", row(row("OnCalendar", "*-*-* 00:00:00", unit.next)));
    more["NextElapseUSecRealtime"] = number(unit.next);
    more["NextElapseUSecMonotonic"] = number(0);
    put_time(more, "LastTriggerUSec", unit.last, moment);
    more["Result"] = text("success");
    more["AccuracyUSec"] = number(60 * second);
    more["RandomizedDelayUSec"] = number(0);
    more["Persistent"] = truth(true);
    more["WakeSystem"] = truth(false);
    more["RemainAfterElapse"] = truth(true);
  }
  if (kind == "device") more["SysFSPath"] = text("");
  return all;
}

// Of an account's slice a third of what the kernel allows (Debian's user-.slice.d), and no limit
// where that is left to the slice: of a session, and of what starts a user's units; of all others
// systemd's 15 per cent.
std::uint64_t most_tasks_of(std::string_view unit, const MachineView& view) {
  std::uint64_t most = most_threads(view);
  if (view.machine.pid_max > 0) most = std::min<std::uint64_t>(most, view.machine.pid_max);
  if (unit.starts_with("user-") && unit.ends_with(".slice")) return most * 33 / 100;
  const bool session = unit.starts_with("session-") && unit.ends_with(".scope");
  if (session || unit.ends_with(".slice") || unit.starts_with("user@")) return none;
  return most * 15 / 100;
}

json absent_unit_properties(const MachineView& view) {
  UnitLook unit;
  unit.most_tasks = most_tasks_of(".service", view);
  unit.active = "inactive";
  unit.sub = "dead";
  json all;
  all["org.freedesktop.systemd1.Unit"] = common(unit, {}, false);
  all["org.freedesktop.systemd1.Service"] = service(unit, {});
  return all;
}

json manager_properties(const MachineView& view, const BusMoment& moment, std::size_t units,
                        std::uint64_t finished) {
  json all = {
      {"Version", text(version_of_systemd())},
      {"Features", text("+PAM +AUDIT +SELINUX +APPARMOR +IMA +SMACK +SECCOMP +GCRYPT "
                        "-GNUTLS +OPENSSL +ACL +BLKID +CURL +ELFUTILS +FIDO2 +IDN2 -IDN "
                        "+IPTC +KMOD +LIBCRYPTSETUP +LIBFDISK +PCRE2 -PWQUALITY +P11KIT "
                        "+QRENCODE +TPM2 +BZIP2 +LZ4 +XZ +ZLIB +ZSTD -BPF_FRAMEWORK "
                        "-XKBCOMMON +UTMP +SYSVINIT default-hierarchy=unified")},
      {"Virtualization", text(view.machine.claims_vm == "none" ? "" : view.machine.claims_vm)},
      {"ConfidentialVirtualization", text("")},
      {"Architecture", text("x86-64")},
      {"Tainted", text("")},
      {"LogLevel", text("info")},
      {"LogTarget", text("journal-or-kmsg")},
      {"NNames", row("u", units + units / 3)},
      {"NFailedUnits", row("u", 0)},
      {"NJobs", row("u", 0)},
      {"NInstalledJobs", row("u", units * 3)},
      {"NFailedJobs", row("u", 0)},
      {"Progress", row("d", 1.0)},
      {"Environment",
       texts({"LANG=C.UTF-8", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"})},
      {"ConfirmSpawn", truth(false)},
      {"ShowStatus", truth(true)},
      {"UnitPath",
       texts({"/etc/systemd/system.control", "/run/systemd/system.control",
              "/run/systemd/transient", "/run/systemd/generator.early", "/etc/systemd/system",
              "/etc/systemd/system.attached", "/run/systemd/system", "/run/systemd/system.attached",
              "/run/systemd/generator", "/usr/local/lib/systemd/system", "/lib/systemd/system",
              "/usr/lib/systemd/system", "/run/systemd/generator.late"})},
      {"DefaultStandardOutput", text("journal")},
      {"DefaultStandardError", text("inherit")},
      {"RuntimeWatchdogUSec", number(0)},
      {"RebootWatchdogUSec", number(600 * second)},
      {"ServiceWatchdogs", truth(true)},
      {"ControlGroup", text("")},
      {"SystemState", text("running")},
      {"ExitCode", row("y", 0)},
      {"DefaultTimerAccuracyUSec", number(60 * second)},
      {"DefaultTimeoutStartUSec", number(90 * second)},
      {"DefaultTimeoutStopUSec", number(90 * second)},
      {"DefaultTimeoutAbortUSec", number(90 * second)},
      {"DefaultRestartUSec", number(second / 10)},
      {"DefaultStartLimitIntervalUSec", number(10 * second)},
      {"DefaultStartLimitBurst", row("u", 5)},
      {"DefaultCPUAccounting", truth(true)},
      {"DefaultMemoryAccounting", truth(true)},
      {"DefaultTasksAccounting", truth(true)},
      {"DefaultTasksMax", number(most_tasks_of(".service", view))},
      {"DefaultOOMPolicy", text("stop")}};
  for (const char* absent : {"FirmwareTimestamp", "LoaderTimestamp", "ShutdownStartTimestamp"})
    put_time(all, absent, 0, moment);
  const std::pair<const char*, std::uint64_t> stages[] = {
      {"InitRDTimestamp", 620},
      {"UserspaceTimestamp", 2140},
      {"FinishTimestamp", (finished - moment.boot) / 1000},
      {"SecurityStartTimestamp", 2150},
      {"SecurityFinishTimestamp", 2190},
      {"GeneratorsStartTimestamp", 2310},
      {"GeneratorsFinishTimestamp", 2480},
      {"UnitsLoadStartTimestamp", 2490},
      {"UnitsLoadFinishTimestamp", 2590},
      {"UnitsLoadTimestamp", 2590},
      {"InitRDSecurityStartTimestamp", 625},
      {"InitRDSecurityFinishTimestamp", 626},
      {"InitRDGeneratorsStartTimestamp", 640},
      {"InitRDGeneratorsFinishTimestamp", 641},
      {"InitRDUnitsLoadStartTimestamp", 642},
      {"InitRDUnitsLoadFinishTimestamp", 660}};
  for (const auto& [name, milliseconds] : stages)
    put_time(all, name, moment.boot + milliseconds * 1000, moment);
  all["KernelTimestamp"] = number(moment.boot);
  all["KernelTimestampMonotonic"] = number(0);
  return all;
}

}  // namespace gyges::cues
