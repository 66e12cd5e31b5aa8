// Files of /proc/PID as the persona has them: what a process is permitted, where it is accounted,
// and how long the daemons have been running. Forms as of proc(5) and Linux 6.1.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>

#include "base/text.h"
#include "sandbox/cues/disguise.h"
#include "sandbox/cues/seeded_stream.h"

namespace gyges::cues {
namespace {

using isolation::ProcessFile;
using isolation::ProcessFileRule;
using isolation::ShownState;

constexpr std::uint64_t all_capabilities = 0x1ffffffffff;  // up to CAP_CHECKPOINT_RESTORE
constexpr std::uint64_t docker_capabilities = 0xa80425fb;  // its default set

const ProcessLook* look_of(const MachineView& view, std::uint32_t pid) {
  for (const ProcessLook& look : view.processes)
    if (look.pid == pid) return &look;
  return nullptr;
}

// The name in the kernel's own file shows whether a number is that of the process which was meant
// to have it.
bool is_named(std::string_view status, const ProcessLook& look) {
  return status.starts_with("Name:\t" + look.name + "\n");
}

std::string processors_mask(std::uint32_t processors) {
  return fmt::format("{:x}", processors >= 64 ? ~0ULL : (1ULL << processors) - 1);
}

struct StatusRow {
  std::string_view name;
  std::optional<std::string> value;  // none: the persona's kernel has no such row
};
using StatusRows = std::vector<StatusRow>;

// Rows of status(5) and the kernel that brought them.
constexpr std::array newer_rows{std::pair{"untag_mask", std::pair{6U, 4U}},
                                std::pair{"x86_Thread_features", std::pair{6U, 6U}},
                                std::pair{"x86_Thread_features_locked", std::pair{6U, 6U}},
                                std::pair{"Kthread", std::pair{6U, 11U}}};

// What is the same for every process.
StatusRows common_rows(const MachineView& view, const std::optional<ShownState>& state,
                       bool counted) {
  StatusRows shown;
  for (const auto& [name, since] : newer_rows)
    if (is_before(view, since.first, since.second)) shown.push_back({name, std::nullopt});
  if (state) {
    // Daemons of root run without a filter on a machine.
    shown.push_back({"Seccomp", std::to_string(state->seccomp)});
    shown.push_back({"Seccomp_filters", std::to_string(state->filters)});
    shown.push_back({"NoNewPrivs", std::to_string(state->no_new_privs)});
    shown.push_back({"CapBnd", fmt::format("{:016x}", state->bounding)});
  }
  if (counted) {
    shown.push_back({"Cpus_allowed", processors_mask(view.processors)});
    shown.push_back({"Cpus_allowed_list",
                     view.processors == 1 ? "0" : fmt::format("0-{}", view.processors - 1)});
  }
  return shown;
}

// None waits, of as many as the kernel gives to all (limits_file).
std::string signal_queue(const MachineView& view) {
  return fmt::format("0/{}", most_threads(view) / 2);
}

void add_rows_of(const ProcessLook& look, const MachineView& view,
                 const std::optional<ShownState>& state, StatusRows& shown) {
  const bool root = look.uid == 0;
  shown.push_back({"Uid", fmt::format("{0}\t{0}\t{0}\t{0}", look.uid)});
  shown.push_back({"Gid", fmt::format("{0}\t{0}\t{0}\t{0}", look.gid)});
  // One space follows the groups, each of them.
  shown.push_back({"Groups", root ? "" : fmt::format("{} ", look.gid)});
  if (state)
    for (const char* set : {"CapPrm", "CapEff"})
      shown.push_back({set, fmt::format("{:016x}", root ? state->bounding : 0)});
  shown.push_back({"SigQ", signal_queue(view)});
  shown.push_back({"Threads", std::to_string(look.threads)});
  auto memory = [&](const char* row, std::uint64_t kilobytes) {
    shown.push_back({row, fmt::format("{:>8} kB", kilobytes / 4 * 4)});  // whole pages
  };
  const std::uint64_t anonymous = look.resident_kilobytes * 2 / 5 / 4 * 4;
  memory("VmPeak", look.size_kilobytes + look.size_kilobytes / 16);
  memory("VmSize", look.size_kilobytes);
  memory("VmHWM", look.resident_kilobytes + look.resident_kilobytes / 9);
  memory("VmRSS", look.resident_kilobytes);
  memory("RssAnon", anonymous);
  memory("RssFile", look.resident_kilobytes - anonymous);
  memory("VmData", look.size_kilobytes / 6);
  shown.push_back({"voluntary_ctxt_switches", std::to_string(look.voluntary_switches())});
  shown.push_back({"nonvoluntary_ctxt_switches", std::to_string(look.other_switches())});
}

// The kernel's text with those rows in place of its own. Read as often as anything in /proc.
std::string with_rows(std::string_view kernel, const StatusRows& shown) {
  std::string text;
  text.reserve(kernel.size() + 128);
  while (!kernel.empty()) {
    const std::size_t end = std::min(kernel.find('\n'), kernel.size());
    const std::string_view line = kernel.substr(0, end);
    kernel.remove_prefix(std::min(end + 1, kernel.size()));
    const std::string_view name = line.substr(0, line.find(':'));
    const auto row =
        std::find_if(shown.begin(), shown.end(), [&](const auto& one) { return one.name == name; });
    if (row == shown.end())
      text.append(line).append("\n");
    else if (row->value)
      text.append(name).append(":\t").append(*row->value).append("\n");
  }
  return text;
}

// A thread of the kernel's is root's, everything is permitted to it, and it has no memory.
std::string kernel_status_file(const ProcessLook& look, const MachineView& view,
                               const StatusRows& common, const ProcessFile& file) {
  StatusRows shown = common;
  for (const char* row : {"Seccomp", "Seccomp_filters", "NoNewPrivs"})
    std::erase_if(shown, [&](const auto& one) { return one.name == row; });
  for (const char* row : {"Seccomp", "Seccomp_filters", "NoNewPrivs", "Tgid", "NSpgid", "NSsid"})
    shown.push_back({row, row == std::string_view("Tgid") ? std::to_string(look.pid) : "0"});
  for (const char* row : {"Uid", "Gid"}) shown.push_back({row, "0\t0\t0\t0"});
  for (const char* row : {"CapPrm", "CapEff", "CapBnd"}) {
    std::erase_if(shown, [&](const auto& one) { return one.name == row; });
    shown.push_back({row, fmt::format("{:016x}", all_capabilities)});
  }
  shown.push_back({"Umask", "0000"});
  shown.push_back({"State", look.idle ? "I (idle)" : "S (sleeping)"});
  shown.push_back({"PPid", look.pid == 2 ? "0" : "2"});
  shown.push_back({"Groups", ""});
  shown.push_back({"SigQ", signal_queue(view)});
  shown.push_back({"Kthread", "1"});
  shown.push_back({"SigIgn", "ffffffffffffffff"});
  shown.push_back({"voluntary_ctxt_switches", std::to_string(look.voluntary_switches())});
  shown.push_back({"nonvoluntary_ctxt_switches", std::to_string(look.system_ticks / 9)});
  std::string kept;
  for (const std::string& line : split(file.kernel, '\n'))
    if (!line.empty() && !line.starts_with("Vm") && !line.starts_with("Rss") &&
        !line.starts_with("Hugetlb") && !line.starts_with("CoreDumping") &&
        !line.starts_with("THP_enabled") && !line.starts_with("untag_mask"))
      kept += line + "\n";
  return with_rows(kept, shown);
}

std::string status_file(const MachineView& view, const std::optional<ShownState>& state,
                        const StatusRows& common, const ProcessFile& file) {
  const ProcessLook* look = look_of(view, file.process);
  if (look == nullptr || !is_named(file.kernel, *look)) return with_rows(file.kernel, common);
  if (look->kernel) return kernel_status_file(*look, view, common, file);
  StatusRows shown = common;
  add_rows_of(*look, view, state, shown);
  return with_rows(file.kernel, shown);
}

// "ksoftirqd/1" is bound to the processor of its name.
std::uint32_t processor_of(const ProcessLook& look, const MachineView& view) {
  const std::size_t slash = look.name.find('/');
  std::uint32_t bound = look.pid;
  if (look.kernel && slash != std::string::npos)
    std::from_chars(look.name.data() + slash + 1, look.name.data() + look.name.size(), bound);
  return bound % view.processors;
}

// Fields of stat(5) by their numbers in the manual, from 1. Where the kernel would not show an
// address to the reader it shows what is here, and for everyone: the supervisor reads more than the
// caller may.
std::optional<std::string> stat_file_of(const MachineView& view, const ProcessFile& file) {
  const ProcessLook* look = look_of(view, file.process);
  const std::size_t close = file.kernel.rfind(')');
  if (look == nullptr || close == std::string_view::npos) return std::nullopt;
  const std::size_t open = file.kernel.find('(');
  if (file.kernel.substr(open + 1, close - open - 1) != look->name) return std::nullopt;
  std::vector<std::string> fields = split(file.kernel.substr(close + 2), ' ');
  if (fields.size() < 50) return std::nullopt;
  if (fields.back().ends_with('\n')) fields.back().pop_back();
  auto put = [&](std::size_t number, std::uint64_t value) {
    if (number - 3 < fields.size()) fields[number - 3] = std::to_string(value);
  };
  if (look->kernel) {
    fields.assign(50, "0");
    fields[0] = look->idle ? "I" : "S";
    put(4, look->pid == 2 ? 0 : 2);
    fields[5] = "-1";  // no terminal's group
    put(9, look->pid == 2 ? 2129984 : look->idle ? 69238880 : 2129984);
    put(15, look->system_ticks);
    fields[15] = look->real_time ? "-100" : std::to_string(20 + look->nice);
    fields[16] = std::to_string(look->nice);
    put(20, 1);
    put(22, look->start_ticks);
    put(25, ~std::uint64_t{0});
    put(33, 2147483647);
    put(38, 17);
    put(39, processor_of(*look, view));
    if (look->real_time) {
      put(40, 99);
      put(41, 1);
    }
    return fmt::format("{} ({}) {}\n", file.process, look->name, join(fields, " "));
  }
  fields[0] = "S";
  put(10, 400 + look->resident_kilobytes / 7);  // minor faults
  put(11, 0);
  put(12, look->pid == 1 ? 48211 : 0);
  put(13, look->pid == 1 ? 96 : 0);
  put(14, look->user_ticks);
  put(15, look->system_ticks);
  if (look->terminal > 0) {
    put(7, look->terminal);
    put(8, look->pid);  // in its foreground
  }
  put(16, look->pid == 1 ? look->user_ticks * 3 : 0);  // of its children
  put(17, look->pid == 1 ? look->system_ticks * 2 : 0);
  put(20, look->threads);
  put(22, look->start_ticks);
  put(23, look->size_kilobytes * 1024);
  put(24, look->resident_kilobytes / 4);
  put(26, 1);
  put(27, 1);
  for (const std::size_t hidden : {28, 29, 30, 35, 45, 46, 47, 48, 49, 50, 51, 52}) put(hidden, 0);
  put(39, processor_of(*look, view));
  return fmt::format("{} ({}) {}\n", file.process, look->name, join(fields, " "));
}

std::optional<std::string> statm_file(const MachineView& view, const ProcessFile& file) {
  const ProcessLook* look = look_of(view, file.process);
  if (look == nullptr) return std::nullopt;
  if (look->kernel) return "0 0 0 0 0 0 0\n";
  const std::uint64_t resident = look->resident_kilobytes / 4;
  return fmt::format("{} {} {} 12 0 {} 0\n", look->size_kilobytes / 4, resident,
                     resident - resident * 2 / 5, look->size_kilobytes / 24);
}

// What usual services differ in: how much they work beside the others, and how the kernel is to
// spare them when memory ends.
struct ServiceHabit {
  std::string_view name;
  double work;
  std::int32_t kill_rank;
  std::string_view unit = {};  // where it is not named after its program
};
constexpr std::array habits{
    ServiceHabit{"agetty", 0.0001, 0, "system-getty.slice/getty@tty1"},
    ServiceHabit{"polkitd", 0.02, 0, "polkit"},
    ServiceHabit{"NetworkManager", 0.08, 0},
    ServiceHabit{"wpa_supplicant", 0.03, 0},
    ServiceHabit{"ssh-agent", 0.0002, 0},
    ServiceHabit{"pipewire", 0.1, 0},
    ServiceHabit{"gdm-wayland-ses", 0.0002, 0},
    ServiceHabit{"gnome-shell", 3, 0},
    ServiceHabit{"firefox-esr", 4, 0},
    ServiceHabit{"code", 3, 0},
    ServiceHabit{"sh", 0.0001, 0},
    ServiceHabit{"bash", 0.0001, 0},
    ServiceHabit{"tini", 0.0001, 0},
    ServiceHabit{"cron", 0.03, 0},
    ServiceHabit{"dbus-daemon", 0.05, -900, "dbus"},
    ServiceHabit{"sshd", 0.004, -1000, "ssh"},
    ServiceHabit{"systemd-journal", 0.4, -250},
    ServiceHabit{"systemd-logind", 0.03, 0},
    ServiceHabit{"systemd-network", 0.04, 0},
    ServiceHabit{"systemd-udevd", 0.02, -1000, "systemd-udevd.service/udev"},
    ServiceHabit{"systemd-timesyn", 0.01, 0},
    ServiceHabit{"systemd-resolve", 0.03, 0},
    ServiceHabit{"chronyd", 0.02, 0, "chrony"},
    ServiceHabit{"cupsd", 0.01, 0, "cups"},
    ServiceHabit{"gdm3", 0.01, 0, "gdm"},
    ServiceHabit{"upowerd", 0.02, 0, "upower"},
    ServiceHabit{"qemu-ga", 0.05, 0, "qemu-guest-agent"},
    ServiceHabit{"rsyslogd", 0.3, 0, "rsyslog"}};

// What a user's session or a container starts and is small.
constexpr std::array<std::string_view, 9> small_programs{
    "systemd", "ssh-agent", "gpg-agent", "dbus-daemon",    "pipewire",
    "sh",      "bash",      "tini",      "gdm-wayland-ses"};

ServiceHabit habit_of(std::string_view name) {
  for (const ServiceHabit& habit : habits)
    if (habit.name == name) return habit;
  return {name, 1, 0};
}

// "system.slice/cron.service". udev's is a group below its service.
std::string unit_of(std::string_view name, const std::string& program) {
  const std::string_view known = habit_of(name).unit;
  const std::string unit =
      known.empty() ? program.substr(program.rfind('/') + 1) : std::string(known);
  return "system.slice/" + unit + (unit.find(".service/") == std::string::npos ? ".service" : "");
}

// "key   :   value" rows, some of them with other values. The kernel counts the few milliseconds
// that the process has really run.
std::optional<std::string> sched_file(const MachineView& view, const ProcessFile& file) {
  const ProcessLook* look = look_of(view, file.process);
  if (look == nullptr || !file.kernel.starts_with(look->name + " (")) return std::nullopt;
  const std::uint64_t hundredths = look->user_ticks + look->system_ticks;
  const std::map<std::string_view, std::string> shown{
      {"se.sum_exec_runtime", fmt::format("{}.{:06}", hundredths * 10, look->pid * 7919 % 1000000)},
      {"se.nr_migrations", std::to_string(hundredths / 90 + look->pid % 7)},
      {"nr_switches", std::to_string(look->voluntary_switches() + look->other_switches())},
      {"nr_voluntary_switches", std::to_string(look->voluntary_switches())},
      {"nr_involuntary_switches", std::to_string(look->other_switches())}};
  std::string text;
  for (const std::string& line : split(file.kernel, '\n')) {
    const std::size_t colon = line.find(':');
    const auto row = shown.find(std::string_view(line).substr(0, line.find_first_of(" :")));
    if (text.empty())
      text = fmt::format("{} ({}, #threads: {})\n", look->name, look->pid, look->threads);
    else if (colon == std::string::npos || row == shown.end())
      text += line + "\n";
    else
      text +=
          line.substr(0, colon + 1) +
          fmt::format("{:>{}}\n", row->second, std::max<std::size_t>(line.size() - colon - 1, 22));
  }
  text.pop_back();  // the kernel's ended with one
  return text;
}

std::optional<std::string> limits_file(const MachineView& view, const ProcessFile& file) {
  const ProcessLook* look = look_of(view, file.process);
  if (look == nullptr) return std::nullopt;
  std::string text;
  for (const std::string& line : split(file.kernel, '\n')) {
    auto row = [&](std::string_view name, std::string_view soft, std::string_view hard) {
      if (!line.starts_with(name)) return false;
      text += fmt::format("{:<26}{:<21}{:<21}{}\n", name, soft, hard,
                          line.size() > 68 ? line.substr(68) : "");
      return true;
    };
    // As many as the kernel gives to all; the rest as systemd has them for itself and for services.
    const std::string most = std::to_string(most_threads(view) / 2);
    if (row("Max processes", most, most) || row("Max pending signals", most, most)) continue;
    const bool first = file.process == 1;
    if (!look->kernel && !look->unit.empty() &&
        (row("Max open files", first ? "1073741816" : "1024", first ? "1073741816" : "524288") ||
         row("Max core file size", first ? "unlimited" : "0", "unlimited")))
      continue;
    text += line + "\n";
  }
  text.pop_back();
  return text;
}

}  // namespace

// What services hold on a machine. The kernel would tell those of all the host's programs.
std::string locks_file(const MachineView& view) {
  std::string text;
  if (!view.machine.cgroup_root) return text;
  int number = 0;
  for (const ProcessLook& look : view.processes)
    if (look.name == "cron" || look.name == "qemu-ga" || look.name == "atd")
      text +=
          fmt::format("{}: {} {} 00:17:{} 0 EOF\n", ++number,
                      look.name == "qemu-ga" ? "POSIX  ADVISORY  WRITE" : "FLOCK  ADVISORY  WRITE",
                      look.pid, 900 + look.pid / 3);
  return text;
}

// The consoles of the start line.
std::string consoles_file(const std::string& command_line) {
  std::string text;
  if (command_line.find("console=ttyS0") != std::string::npos)
    text += "ttyS0                -W- (EC  p a)    4:64\n";
  return text + "tty0                 -WU (E   p  )    4:1\n";
}

std::string key_users_file(std::uint32_t user) {
  return fmt::format(
      "    0:    78 77/77 71/1000000 1503/25000000\n{:>5}:     3 3/3 3/200 53/20000\n", user);
}

std::uint64_t start_by_number(std::uint32_t number) {
  constexpr std::uint64_t own_threads = 100, services = 270;
  if (number < own_threads) return number / 16;
  // The disk is found, and the root is mounted.
  if (number < services) return 6 + (number - own_threads) * 44 / 17;
  return 180 + std::uint64_t{number};
}

std::vector<ProcessLook> process_looks(const Persona& persona, const Machine& machine,
                                       std::uint64_t seed, std::uint64_t uptime_seconds,
                                       std::uint64_t lived_seconds) {
  std::vector<ProcessLook> looks;
  const std::uint64_t before = (uptime_seconds - lived_seconds) * 100;
  auto add = [&](const Daemon& daemon, bool session) {
    SeededStream stream(seed, "machine/process/" + daemon.name + std::to_string(daemon.pid));
    ProcessLook look;
    look.name = daemon.name.substr(0, 15);
    look.pid = daemon.pid;
    std::tie(look.uid, look.gid) = account_ids(persona, daemon.user);
    // What a user started, later; a container's numbers tell nothing of the machine's start.
    look.start_ticks = start_by_number(daemon.pid);
    if (machine.claims_container != "none" && daemon.pid > 1) look.start_ticks = 180 + daemon.pid;
    if (session) look.start_ticks = 2400 + std::uint64_t{daemon.pid} * 3;
    look.start_ticks += before;
    // To ten minutes: two runs of one seed should not differ by a second.
    const double ticks = static_cast<double>(lived_seconds / 600 * 600) * 100;
    const ServiceHabit habit = habit_of(look.name);
    look.kill_rank = habit.kill_rank;
    if (look.name == "agetty") look.terminal = 4U << 8U | 1U;  // tty1
    const double share = habit.work * machine.busy /
                         static_cast<double>(machine.daemons.size() + 4) *
                         (0.02 + static_cast<double>(stream.below(1000)) / 1500);
    look.user_ticks = 3 + static_cast<std::uint64_t>(ticks * share * 0.7);
    look.system_ticks = 5 + static_cast<std::uint64_t>(ticks * share * 0.3);
    const bool small =
        std::find(small_programs.begin(), small_programs.end(), look.name) != small_programs.end();
    const bool large = !small && (session || machine.claims_container != "none");
    look.resident_kilobytes = (large ? 31000 : 3900) + stream.below(large ? 190000 : 9000);
    look.resident_kilobytes = look.resident_kilobytes / 4 * 4;  // whole pages
    look.size_kilobytes =
        (look.resident_kilobytes * (large ? 4 : 2) + 5000 + stream.below(9000)) / 4 * 4;
    look.threads = large ? 4 + static_cast<std::uint32_t>(stream.below(18)) : 1;
    look.unit = session ? "" : unit_of(look.name, daemon.argv[daemon.program()]);
    looks.push_back(std::move(look));
  };
  Daemon init;
  init.name = machine.init_name;
  init.argv = machine.init_arguments;
  init.pid = 1;
  // In a container pid 1 is the service, or what started the job.
  init.user = machine.claims_container == "none" ? "root" : persona.user.name;
  add(init, false);
  for (const Daemon& daemon : machine.daemons)
    if (daemon.pid > 1)
      add(daemon, machine.claims_container == "none" && daemon.user == persona.user.name);
  return looks;
}

std::optional<ShownState> shown_state(const Machine& machine) {
  if (machine.claims_container == "none") return ShownState{0, 0, 0, all_capabilities};
  if (machine.claims_container == "docker") return ShownState{2, 1, 0, docker_capabilities};
  // A pod of the strictest profile: one filter, and no way to more privileges.
  return ShownState{2, 1, 1, 0};
}

std::vector<ProcessFileRule> process_file_rules(const MachineView& view, bool counted) {
  const auto shared = kept(view);
  const std::optional<ShownState> state = shown_state(view.machine);
  std::vector<ProcessFileRule> rules;
  auto fixed = [&](const char* name, std::string content) {
    rules.push_back({name, false, [content = std::move(content)](const ProcessFile&) {
                       return std::optional(content);
                     }});
  };
  rules.push_back(
      {"status", true,
       [shared, state, common = common_rows(view, state, counted)](const ProcessFile& file) {
         return std::optional(status_file(*shared, state, common, file));
       }});
  rules.push_back(
      {"stat", true, [shared](const ProcessFile& file) { return stat_file_of(*shared, file); }});
  rules.push_back(
      {"limits", true, [shared](const ProcessFile& file) { return limits_file(*shared, file); }});
  rules.push_back(
      {"statm", false, [shared](const ProcessFile& file) { return statm_file(*shared, file); }});
  if (const std::vector<MountRow> rows = mount_rows(view); !rows.empty()) {
    fixed("mountinfo", mountinfo_file(rows));
    fixed("mounts", mounts_file(rows));
    fixed("mountstats", mountstats_file(rows));
  }
  if (!view.machine.cgroup_root) {
    fixed("cgroup", "0::/\n");
  } else {
    const std::string session =
        fmt::format("0::/user.slice/user-{}.slice/session-{}.scope\n", view.user, view.session);
    rules.push_back({"cgroup", false, [shared, session](const ProcessFile& file) {
                       const ProcessLook* look = look_of(*shared, file.process);
                       if (look == nullptr || look->unit.empty()) return std::optional(session);
                       if (look->kernel) return std::optional<std::string>("0::/\n");
                       return std::optional(file.process == 1 ? std::string("0::/init.scope\n")
                                                              : "0::/" + look->unit + "\n");
                     }});
    // A service never logged in: the kernel's -1.
    for (const auto& [name, value] : {std::pair<const char*, std::uint64_t>{"loginuid", view.user},
                                      {"sessionid", view.session}})
      rules.push_back({name, false, [shared, value](const ProcessFile& file) {
                         const ProcessLook* look = look_of(*shared, file.process);
                         const bool service = look != nullptr && !look->unit.empty();
                         return std::optional(std::to_string(service ? 4294967295U : value));
                       }});
    rules.push_back(
        {"sched", true, [shared](const ProcessFile& file) { return sched_file(*shared, file); }});
    rules.push_back({"autogroup", false, [shared](const ProcessFile& file) {
                       const ProcessLook* look = look_of(*shared, file.process);
                       return look == nullptr ? std::nullopt
                                              : std::optional(fmt::format("/autogroup-{} nice 0\n",
                                                                          2 + look->pid / 7));
                     }});
    rules.push_back({"oom_score_adj", false, [shared](const ProcessFile& file) {
                       const ProcessLook* look = look_of(*shared, file.process);
                       return look == nullptr ? std::nullopt
                                              : std::optional(fmt::format("{}\n", look->kill_rank));
                     }});
    // Of a process that uses next to nothing: two thirds of the thousand, shifted by the rank.
    rules.push_back({"oom_score", false, [shared](const ProcessFile& file) {
                       const ProcessLook* look = look_of(*shared, file.process);
                       const int score = look == nullptr || look->pid == 1
                                             ? 0
                                             : std::max(0, 666 + look->kill_rank * 2 / 3);
                       return look == nullptr ? std::nullopt
                                              : std::optional(fmt::format("{}\n", score));
                     }});
  }
  // AppArmor, which Debian's and most other kernels of containers run under.
  const std::string label = view.machine.claims_container == "none" ? "unconfined\n"
                            : view.machine.claims_container == "docker"
                                ? "docker-default (enforce)\n"
                                : "cri-containerd.apparmor.d (enforce)\n";
  rules.push_back({"attr/current", false, [shared, label](const ProcessFile& file) {
                     const ProcessLook* look = look_of(*shared, file.process);
                     return std::optional(look != nullptr && look->kernel ? "unconfined\n" : label);
                   }});
  // No user namespace of its own, neither on a machine nor in a container of the usual kind.
  for (const char* name : {"uid_map", "gid_map"}) fixed(name, "         0          0 4294967295\n");
  fixed("setgroups", "allow\n");
  fixed("timens_offsets", "monotonic           0         0\nboottime            0         0\n");
  return rules;
}

}  // namespace gyges::cues
