#include "sandbox/cues/audit/consistency.h"

#include <fnmatch.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <set>

#include "base/text.h"

namespace gyges::cues {
namespace {

// How a channel states a fact, so that all statements can be compared as text.
using Form = std::optional<std::string> (*)(const std::string& value);

std::string trimmed(std::string text) {
  const char* space = " \t\n";
  text.erase(0, text.find_first_not_of(space));
  text.erase(text.find_last_not_of(space) + 1);
  // Brand strings are padded between their words too.
  for (std::size_t at = 0; (at = text.find("  ", at)) != std::string::npos;) text.erase(at, 1);
  return text;
}

std::optional<std::string> whole(const std::string& value) {
  return trimmed(value);
}

std::optional<std::string> word(const std::string& value, std::size_t index) {
  std::size_t seen = 0;
  for (const std::string& part : split(value, ' '))
    if (!part.empty() && seen++ == index) return part;
  return std::nullopt;
}
std::optional<std::string> second_word(const std::string& value) {
  return word(value, 1);
}
std::optional<std::string> third_word(const std::string& value) {
  return word(value, 2);
}
std::optional<std::string> first_number(const std::string& value) {
  std::size_t at = value.find_first_of("0123456789");
  if (at == std::string::npos) return std::nullopt;
  return std::to_string(std::strtoull(value.c_str() + at, nullptr, 10));
}
// "0-1,4": 3
std::optional<std::string> length_of_list(const std::string& value) {
  unsigned long count = 0;
  for (const std::string& part : split(value, ',')) {
    char* end = nullptr;
    unsigned long first = std::strtoul(part.c_str(), &end, 10);
    if (end == part.c_str()) return std::nullopt;
    unsigned long last = *end == '-' ? std::strtoul(end + 1, nullptr, 10) : first;
    if (last < first || last - first > 100'000) return std::nullopt;
    count += last - first + 1;
  }
  return std::to_string(count);
}
std::optional<std::string> minus_one(const std::string& value) {
  long number = std::strtol(value.c_str(), nullptr, 10);
  return number > 0 ? std::optional(std::to_string(number - 1)) : std::nullopt;
}
std::optional<std::string> yes_if_any(const std::string& value) {
  return std::strtol(value.c_str(), nullptr, 10) > 0 ? "yes" : "no";
}
std::optional<std::string> bits_set(const std::string& value) {
  int bits = 0;
  for (char c : value) {
    if (c == ',') continue;
    const char digit[] = {c, 0};
    char* end = nullptr;
    unsigned long number = std::strtoul(digit, &end, 16);
    if (*end != 0) return std::nullopt;
    for (; number != 0; number >>= 1U) bits += static_cast<int>(number & 1U);
  }
  return std::to_string(bits);
}
// "6.18.44-fc" and "6.18.44": "6.18". Distributions keep the third number of their releases where
// it was (Debian's 6.1.0-44 is 6.1.164, and the note says that).
std::optional<std::string> series_of_release(const std::string& value) {
  const std::size_t first = value.find('.');
  if (first == std::string::npos) return std::nullopt;
  return value.substr(0, value.find_first_not_of("0123456789", first + 1));
}
std::optional<std::string> sorted_words(const std::string& value) {
  std::set<std::string> words;
  for (std::string& part : split(value, ' '))
    if (!part.empty()) words.insert(std::move(part));
  return join({words.begin(), words.end()}, " ");
}
// "0000:00:03.0" and "03.0", of the first bus alone.
std::optional<std::string> without_domain(const std::string& value) {
  std::set<std::string> slots;
  for (const std::string& name : split(value, ' ')) {
    if (name.starts_with("0000:00:"))
      slots.insert(name.substr(8));
    else if (!name.empty() && name.find(':') == std::string::npos)
      slots.insert(name);
  }
  return join({slots.begin(), slots.end()}, " ");
}
std::optional<std::string> type_of_statfs(const std::string& value) {
  struct Row {
    const char* magic;
    const char* name;
  };
  static constexpr Row rows[] = {{"type=794c7630 ", "overlay"}, {"type=1021994 ", "tmpfs"},
                                 {"type=ef53 ", "ext"},         {"type=58465342 ", "xfs"},
                                 {"type=9123683e ", "btrfs"},   {"type=9fa0 ", "proc"},
                                 {"type=62656572 ", "sysfs"}};
  for (const Row& row : rows)
    if (value.starts_with(row.magic)) return row.name;
  return std::nullopt;
}
std::optional<std::string> type_of_mount(const std::string& value) {
  std::size_t at = value.rfind("system=");
  // Two mounts at one place: which of them shows is not said.
  if (at == std::string::npos || value.find(" | ") != std::string::npos) return std::nullopt;
  std::string type = value.substr(at + 7, value.find(' ', at) - at - 7);
  return type == "ext2" || type == "ext3" || type == "ext4" ? "ext" : type;
}
std::optional<std::string> first_field(const std::string& value) {
  return value.substr(0, value.find(':'));
}
std::optional<std::string> sixth_field(const std::string& value) {
  std::vector<std::string> fields = split(value, ':');
  return fields.size() > 5 ? std::optional(fields[5]) : std::nullopt;
}
struct Statement {
  const char* fact;
  const char* channel;
  Form form;
};

const Statement statements[] = {
    {"release of the kernel", "K1.uname.release", whole},
    {"release of the kernel", "K1.uname.release_libc", whole},
    {"release of the kernel", "K2.proc.osrelease", whole},
    {"release of the kernel", "K2.proc.version", third_word},
    {"release of the kernel", "C.uname", third_word},
    {"series of the kernel", "K1.uname.release", series_of_release},
    {"series of the kernel", "K3.auxv.vdso_version", series_of_release},
    {"build of the kernel", "K1.uname.version", whole},
    {"build of the kernel", "K1.uname.version_libc", whole},
    {"build of the kernel", "K2.proc.sysversion", whole},
    {"machine", "K1.uname.machine", whole},
    {"machine", "C.arch", whole},
    {"machine", "K3.auxv.platform", whole},
    {"host name", "K1.uname.nodename", whole},
    {"host name", "K1.uname.nodename_libc", whole},
    {"host name", "K2.proc.hostname", whole},
    {"host name", "E8.identity.hostname", whole},
    {"host name", "N2.hostname_file", whole},
    {"host name", "C.hostname", whole},
    {"host name", "C.uname", second_word},
    {"host name", "E.env.HOSTNAME", whole},
    {"processors", "K11.information.processors_online", whole},
    {"processors", "T2.cpuinfo.processors", whole},
    {"processors", "T5.stat_processors", minus_one},
    {"processors", "T5.cpu.online", length_of_list},
    {"processors this process may use", "P18.affinity.raw", first_number},
    {"processors this process may use", "P18.affinity.libc", first_number},
    {"processors this process may use", "P18.allowed", bits_set},
    {"processors this process may use", "P18.allowed_list", length_of_list},
    {"processors this process may use", "C.nproc", whole},
    {"model of the processor", "T1.cpuid.brand", whole},
    {"model of the processor", "T2.cpuinfo.model", whole},
    {"model of the processor", "C.lscpu.model", whole},
    {"maker of the processor", "T1.cpuid.vendor", whole},
    {"maker of the processor", "T2.cpuinfo.vendor", whole},
    {"hypervisor bit", "T1.cpuid.hypervisor_bit", yes_if_any},
    {"hypervisor bit", "T2.cpuinfo.hypervisor", yes_if_any},
    {"memory", "K11.memory.total", first_number},
    {"memory", "K11.information.total_ram_kb", first_number},
    {"swap space", "K11.memory.swap", first_number},
    {"swap space", "K11.information.total_swap_kb", first_number},
    {"system call filter", "P7.seccomp", whole},
    {"system call filter", "P7.prctl.seccomp", whole},
    {"whether privileges can be gained", "P8.no_new_privs", whole},
    {"whether privileges can be gained", "P7.prctl.no_new_privs", whole},
    {"bounding set", "P9.bounding", whole},
    {"bounding set", "P7.prctl.bounding_set", whole},
    {"effective capabilities", "P9.effective", whole},
    {"effective capabilities", "P7.prctl.effective_set", whole},
    {"functions of PCI", "K7.pci_functions.names", without_domain},
    {"functions of PCI", "K7.pci_list.names", without_domain},
    {"network interfaces", "N1.interface.sysfs", sorted_words},
    {"network interfaces", "N1.interface.procfs", sorted_words},
    {"network interfaces", "N1.links", sorted_words},
    {"cache of the processor", "T1.cpuid.last_cache_kb", first_number},
    {"cache of the processor", "T5.cpu.cpu0_cache_index3_size", first_number},
    {"type of the root", "F3.system.root", type_of_statfs},
    {"type of the root", "F2.mount./", type_of_mount},
    {"type of /tmp", "F3.system.tmp", type_of_statfs},
    {"type of /tmp", "F2.mount./tmp", type_of_mount},
    {"type of /home", "F2.mount./home", type_of_mount},
    {"machine id", "F7.installed.machine_id", whole},
    {"machine id", "F7.installed.dbus_id", whole},
    {"user", "E8.identity.account", first_field},
    {"user", "E.env.USER", whole},
    {"user", "E.env.LOGNAME", whole},
    {"home directory", "E8.identity.account", sixth_field},
    {"home directory", "E.env.HOME", whole},
    {"time zone", "E9.limit.zone", whole},
    {"time zone", "C.zone", whole},
    {"number of the login", "P14.sessionid", whole},
    {"number of the login", "E.env.XDG_SESSION_ID", whole},
    {"umask", "E9.limit.umask", first_number},
    {"umask", "P20.umask", first_number},
    {"process id", "P2.ids.pid", whole},
    {"process id", "P2.ids.pid_raw", whole},
    {"process id", "P2.ids.tid", whole},
};

// Facts of which one reading is out of every mechanism's reach (docs/cue_mechanisms.md).
struct BeyondReach {
  std::string_view fact;
  Severity severity;
  std::string_view hidden_by;
};

constexpr BeyondReach beyond_reach[] = {
    // The kernel maps its vDSO into every program; to take it out takes a tracer at every execve.
    {"series of the kernel", Severity::medium,
     "a host or virtual machine with that kernel, or a persona with this host's"},
};

// Readings that allow one value only; the difference was taken inside.
struct Requirement {
  const char* fact;
  const char* channel;  // glob
  const char* value;
};

const Requirement requirements[] = {
    {"uptime by sysinfo and clock", "T8.uptime.sysinfo_minus_boottime", "0"},
    {"uptime by procfs and clock", "T8.uptime.proc_minus_boottime", "0"},
    {"start of the machine by procfs and clocks", "T8.uptime.btime_plus_boottime_minus_now", "0"},
    {"interrupts by number and as a table", "K8.interrupt_sums", "yes"},
    {"memory and its zones", "K11.zones.fit", "yes"},
    {"rows of status and the kernel's release", "P20.rows", "yes"},
    {"newest process by loadavg", "P2.newest", "yes"},
    {"control group of this process and its directory", "K10.own_group", "yes"},
    {"limits of this process's group", "K10.group_limits", "yes"},
    {"limit of open files", "K18.open_files", "yes"},
    {"counts of disks by sysfs and procfs", "K9.counts", "yes"},
    {"room of the root's disk at its mounts", "F13.disk", "yes"},
    {"types of mounts and those of the kernel", "K15.types", "yes"},
    {"login prompt of utmp and its process", "P14.login_screen", "yes"},
    {"idle time and uptime", "T8.uptime.idle_possible", "yes"},
    {"clock of library and kernel", "T12.clock.library_minus_raw_*", "0"},
    {"clock of the kernel, coarse and fine", "T12.clock.coarse_minus_fine", "0"},
    {"clock of time(2)", "T12.clock.time_minus_realtime", "0"},
    {"clock and dates of new files", "T12.clock.file_minus_realtime", "0"},
    {"clock and date of /etc/passwd", "T12.clock.passwd_in_future", "no"},
};

void check_processes(const Reading& reading, std::vector<Contradiction>& found) {
  const Observation* visible = reading.find("P4.processes.visible");
  const Observation* counted = reading.find("P4.processes.counted_by_sysinfo");
  if (visible == nullptr || counted == nullptr || !visible->present() || !counted->present())
    return;
  // In a container the whole machine is counted, of which it sees a part: OVERLAYFS_SUPER_MAGIC.
  const Observation* root = reading.find("F3.system.root");
  if (root != nullptr && root->present() && root->value.starts_with("type=794c7630 ")) return;
  // Threads are counted, not listed; few programs have more than eight.
  long listed = std::strtol(visible->value.c_str(), nullptr, 10);
  long all = std::strtol(counted->value.c_str(), nullptr, 10);
  if (all > listed * 8 + 20)
    found.push_back({"number of processes",
                     {{"P4.processes.visible", visible->value},
                      {"P4.processes.counted_by_sysinfo", counted->value}},
                     Severity::critical,
                     {}});
}

// What a kernel does about a weakness it does for processors that have it.
void check_weaknesses(const Reading& reading, std::vector<Contradiction>& found) {
  const Observation* bugs = reading.find("T2.cpuinfo.bugs");
  if (bugs == nullptr || !bugs->present()) return;
  struct Row {
    const char* channel;
    const char* word;
  };
  static constexpr Row rows[] = {{"T5.cpu.vulnerabilities_spec_rstack_overflow", "srso"},
                                 {"T5.cpu.vulnerabilities_retbleed", "retbleed"},
                                 {"T5.cpu.vulnerabilities_tsx_async_abort", "taa"},
                                 {"T5.cpu.vulnerabilities_meltdown", "cpu_meltdown"},
                                 {"T5.cpu.vulnerabilities_mds", "mds"},
                                 {"T5.cpu.vulnerabilities_l1tf", "l1tf"}};
  const std::vector<std::string> known = split(bugs->value, ' ');
  for (const Row& row : rows) {
    const Observation* state = reading.find(row.channel);
    if (state == nullptr || !state->present()) continue;
    const bool affected = !state->value.starts_with("Not affected");
    const bool named = std::find(known.begin(), known.end(), row.word) != known.end();
    if (affected != named)
      found.push_back({"weaknesses of the processor",
                       {{"T2.cpuinfo.bugs", bugs->value}, {row.channel, state->value}},
                       Severity::critical,
                       {}});
  }
}

// A kernel with loaded modules lists them.
void check_modules(const Reading& reading, std::vector<Contradiction>& found) {
  const Observation* listed = reading.find("K5.modules");
  const Observation* loaded = reading.find("K5.modules_loaded");
  if (listed == nullptr || loaded == nullptr || !loaded->present() || loaded->value == "0") return;
  if (listed->shown() != loaded->value)
    found.push_back({"loaded modules",
                     {{"K5.modules", listed->shown()}, {"K5.modules_loaded", loaded->value}},
                     Severity::critical,
                     {}});
}

// Names of hypervisors in the firmware, and a processor that knows of none.
void check_firmware(const Reading& reading, std::vector<Contradiction>& found) {
  const Observation* bit = reading.find("T1.cpuid.hypervisor_bit");
  const Observation* maker = reading.find("K13.dmi.sys_vendor");
  if (bit == nullptr || maker == nullptr || !bit->present() || !maker->present()) return;
  bool says_so = false;
  for (const char* name : {"QEMU", "KVM", "Bochs", "VMware", "Xen", "innotek", "Amazon EC2",
                           "Google", "OpenStack", "Red Hat"})
    says_so = says_so || maker->value.find(name) != std::string::npos;
  if (says_so && bit->value == "0")
    found.push_back({"virtual machine by firmware and processor",
                     {{"K13.dmi.sys_vendor", maker->value}, {"T1.cpuid.hypervisor_bit", "0"}},
                     Severity::critical,
                     {}});
  // The processor's own word for it, which is no file.
  const Observation* named = reading.find("T1.cpuid.hypervisor_name");
  if (named == nullptr || !named->present() || bit->value != "1") return;
  struct Row {
    const char* maker;
    const char* names;  // of hypervisors on which its machines run
  };
  static constexpr Row rows[] = {{"QEMU", "KVMKVMKVM TCGTCGTCG"},
                                 {"Red Hat", "KVMKVMKVM"},
                                 {"OpenStack", "KVMKVMKVM VMwareVMware XenVMMXenVMM Microsoft"},
                                 {"Amazon EC2", "KVMKVMKVM XenVMMXenVMM"},
                                 {"Google", "KVMKVMKVM"},
                                 {"VMware", "VMwareVMware"},
                                 {"Microsoft", "Microsoft"},
                                 {"innotek", "VBoxVBoxVBox KVMKVMKVM"}};
  const std::string name = named->value.substr(0, named->value.find(' '));
  for (const Row& row : rows)
    if (maker->value.find(row.maker) != std::string::npos && !name.empty() &&
        std::string_view(row.names).find(name) == std::string_view::npos)
      found.push_back(
          {"hypervisor by firmware and processor",
           {{"K13.dmi.sys_vendor", maker->value}, {"T1.cpuid.hypervisor_name", named->value}},
           Severity::high,
           "a host on the hypervisor that the persona claims"});
}

}  // namespace

std::vector<Contradiction> find_contradictions(const Reading& reading) {
  std::vector<Contradiction> found;
  for (std::size_t i = 0; i < std::size(statements);) {
    Contradiction fact{statements[i].fact, {}, Severity::critical, {}};
    std::set<std::string> distinct;
    for (; i < std::size(statements) && fact.fact == statements[i].fact; ++i) {
      const Observation* seen = reading.find(statements[i].channel);
      // A command that failed states nothing.
      if (seen == nullptr || !seen->present() || seen->value.starts_with("exit status ") ||
          seen->value.starts_with("(no such"))
        continue;
      std::optional<std::string> value = statements[i].form(seen->value);
      if (!value) continue;
      distinct.insert(*value);
      fact.readings[statements[i].channel] = seen->value;
    }
    if (distinct.size() < 2) continue;
    for (const BeyondReach& row : beyond_reach)
      if (row.fact == fact.fact) {
        fact.severity = row.severity;
        fact.hidden_by = row.hidden_by;
      }
    found.push_back(std::move(fact));
  }
  for (const Requirement& row : requirements)
    for (const auto& [channel, seen] : reading.observations)
      if (seen.present() && seen.value != row.value &&
          ::fnmatch(row.channel, channel.c_str(), 0) == 0)
        found.push_back({row.fact, {{channel, seen.value}}, Severity::critical, {}});
  check_processes(reading, found);
  check_firmware(reading, found);
  check_weaknesses(reading, found);
  check_modules(reading, found);
  return found;
}

}  // namespace gyges::cues
