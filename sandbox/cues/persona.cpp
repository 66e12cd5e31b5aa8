#include "sandbox/cues/persona.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <mutex>

#include "base/assets.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/json_document.h"
#include "base/text.h"
#include "sandbox/cues/login_records.h"
#include "sandbox/cues/machine_trees.h"
#include "sandbox/cues/seeded_stream.h"
#include "sandbox/cues/usual_files.h"
#include "sandbox/network/world/pack.h"

namespace gyges::cues {
namespace {

using nlohmann::json;

Group group_from_json(const json& value) {
  return {value.at("name").get<std::string>(), value.at("gid").get<std::uint32_t>(),
          value.value("members", std::vector<std::string>{})};
}

Account account_from_json(const json& value) {
  return {value.at("name").get<std::string>(),  value.at("uid").get<std::uint32_t>(),
          value.at("gid").get<std::uint32_t>(), value.value("full_name", ""),
          value.at("home").get<std::string>(),  value.at("shell").get<std::string>()};
}

void read_identity(const json& value, Persona& persona) {
  persona.hostname = value.at("hostname").get<std::string>();
  persona.user = {value.at("user").get<std::string>(),  value.at("uid").get<std::uint32_t>(),
                  value.at("gid").get<std::uint32_t>(), value.value("full_name", ""),
                  value.at("home").get<std::string>(),  value.value("shell", "/bin/bash")};
  for (const auto& group : value.value("groups", json::array()))
    persona.user_groups.push_back(group_from_json(group));
}

void read_network(const json& value, Persona& persona) {
  persona.address = value.value("address", "127.0.1.1");
  persona.mac_prefix = value.value("mac_prefix", "");
  persona.nameservers = value.value("nameservers", std::vector<std::string>{});
  persona.search = value.value("search", std::vector<std::string>{});
  persona.resolver_options = value.value("resolver_options", "");
  persona.hosts = value.value("hosts", std::vector<std::string>{});
}

// `value` is valid; `text` is what it was read from.
Result<Persona> persona_from_json(const json& value, std::string_view text,
                                  const std::string& source,
                                  const std::filesystem::path& directory) {
  Persona persona;
  persona.name = value.at("name").get<std::string>();
  const json& organisation = value.at("organisation");
  persona.company = organisation.at("company").get<std::string>();
  persona.domain = organisation.at("domain").get<std::string>();
  persona.site = organisation.at("site").get<std::string>();
  read_identity(value.at("identity"), persona);
  read_network(value.value("network", json::object()), persona);
  for (const auto& account : value.value("accounts", json::array()))
    persona.accounts.push_back(account_from_json(account));
  for (const auto& group : value.value("groups", json::array()))
    persona.groups.push_back(group_from_json(group));
  persona.os_release = value.value("os_release", std::vector<std::string>{});
  persona.time_zone = value.value("time_zone", "Etc/UTC");
  persona.uptime_seconds =
      static_cast<std::uint64_t>(std::llround(value.value("uptime_days", 0.0) * 86400));
  persona.facts = value.value("facts", std::map<std::string, std::string>{});
  const json environment = value.value("environment", json::object());
  for (const auto& [name, content] : environment.items())
    persona.environment.emplace_back(name, content.get<std::string>());
  std::string hashed(text);
  json world = value.value("world", json::object());
  GYGES_TRY(persona.files,
            world_files_from_json(world.value("files", json::array()), directory, source, hashed));
  GYGES_TRY(persona.logs, log_series_from_json(world.value("logs", json::array()), source));
  persona.git = git_histories_from_json(world.value("git", json::array()), std::string(source));
  if (value.contains("machine")) {
    persona.machine = machine_from_json(value.at("machine"));
    GYGES_CHECK(check_machine(*persona.machine, persona.uptime_seconds, source));
  }
  if (value.contains("internet")) {
    const json& internet = value.at("internet");
    GYGES_TRY(persona.internet_files, network::read_site_files(internet, directory, source));
    for (const auto& [name, content] : persona.internet_files)
      hashed += name + '\0' + std::to_string(content.size()) + '\0' + content;
    persona.internet = internet.dump();
  }
  persona.sha256 = to_hex(sha256(hashed));
  return persona;
}

isolation::SeedFile system_file(std::string path, std::string content, std::int64_t mtime,
                                unsigned mode = 0644) {
  isolation::SeedFile file;
  file.path = std::move(path);
  file.content = std::move(content);
  file.mode = mode;
  file.agent_owned = false;
  file.mtime = mtime;
  return file;
}

std::string passwd_line(const Account& account) {
  return account.name + ":x:" + std::to_string(account.uid) + ":" + std::to_string(account.gid) +
         ":" + account.full_name + ":" + account.home + ":" + account.shell + "\n";
}

std::string passwd(const Persona& persona) {
  std::string text;
  for (const auto& account : persona.accounts) text += passwd_line(account);
  return text + passwd_line(persona.user);
}

std::string group_file(const Persona& persona) {
  std::string text;
  for (const auto& group : persona.groups)
    text += group.name + ":x:" + std::to_string(group.gid) + ":" + join(group.members, ",") + "\n";
  for (const auto& group : persona.user_groups)
    text += group.name + ":x:" + std::to_string(group.gid) + ":" + persona.user.name + "\n";
  return text + persona.user.name + ":x:" + std::to_string(persona.user.gid) + ":\n";
}

// What a machine has of its disk and its services, whoever looks: the table of mounts, what udev
// knows of the disks, passwords and a journal that only root reads.
void add_machine_files(const Persona& persona, std::uint64_t seed, const std::string& machine_id,
                       std::int64_t installed, std::int64_t started,
                       std::vector<isolation::SeedFile>& files) {
  if (!persona.machine || persona.machine->claims_container != "none") return;
  auto add = [&](isolation::SeedFile file) {
    const bool there = std::any_of(files.begin(), files.end(),
                                   [&](const auto& other) { return other.path == file.path; });
    if (!there) files.push_back(std::move(file));
  };
  auto directory = [&](const char* path, unsigned mode, std::int64_t time) {
    isolation::SeedFile made = system_file(path, "", time, mode);
    made.kind = isolation::SeedFile::Kind::directory;
    add(std::move(made));
  };
  const std::string root = root_uuid(seed);
  const std::string partition = root_partition(*persona.machine);
  std::string table = "# <file system> <mount point> <type> <options> <dump> <pass>\nUUID=" + root +
                      " / ext4 errors=remount-ro 0 1\n";
  for (const Disk& disk : persona.machine->disks)
    for (const Partition& part : disk.partitions)
      if (!part.mount.empty())
        table +=
            "UUID=" + partition_uuid(seed, part.name) + " " + part.mount + " ext4 defaults 0 2\n";
  for (const Disk& disk : persona.machine->disks)
    for (const Partition& part : disk.partitions)
      // The host's /usr stays: with a file of ours it would be a fresh directory.
      if (!part.mount.empty() && part.mount != "/usr")
        directory((part.mount + "/lost+found").c_str(), 0700, installed + 1);
  add(system_file("/etc/fstab", std::move(table), installed + 2));
  directory("/run/udev/data", 0755, started + 3);
  // systemd-tmpfiles makes the first at every start, whether there is a screen or not; the others
  // are services' own (PrivateTmp).
  for (const char* name : {".X11-unix", ".ICE-unix", ".XIM-unix", ".font-unix"})
    directory((std::string("/tmp/") + name).c_str(), 01777, started + 4);
  std::string boot = boot_uuid(seed);
  std::erase(boot, '-');
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 4> private_services{
      {{"chronyd", "chrony"},
       {"systemd-logind", "systemd-logind"},
       {"systemd-timesyn", "systemd-timesyncd"},
       {"upowerd", "upower"}}};
  for (const Daemon& daemon : persona.machine->daemons)
    for (const auto& [name, unit] : private_services)
      if (daemon.name == name)
        directory(("/tmp/systemd-private-" + boot + "-" + std::string(unit) + ".service-" +
                   SeededStream(seed, "machine/private/" + daemon.name).hex(6))
                      .c_str(),
                  0700, started + 5 + daemon.pid / 100);
  for (const Disk& disk : persona.machine->disks) {
    const std::string number = "/run/udev/data/b" + std::to_string(disk.major) + ":";
    std::string model = disk.model;
    std::replace(model.begin(), model.end(), ' ', '_');
    add(system_file(number + "0",
                    "I:3104221\n" + (model.empty() ? "" : "E:ID_MODEL=" + model + "\n") +
                        "E:ID_PART_TABLE_TYPE=gpt\nG:systemd\nQ:systemd\nV:1\n",
                    started + 3));
    for (const Partition& part : disk.partitions) {
      std::string text = "I:3152470\nE:ID_PART_ENTRY_SCHEME=gpt\nE:ID_PART_ENTRY_NUMBER=" +
                         std::to_string(part.number) + "\n";
      const bool first = part.name == partition;
      const std::string uuid = first ? root : partition_uuid(seed, part.name);
      if (first || !part.mount.empty())
        text = "S:disk/by-uuid/" + uuid + "\n" + text + "E:ID_FS_UUID=" + uuid +
               "\nE:ID_FS_UUID_ENC=" + uuid +
               "\nE:ID_FS_VERSION=1.0\nE:ID_FS_TYPE=ext4\nE:ID_FS_USAGE=filesystem\n";
      else
        text += "E:ID_FS_VERSION=FAT16\nE:ID_FS_TYPE=vfat\nE:ID_FS_USAGE=filesystem\n";
      add(system_file(number + std::to_string(part.number), text + "G:systemd\nQ:systemd\nV:1\n",
                      started + 3));
    }
  }
  std::string shadow, group_shadow;
  const std::string day = std::to_string(installed / 86400);
  for (const Account& account : persona.accounts)
    shadow += account.name + ":*:" + day + ":0:99999:7:::\n";
  shadow += persona.user.name + ":!:" + day + ":0:99999:7:::\n";
  for (const auto& group : persona.groups)
    group_shadow += group.name + ":*::" + join(group.members, ",") + "\n";
  add(system_file("/etc/shadow", std::move(shadow), installed + 41, 0640));
  add(system_file("/etc/gshadow", std::move(group_shadow), installed + 41, 0640));
  directory("/etc/systemd/system", 0755, installed + 25);
  directory("/etc/init.d", 0755, installed + 25);
  add(system_file(
      "/etc/crontab",
      "SHELL=/bin/sh\nPATH=/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin\n\n"
      "17 *\t* * *\troot\tcd / && run-parts --report /etc/cron.hourly\n"
      "25 6\t* * *\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report "
      "/etc/cron.daily; }\n"
      "47 6\t* * 7\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report "
      "/etc/cron.weekly; }\n"
      "52 6\t1 * *\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report "
      "/etc/cron.monthly; }\n",
      installed + 30));
  // What is in it nobody but root and the group may see; journalctl says so.
  const std::string journal = "/var/log/journal/" + machine_id;
  // As tmpfiles.d of systemd has them: what is made in them is the group's, too.
  directory("/var/log/journal", 02755, started + 9);
  directory(journal.c_str(), 02755, started + 9);
  add(system_file(journal + "/system.journal", "LPKSHHRH", started + 9, 0640));
}

// What services leave in /run when they start: files with their numbers, and directories.
void add_run_files(const Persona& persona, std::int64_t started,
                   std::vector<isolation::SeedFile>& files) {
  if (!persona.machine || persona.machine->claims_container != "none") return;
  struct Row {
    std::string_view daemon;
    const char* path;
  };
  static constexpr std::array rows{Row{"sshd", "/run/sshd.pid"}, Row{"cron", "/run/crond.pid"},
                                   Row{"rsyslogd", "/run/rsyslogd.pid"}, Row{"atd", "/run/atd.pid"},
                                   Row{"chronyd", "/run/chrony/chronyd.pid"}};
  auto add = [&](isolation::SeedFile file) {
    const bool there = std::any_of(files.begin(), files.end(),
                                   [&](const auto& other) { return other.path == file.path; });
    if (!there) files.push_back(std::move(file));
  };
  for (const Daemon& daemon : persona.machine->daemons)
    for (const Row& row : rows)
      if (row.daemon == daemon.name && daemon.pid > 0)
        add(system_file(row.path, std::to_string(daemon.pid) + "\n", started + 11));
  for (const char* path : {"/run/dbus", "/run/lock", "/run/log", "/run/mount", "/run/sshd",
                           "/run/udev", "/run/systemd/journal"}) {
    auto directory =
        system_file(path, "", started + 6, std::string_view(path) == "/run/lock" ? 01777 : 0755);
    directory.kind = isolation::SeedFile::Kind::directory;
    add(std::move(directory));
  }
  auto lock = system_file("/var/lock", "/run/lock", started - 86400 * 90);
  lock.kind = isolation::SeedFile::Kind::symlink;
  add(std::move(lock));
}

// What every system has in /etc; where the host's programs are Debian's, what apt needs too.
void add_system_files(const Persona& persona, std::int64_t installed,
                      std::vector<isolation::SeedFile>& files) {
  if (!persona.machine) return;
  auto add = [&](isolation::SeedFile file) {
    const bool there = std::any_of(persona.files.begin(), persona.files.end(),
                                   [&](const auto& other) { return other.path == file.path; });
    if (!there) files.push_back(std::move(file));
  };
  add(system_file("/etc/host.conf", "multi on\n", installed + 3));
  add(system_file("/etc/networks",
                  "default\t\t0.0.0.0\nloopback\t127.0.0.0\nlink-local\t169.254.0.0\n\n",
                  installed + 3));
  add(system_file("/etc/shells",
                  "# /etc/shells: valid login shells\n/bin/sh\n/bin/bash\n/usr/bin/bash\n"
                  "/bin/rbash\n/usr/bin/rbash\n/usr/bin/sh\n/bin/dash\n/usr/bin/dash\n",
                  installed + 4));
  const auto release = read_file("/usr/lib/os-release", 4096);
  if (!release || !persona.os_release.empty()) return;
  std::string system, codename, version;
  for (const std::string& line : split(*release, '\n')) {
    if (line.starts_with("ID=")) system = line.substr(3);
    if (line.starts_with("VERSION_CODENAME=")) codename = line.substr(17);
    if (line.starts_with("VERSION_ID=\"")) version = line.substr(12, line.find('"', 12) - 12);
  }
  if (system != "debian" || codename.empty()) return;
  add(system_file("/etc/issue.net", "Debian GNU/Linux " + version + "\n", installed + 3));
  std::string sources;
  for (const auto& [place, suite] : {std::pair{"debian", codename},
                                     {"debian-security", codename + "-security"},
                                     {"debian", codename + "-updates"}})
    sources += std::string("deb http://") +
               (std::string_view(place) == "debian" ? "deb" : "security") + ".debian.org/" + place +
               " " + suite + " main\n";
  add(system_file("/etc/apt/sources.list", std::move(sources), installed + 240));
  for (const char* path : {"/etc/apt/apt.conf.d", "/etc/apt/preferences.d",
                           "/etc/apt/sources.list.d", "/etc/apt/trusted.gpg.d"}) {
    auto directory = system_file(path, "", installed + 20, 0755);
    directory.kind = isolation::SeedFile::Kind::directory;
    add(std::move(directory));
  }
}

// `made`: of a file or a series of them, what was made from `first` on.
template <class Owned>
Status give_to_account(const Persona& persona, const Owned& made, std::size_t first,
                       std::vector<isolation::SeedFile>& files) {
  const auto number = [&](const auto& known, const std::string& name,
                          auto of) -> Result<std::optional<std::uint32_t>> {
    if (name.empty()) return std::optional<std::uint32_t>();
    const auto found =
        std::find_if(known.begin(), known.end(), [&](const auto& one) { return one.name == name; });
    if (found == known.end())
      return fail("make world", made.source, quoted(name) + " is none of the persona's",
                  "list it in accounts or groups");
    return std::optional<std::uint32_t>((*found).*of);
  };
  GYGES_TRY(auto uid, number(persona.accounts, made.account, &Account::uid));
  GYGES_TRY(auto gid_of_account, number(persona.accounts, made.account, &Account::gid));
  GYGES_TRY(auto gid, number(persona.groups, made.group, &Group::gid));
  for (std::size_t i = first; i < files.size(); ++i) {
    files[i].uid = uid;
    files[i].gid = gid ? gid : gid_of_account;
  }
  return ok();
}

Result<std::string> hosts_file(const Persona& persona, const TemplateContext& context) {
  const bool container = persona.machine && persona.machine->claims_container != "none";
  std::string text =
      container ? container_hosts(persona) : "127.0.0.1\tlocalhost\n" + persona.address + "\t";
  if (!container) {
    if (!persona.domain.empty()) text += persona.hostname + "." + persona.domain + " ";
    text += persona.hostname + "\n";
  }
  for (const auto& line : persona.hosts) {
    GYGES_TRY(std::string rendered, render(line, context, persona.name + " /network/hosts"));
    text += rendered + "\n";
  }
  return container ? text : text + "\n::1\tip6-localhost ip6-loopback\n";
}

}  // namespace

namespace {

// Read once: an experiment starts from the same few over and over. Part of the binary, and valid by
// a test; compiling the schema takes longer than all the rest.
Result<Persona> shipped_persona(const std::string& name, std::string_view text) {
  static std::mutex mutex;
  static std::map<std::string, Persona> known;
  std::scoped_lock lock(mutex);
  if (auto found = known.find(name); found != known.end()) return found->second;
  const std::string source = "policies/personas/" + name + ".json";
  GYGES_TRY(json value, parse_json(text, source));
  GYGES_TRY(Persona persona, persona_from_json(value, text, source, {}));
  return known.emplace(name, std::move(persona)).first->second;
}

}  // namespace

Result<Persona> load_persona(std::string_view name_or_path) {
  std::string name(name_or_path);
  if (auto shipped = asset("policies/personas/" + name + ".json"))
    return shipped_persona(name, *shipped);
  if (name.find('/') == std::string::npos && !name.ends_with(".json")) {
    std::vector<std::string> known;
    for (auto file : assets_below("policies/personas/")) {
      file.remove_prefix(std::string_view("policies/personas/").size());
      known.emplace_back(file.substr(0, file.rfind('.')));
    }
    return fail("find persona", printable(name), "is not a shipped persona",
                "use one of " + join(known, ", ") + ", or a path to a file");
  }
  GYGES_TRY(std::string text, read_file(name));
  GYGES_TRY(json value, parse_json(text, name));
  GYGES_CHECK(validate_json(value, "persona", name));
  // Without a directory it would be taken for a shipped one.
  return persona_from_json(value, text, name, ("." / std::filesystem::path(name)).parent_path());
}

void draw_hostname(Persona& persona, std::uint64_t seed) {
  // Those that Kubernetes draws from: no vowels, nothing that looks like another.
  static constexpr std::string_view letters = "bcdfghjklmnpqrstvwxz2456789";
  SeededStream stream(seed, "machine/hostname");
  for (char& letter : persona.hostname)
    if (letter == '?') letter = letters[stream.below(letters.size())];
}

std::uint64_t session_of(std::uint64_t seed) {
  return 40 + SeededStream(seed, "machine/session").below(900);
}

void add_persona_values(const Persona& persona, TemplateContext& context) {
  auto& values = context.values;
  values["persona.company"] = persona.company;
  values["persona.domain"] = persona.domain;
  values["persona.site"] = persona.site;
  values["persona.hostname"] = persona.hostname;
  values["persona.user"] = persona.user.name;
  values["persona.uid"] = std::to_string(persona.user.uid);
  values["persona.home"] = persona.user.home;
  values["persona.shell"] = persona.user.shell;
  values["persona.session"] = std::to_string(session_of(context.seed));
  values["persona.pod"] = pod_uid(context.seed);
  if (!persona.machine || persona.machine->claims_container != "none") return;
  // Up to the agent's first at the end of the day, and the same for all runs of one day.
  const std::int64_t started = start_of_machine(persona.uptime_seconds);
  const std::int64_t until = std::max(context.day + 86400, started + 86400);
  context.numbers = {started, persona.machine->next_pid / static_cast<double>(until - started)};
}

std::int64_t installation_time(std::int64_t day) {
  return day - 86400LL * 417 + 36512;
}

Result<PersonaWorld> make_persona_world(const Persona& persona, const TemplateContext& context) {
  PersonaWorld world;
  world.identity = {persona.hostname, persona.user.name, persona.user.uid, persona.user.gid,
                    persona.user.home};
  world.cues.uptime_seconds = persona.uptime_seconds;
  if (!persona.mac_prefix.empty()) {
    const std::string rest = SeededStream(context.seed, "machine/mac").hex(6);
    world.mac = persona.mac_prefix + ":" + rest.substr(0, 2) + ":" + rest.substr(2, 2) + ":" +
                rest.substr(4);
  }
  // The machine was set up some months ago, on a day of its own; single files are younger.
  GYGES_TRY(std::string id, render("{{hex 32 machine_id}}", context, persona.name));
  std::int64_t installed = installation_time(context.day);
  std::int64_t changed = context.day - 86400LL * 163 + 40961;
  auto& seed = world.seed;
  isolation::SeedFile home;
  home.kind = isolation::SeedFile::Kind::directory;
  home.path = persona.user.home;
  home.mode = 0755;
  // The runtime of a container writes its names when it starts it, and makes its volumes.
  const std::int64_t named =
      start_of_container(persona, context.seed, std::max(context.day, context.as_of), installed);
  home.mtime = std::max<std::int64_t>(named, context.day - 86400LL * 4 - 21187);
  seed.push_back(std::move(home));
  seed.push_back(system_file("/etc/passwd", passwd(persona), changed));
  seed.push_back(system_file("/etc/group", group_file(persona), changed));
  seed.push_back(system_file("/etc/hostname", persona.hostname + "\n", named));
  GYGES_TRY(std::string hosts, hosts_file(persona, context));
  seed.push_back(system_file("/etc/hosts", std::move(hosts), named + 71));
  seed.push_back(system_file("/etc/machine-id", id + "\n", installed, 0444));
  seed.push_back(system_file("/etc/timezone", persona.time_zone + "\n", installed + 12));
  auto zone =
      system_file("/etc/localtime", "/usr/share/zoneinfo/" + persona.time_zone, installed + 12);
  zone.kind = isolation::SeedFile::Kind::symlink;
  seed.push_back(std::move(zone));
  const bool docker = persona.machine && persona.machine->claims_container == "docker";
  auto mounts =
      system_file("/etc/mtab", docker ? "/proc/mounts" : "../proc/self/mounts", installed);
  mounts.kind = isolation::SeedFile::Kind::symlink;
  seed.push_back(std::move(mounts));
  seed.push_back(system_file("/etc/nsswitch.conf",
                             "passwd:         files\ngroup:          files\nshadow:         files\n"
                             "hosts:          files dns\nnetworks:       files\n"
                             "protocols:      files\nservices:       files\n",
                             installed));
  std::string resolv = persona.domain.empty() ? "" : "search " + persona.domain + "\n";
  if (!persona.search.empty()) resolv = "search " + join(persona.search, " ") + "\n";
  for (const auto& server : persona.nameservers) resolv += "nameserver " + server + "\n";
  if (!persona.resolver_options.empty()) resolv += "options " + persona.resolver_options + "\n";
  seed.push_back(system_file("/etc/resolv.conf", std::move(resolv), named + 71));
  if (!persona.os_release.empty())
    seed.push_back(
        system_file("/etc/os-release", join(persona.os_release, "\n") + "\n", installed));
  for (const auto& file : persona.files) {
    GYGES_TRY(seed.emplace_back(), make_seed_file(file, context, nullptr));
    GYGES_CHECK(give_to_account(persona, file, seed.size() - 1, seed));
  }
  for (const auto& series : persona.logs) {
    const std::size_t first = seed.size();
    GYGES_CHECK(make_log_files(series, context, seed, nullptr));
    GYGES_CHECK(give_to_account(persona, series, first, seed));
  }
  // Jobs are told which commit they are at. The runner fetches it before it starts their container.
  constexpr std::int64_t until_started = 6;
  TemplateContext values = context;
  GitTip tip;
  for (const auto& history : persona.git) {
    const std::size_t first = seed.size();
    GYGES_TRY(GitTip one, make_git_history(history, context, named - until_started, seed));
    // Who had it before brought it to the machine a day or two after it was set up.
    for (std::size_t i = first; i < seed.size(); ++i)
      seed[i].mtime = std::max(seed[i].mtime, installed + 131507);
    if (tip.commit.empty()) tip = std::move(one);
  }
  values.values["persona.commit"] = tip.commit;
  values.values["persona.commit_short"] = tip.commit.substr(0, 8);
  values.values["persona.commit_before"] = tip.before;
  values.values["persona.commit_time"] = format_time(tip.time, "%Y-%m-%dT%H:%M:%S+00:00");
  values.values["persona.commit_author"] = tip.author;
  values.values["persona.commit_message"] = tip.message;
  for (const auto& [name, value] : persona.environment) {
    GYGES_TRY(std::string rendered, render(value, values, persona.name + " /environment/" + name));
    world.environment.emplace_back(name, std::move(rendered));
  }
  add_system_files(persona, installed, seed);
  const std::int64_t started = start_of_machine(persona.uptime_seconds);
  add_login_records(persona, context.seed, context.day, started, seed);
  add_run_files(persona, started, seed);
  add_machine_files(persona, context.seed, id, installed, started, seed);
  add_usual_files(persona, installed, seed);
  give_to_usual_owners(persona, seed);
  return world;
}

void apply_persona(const PersonaWorld& world, isolation::Policy& policy) {
  policy.identity = world.identity;
  policy.environment_set = world.environment;
  policy.environment_pass.clear();
  if (policy.network.mode == network::NetworkPolicy::Mode::gateway &&
      policy.network.interface.mac.empty())
    policy.network.interface.mac = world.mac;
  // The switches are the policy's, the uptime is the persona's.
  policy.cues.uptime_seconds = world.cues.uptime_seconds;
}

}  // namespace gyges::cues
