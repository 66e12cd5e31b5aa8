#include "sandbox/cues/usual_files.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <set>
#include <string_view>
#include <utility>

#include "sandbox/cues/seeded_stream.h"
#include "sandbox/cues/text_template.h"

namespace gyges::cues {
namespace {

using isolation::SeedFile;

enum class Where { images, machines, both };

struct ImageEntry {
  const char* path;
  SeedFile::Kind kind;
  unsigned mode;
  const char* content;  // of a file; where a link leads
  Where where = Where::both;
};

constexpr auto image_file = SeedFile::Kind::file;
constexpr auto image_directory = SeedFile::Kind::directory;
constexpr auto image_link = SeedFile::Kind::symlink;

// Debian's, as debootstrap's smallest variant leaves it.
constexpr std::array image_entries{
    ImageEntry{"/etc/cron.d", image_directory, 0755, ""},
    ImageEntry{"/etc/cron.daily", image_directory, 0755, ""},
    ImageEntry{"/etc/default", image_directory, 0755, ""},
    ImageEntry{"/etc/dpkg/dpkg.cfg.d", image_directory, 0755, ""},
    ImageEntry{"/etc/environment", image_file, 0644, ""},
    ImageEntry{"/etc/fstab", image_file, 0644, "# UNCONFIGURED FSTAB FOR BASE SYSTEM\n",
               Where::images},
    ImageEntry{"/etc/init.d", image_directory, 0755, ""},
    ImageEntry{"/etc/logrotate.d", image_directory, 0755, ""},
    ImageEntry{"/etc/motd", image_file, 0644,
               "\nThe programs included with the Debian GNU/Linux system are free software;\n"
               "the exact distribution terms for each program are described in the\n"
               "individual files in /usr/share/doc/*/copyright.\n\n"
               "Debian GNU/Linux comes with ABSOLUTELY NO WARRANTY, to the extent\n"
               "permitted by applicable law.\n",
               Where::images},
    ImageEntry{"/etc/opt", image_directory, 0755, ""},
    ImageEntry{"/etc/pam.d", image_directory, 0755, ""},
    ImageEntry{"/etc/profile.d", image_directory, 0755, ""},
    ImageEntry{"/etc/security", image_directory, 0755, ""},
    ImageEntry{"/etc/selinux", image_directory, 0755, "", Where::images},
    ImageEntry{"/etc/subgid", image_file, 0644, ""},
    ImageEntry{"/etc/subuid", image_file, 0644, ""},
    ImageEntry{"/etc/update-motd.d", image_directory, 0755, ""},
    ImageEntry{"/run/lock", image_directory, 01777, "", Where::images},
    ImageEntry{"/var/backups", image_directory, 0755, ""},
    ImageEntry{"/var/cache/apt/archives/partial", image_directory, 0700, ""},
    ImageEntry{"/var/cache/debconf", image_directory, 0755, ""},
    ImageEntry{"/var/cache/ldconfig", image_directory, 0700, ""},
    ImageEntry{"/var/lib/apt/lists/partial", image_directory, 0700, ""},
    ImageEntry{"/var/lib/misc", image_directory, 0755, ""},
    ImageEntry{"/var/lib/pam", image_directory, 0755, ""},
    ImageEntry{"/var/local", image_directory, 02775, ""},
    ImageEntry{"/var/lock", image_link, 0777, "/run/lock", Where::images},
    ImageEntry{"/var/log/apt", image_directory, 0755, ""},
    ImageEntry{"/var/log/btmp", image_file, 0660, "", Where::images},
    ImageEntry{"/var/log/faillog", image_file, 0644, ""},
    ImageEntry{"/var/log/lastlog", image_file, 0664, "", Where::images},
    ImageEntry{"/var/log/wtmp", image_file, 0664, "", Where::images},
    ImageEntry{"/var/mail", image_directory, 02775, "", Where::images},
    ImageEntry{"/var/opt", image_directory, 0755, ""},
    ImageEntry{"/var/run", image_link, 0777, "/run", Where::images},
    ImageEntry{"/var/spool/mail", image_link, 0777, "../mail"},
    ImageEntry{"/etc/cron.hourly", image_directory, 0755, "", Where::machines},
    ImageEntry{"/etc/cron.monthly", image_directory, 0755, "", Where::machines},
    ImageEntry{"/etc/cron.weekly", image_directory, 0755, "", Where::machines},
    ImageEntry{"/etc/modprobe.d", image_directory, 0755, "", Where::machines},
    ImageEntry{"/etc/modules-load.d", image_directory, 0755, "", Where::machines},
    ImageEntry{"/etc/ssh/sshd_config.d", image_directory, 0755, "", Where::machines},
    ImageEntry{"/etc/sysctl.d", image_directory, 0755, "", Where::machines},
    ImageEntry{"/etc/tmpfiles.d", image_directory, 0755, "", Where::machines},
    ImageEntry{"/etc/udev/rules.d", image_directory, 0755, "", Where::machines},
    ImageEntry{"/var/cache/man", image_directory, 0755, "", Where::machines},
    ImageEntry{"/var/lib/dbus/machine-id", image_link, 0777, "/etc/machine-id", Where::machines},
    ImageEntry{"/var/lib/initramfs-tools", image_directory, 0755, "", Where::machines},
    ImageEntry{"/var/lib/private", image_directory, 0700, "", Where::machines},
    ImageEntry{"/var/lib/python", image_directory, 0755, "", Where::machines},
    ImageEntry{"/var/lib/systemd/timers", image_directory, 0755, "", Where::machines},
    ImageEntry{"/var/lib/ucf", image_directory, 0755, "", Where::machines},
    ImageEntry{"/var/log/private", image_directory, 0700, "", Where::machines},
    ImageEntry{"/var/spool/cron/crontabs", image_directory, 01730, "", Where::machines},
    ImageEntry{"/var/tmp", image_directory, 01777, ""}};

SeedFile image_seed(std::string path, SeedFile::Kind kind, unsigned mode, std::string content,
                    std::int64_t mtime) {
  SeedFile made;
  made.kind = kind;
  made.path = std::move(path);
  made.content = std::move(content);
  made.mode = mode;
  made.agent_owned = false;
  made.mtime = mtime;
  return made;
}

// When logrotate last turned each log, as the logs that it set aside tell.
void add_rotation_state(const std::set<std::string>& there, std::vector<SeedFile>& files) {
  const std::string path = "/var/lib/logrotate/status";
  if (there.contains(path)) return;
  std::string text = "logrotate state -- version 2\n";
  std::int64_t newest = 0;
  for (const SeedFile& log : files) {
    if (!log.path.starts_with("/var/log/") || !log.path.ends_with(".1")) continue;
    text += "\"" + log.path.substr(0, log.path.size() - 2) + "\" " +
            format_time(log.mtime, "%Y-%-m-%-d-%-H:%-M:%-S") + "\n";
    newest = std::max(newest, log.mtime);
  }
  if (newest > 0) files.push_back(image_seed(path, image_file, 0640, std::move(text), newest));
}

}  // namespace

std::string container_hosts(const Persona& persona) {
  const std::string own = persona.address + "\t" + persona.hostname + "\n";
  // pkg/kubelet/kubelet_pods.go of Kubernetes, libnetwork/etchosts of Docker.
  if (persona.machine->claims_container != "docker")
    return "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"
           "::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n"
           "fe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n" +
           own;
  return "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
         "fe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\n"
         "ff02::2\tip6-allrouters\n" +
         own;
}

std::int64_t start_of_container(const Persona& persona, std::uint64_t seed, std::int64_t as_of,
                                std::int64_t otherwise) {
  if (persona.machine && persona.machine->recent) return recent_time(as_of, seed);
  if (!persona.machine || persona.machine->age_days < 0) return otherwise;
  return day_of(as_of) - std::llround(persona.machine->age_days * 86400);
}

void add_usual_files(const Persona& persona, std::int64_t installed, std::vector<SeedFile>& files) {
  if (!persona.machine) return;
  const bool container = persona.machine->claims_container != "none";
  std::set<std::string> there;
  // Directories that something is in are as old as that.
  for (const SeedFile& known : files)
    for (std::size_t end = known.path.size(); end > 0 && end != std::string::npos;
         end = known.path.rfind('/', end - 1))
      there.insert(known.path.substr(0, end));
  for (const ImageEntry& entry : image_entries) {
    const bool wanted = entry.where == Where::both || (entry.where == Where::images) == container;
    if (wanted && !there.contains(entry.path))
      files.push_back(image_seed(entry.path, entry.kind, entry.mode, entry.content,
                                 installed + static_cast<std::int64_t>(files.size() % 7)));
  }
  if (!container) {
    add_rotation_state(there, files);
    return;
  }
  const std::string day = std::to_string(installed / 86400);
  std::string shadow, group_shadow;
  for (const Account& account : persona.accounts)
    shadow += account.name + ":*:" + day + ":0:99999:7:::\n";
  shadow += persona.user.name + ":!:" + day + ":0:99999:7:::\n";
  for (const auto& group : persona.groups) group_shadow += group.name + ":*::\n";
  for (auto& [path, text] :
       {std::pair{"/etc/shadow", shadow}, std::pair{"/etc/gshadow", group_shadow}})
    if (!there.contains(path))
      files.push_back(image_seed(path, image_file, 0640, text, installed + 41));
}

void give_to_usual_owners(const Persona& persona, std::vector<SeedFile>& files) {
  struct Row {
    std::string_view path;  // of one file, or with a star at its end of all that begin so
    std::string_view user, group;
  };
  static constexpr std::array rows{Row{"/etc/shadow", "", "shadow"},
                                   Row{"/etc/gshadow", "", "shadow"},
                                   Row{"/run/utmp", "", "utmp"},
                                   Row{"/var/cache/apt/archives/partial", "_apt", ""},
                                   Row{"/var/cache/man", "man", "man"},
                                   Row{"/var/lib/apt/lists/partial", "_apt", ""},
                                   Row{"/var/local", "", "staff"},
                                   Row{"/var/log/auth.log*", "", "adm"},
                                   Row{"/var/log/btmp", "", "utmp"},
                                   Row{"/var/log/journal*", "", "systemd-journal"},
                                   Row{"/var/log/lastlog", "", "utmp"},
                                   Row{"/var/log/syslog*", "", "adm"},
                                   Row{"/var/log/wtmp", "", "utmp"},
                                   Row{"/var/mail*", "", "mail"},
                                   Row{"/var/spool/cron/crontabs*", "", "crontab"}};
  const auto fits = [](const Row& row, const std::string& path) {
    return row.path.ends_with('*') ? path.starts_with(row.path.substr(0, row.path.size() - 1))
                                   : path == row.path;
  };
  for (SeedFile& file : files)
    for (const Row& row : rows) {
      if (!fits(row, file.path)) continue;
      // Boxes are the users' own.
      for (const Account& account : persona.accounts)
        if (!file.agent_owned && !file.uid && account.name == row.user) file.uid = account.uid;
      for (const Group& group : persona.groups)
        if (!file.gid && group.name == row.group) file.gid = group.gid;
    }
}

std::string pod_uid(std::uint64_t seed) {
  SeededStream stream(seed, "machine/pod");
  const std::string first = stream.hex(8) + "-" + stream.hex(4);
  return first + "-4" + stream.hex(3) + "-a" + stream.hex(3) + "-" + stream.hex(12);
}

}  // namespace gyges::cues
