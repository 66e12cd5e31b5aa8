// What programs that list a machine go by, where each is a file or a call of its own: memory in
// blocks, speeds of processors, limits of processes, groups of services. The control is a sandbox
// without a disguise.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "base/text.h"
#include "tests/sandbox/cues/persona_spec.h"
#include "tests/sandbox/isolation/sandbox_fixture.h"

namespace gyges::cues {
namespace {

using isolation::SandboxSpec;
using ::testing::HasSubstr;

constexpr const char* every_machine[] = {"vm-production", "kubernetes-pod", "docker-service",
                                         "developer-laptop", "ci-runner"};

class Programs : public isolation::SandboxTest {
 protected:
  std::string say(const std::string& command) { return run(command).output; }
  long number(const std::string& command) { return std::atol(say(command).c_str()); }
};

// lsmem: whole gigabytes are online, of which the kernel counts what it does not keep for itself;
// and what is present of its zones is that, but for holes of the firmware.
TEST_F(Programs, MemoryHasItsBlocks) {
  constexpr long block = 128L << 20;
  for (const char* name : every_machine) {
    start(spec_of(name, 5));
    const long total =
        number("lsmem --bytes --summary=only | awk '/online/ {printf \"%.0f\", $NF; exit}'");
    const long counted = number("awk '/^MemTotal/ {printf \"%.0f\", $2 * 1024}' /proc/meminfo");
    EXPECT_EQ(total % (1L << 30), 0) << name;
    EXPECT_GT(total - counted, total / 64) << name;
    EXPECT_LT(total - counted, total / 20) << name;
    EXPECT_EQ(number("ls -d /sys/devices/system/memory/memory* | wc -l"), total / block) << name;
    const long present = 4096 * number("awk '/^ +present/ {n += $2} END {print n}' /proc/zoneinfo");
    EXPECT_LT(present, total) << name;
    EXPECT_GT(present, total - (1L << 20)) << name;
  }
}

// Hypervisors keep the speeds to themselves.
TEST_F(Programs, ProcessorsHaveSpeedsWhereTheMachineIsOneOfMetal) {
  start(spec_of("developer-laptop", 5));
  const std::string base = "/sys/devices/system/cpu/cpu0/cpufreq/";
  EXPECT_EQ(number("cat " + base + "scaling_cur_freq") / 1000,
            number("awk -F: '/^cpu MHz/ {print int($2); exit}' /proc/cpuinfo"));
  EXPECT_GE(number("cat " + base + "cpuinfo_max_freq"), number("cat " + base + "scaling_cur_freq"));
  EXPECT_EQ(say("cat " + base + "scaling_driver"), "acpi-cpufreq\n");
  start(spec_of("vm-production", 5));
  EXPECT_EQ(say("ls " + base + " 2>&1 | grep -c 'No such'"), "1\n");
}

// The kernel gives each user half of the threads that the memory allows.
TEST_F(Programs, LimitsOfProcessesAreTheMachines) {
  if (::geteuid() != 0) GTEST_SKIP() << "without root the policy's own limit stands there";
  for (const char* name : every_machine) {
    SandboxSpec spec = spec_of(name, 5);
    start(spec);
    rlimit hosts{};
    ASSERT_EQ(::getrlimit(RLIMIT_NPROC, &hosts), 0);
    const long most = std::min(number("echo $(($(cat /proc/sys/kernel/threads-max) / 2))"),
                               hosts.rlim_max == RLIM_INFINITY ? std::numeric_limits<long>::max()
                                                               : static_cast<long>(hosts.rlim_max));
    EXPECT_EQ(number("getconf CHILD_MAX"), most) << name;
    EXPECT_EQ(number("bash -c 'ulimit -u'"), most) << name;
    EXPECT_EQ(number("awk '/^Max processes/ {print $3}' /proc/self/limits"), most) << name;
  }
  start(spec_of("vm-production", 5));
  EXPECT_EQ(number("awk '/^Max processes/ {print $3}' /proc/1/limits"),
            number("bash -c 'ulimit -u'"));
  SandboxSpec spec = spec_of("vm-production", 5);
  spec.policy.cues.proc_files = false;
  start(spec);
  EXPECT_NE(number("bash -c 'ulimit -u'"),
            number("awk '/^Max processes/ {print $3}' /proc/1/limits"));
}

TEST_F(Programs, SettingsOfModulesAreThoseOfTheModules) {
  const std::string settings = "ls /proc/sys/fs/xfs 2> /dev/null | wc -l";
  for (const char* name : every_machine) {
    start(spec_of(name, 5));
    EXPECT_EQ(say(settings), "0\n") << name;
    EXPECT_EQ(say("cat /proc/sys/net/ipv4/tcp_congestion_control"), "cubic\n") << name;
    EXPECT_EQ(say("cat /proc/sys/net/ipv4/tcp_available_congestion_control"), "reno cubic\n")
        << name;
  }
  if (!std::filesystem::exists("/proc/sys/fs/xfs")) return;
  SandboxSpec spec = spec_of("vm-production", 5);
  spec.disguise.reset();
  start(spec);
  EXPECT_NE(say(settings), "0\n");
}

// systemd-cgls lists the services by their groups.
TEST_F(Programs, ServicesHaveGroups) {
  start(spec_of("vm-production", 5));
  const std::string tree = say("systemd-cgls --no-pager --full /sys/fs/cgroup 2>&1");
  for (const char* unit : {"cron.service", "ssh.service", "rsyslog.service", "init.scope"})
    EXPECT_THAT(tree, HasSubstr(unit));
  EXPECT_EQ(say("cat /sys/fs/cgroup$(cut -d: -f3 /proc/618/cgroup)/cgroup.procs"), "618\n");
  SandboxSpec spec = spec_of("vm-production", 5);
  spec.disguise.reset();
  start(spec);
  EXPECT_THAT(say("systemd-cgls --no-pager --full /sys/fs/cgroup 2>&1"),
              ::testing::Not(HasSubstr("cron.service")));
}

// What the user's login or the container holds is counted with its threads and its memory.
TEST_F(Programs, GroupsCountWhatIsInThem) {
  const std::string group = "g=/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup); ";
  const std::string threads =
      "awk '/^Threads/ {n += $2} END {print n + 0}' $(grep -lx \"$(cat /proc/self/cgroup)\" "
      "/proc/[0-9]*/cgroup | sed 's/cgroup$/status/' | "
      "awk -F/ -v own=$$ '$3 < own')";
  for (const char* name : every_machine) {
    start(spec_of(name, 5));
    // Three or four of the agent's.
    EXPECT_GE(number(group + "cat $g/pids.current"), number(threads)) << name;
    EXPECT_LE(number(group + "cat $g/pids.current"), number(threads) + 4) << name;
  }
  start(spec_of("developer-laptop", 5));
  EXPECT_EQ(say(group + "cat $g/cgroup.procs | xargs ps -o comm= -p | grep -c -e gnome-shell -e "
                        "firefox-esr"),
            "2\n");
  EXPECT_THAT(say("systemd-cgls --no-pager --full /sys/fs/cgroup 2>&1"),
              HasSubstr("/usr/bin/gnome-shell"));
  EXPECT_GT(
      number(group + "cat $g/memory.current"),
      number("ps -o rss= -C gnome-shell") * 1024 + number("ps -o rss= -C firefox-esr") * 1024);
}

// As the system bus has it, and the table of processes.
TEST_F(Programs, GroupsOfServicesCountWhatIsInThem) {
  start(spec_of("vm-production", 5));
  for (const char* daemon : {"cron", "rsyslogd", "depot-sync", "systemd-udevd", "systemd"}) {
    const std::string of = std::string("-C ") + daemon;
    const std::string group =
        "cat /sys/fs/cgroup$(cut -d: -f3 /proc/$(ps -o pid= " + of + " | tr -d ' ')/cgroup)/";
    EXPECT_EQ(number(group + "memory.current"), number("ps -o rss= " + of) * 1024) << daemon;
    EXPECT_EQ(number(group + "pids.current"), number("ps -o nlwp= " + of)) << daemon;
  }
  const std::string sum =
      "cd /sys/fs/cgroup/system.slice && cat memory.current && cat "
      "*.service/memory.current system-getty.slice/*/memory.current | awk '{n "
      "+= $1} END {print n}'";
  const std::vector<std::string> sums = split(say(sum), '\n');
  ASSERT_EQ(sums.size(), 3U);
  EXPECT_EQ(sums[0], sums[1]);
}

// mke2fs leaves one in each file system, for root alone.
TEST_F(Programs, PartitionsHaveAPlaceForWhatWasLost) {
  const std::string modes =
      "stat -c '%a %U %n' $(awk '$3 == \"ext4\" {print ($2 == \"/\" ? \"\" : "
      "$2) \"/lost+found\"}' /proc/mounts)";
  // Without root it is the agent's, and closed to it like the root's own.
  const std::string owner = ::geteuid() == 0 ? "700 root " : "0 ";
  for (const char* name : {"vm-production", "developer-laptop"}) {
    start(spec_of(name, 5));
    EXPECT_EQ(number(modes + " | grep -c '^" + owner + "'"),
              name == std::string("vm-production") ? 5 : 4);
    EXPECT_EQ(say("date -d @$(stat -c %Y /var/lost+found) +%F"),
              say("date -d @$(stat -c %Y /etc/machine-id) +%F"))
        << name;
  }
  EXPECT_EQ(say("ls /var/lost+found 2>&1 | grep -c 'Permission denied'"), "1\n");
  start(spec_of("docker-service", 5));
  EXPECT_EQ(say("ls -d /lost+found /tmp/lost+found 2> /dev/null"), "");
}

// Who logs in has a home, which is closed to others as adduser makes it.
TEST_F(Programs, WhoLogsInHasAHome) {
  start(spec_of("vm-production", 5));
  const std::string homes = say(
      "awk -F: '$3 >= 1000 && $7 ~ /sh$/ {print $6, $1}' /etc/passwd | while read home name; do "
      "stat -c \"%n %F $name %U\" $home; done");
  std::size_t others = 0;
  for (const std::string& line : split(homes, '\n')) {
    if (line.empty()) continue;
    const std::vector<std::string> words = split(line, ' ');
    ASSERT_EQ(words.size(), 4U) << homes;
    EXPECT_EQ(words[1], "directory");
    // Without root everything inside is the agent's or root's.
    if (::geteuid() == 0) {
      EXPECT_EQ(words[2], words[3]);
    }
    ++others;
  }
  EXPECT_EQ(others, 3U) << homes;
  EXPECT_EQ(say("ls /home/mkolstad 2>&1 | grep -c 'Permission denied'"), "1\n");
}

// A directory that is a partition's stands in the tables that tell partitions.
TEST_F(Programs, PartitionsAreMounted) {
  for (const char* name : {"vm-production", "developer-laptop"}) {
    start(spec_of(name, 5));
    for (const char* point : {"/var", "/tmp", "/home"}) {
      const std::string place = point;
      const std::string source = say("df --output=source " + place + " | tail -1 | tr -d '\\n'");
      EXPECT_THAT(source, ::testing::StartsWith("/dev/")) << name << place;
      EXPECT_EQ(say("awk '$2 == \"" + place + "\" {printf \"%s\", $1}' /proc/mounts"), source);
      EXPECT_EQ(say("lsblk -nro MOUNTPOINT " + source +
                    " 2> /dev/null || lsblk -nro "
                    "NAME,MOUNTPOINT | awk '\"/dev/\" $1 == \"" +
                    source + "\" {print $2}'"),
                place + "\n");
      EXPECT_EQ(say("lsblk -rno UUID,MOUNTPOINT | awk '$2 == \"" + place + "\" {print $1}'"),
                say("awk '$2 == \"" + place + "\" {print substr($1, 6)}' /etc/fstab"))
          << name << place;
    }
  }
}

// Who has a browser and a desktop running has what they keep, and the browser's lock names it.
TEST_F(Programs, ADesktopHasAHome) {
  const std::string kept =
      "cd && ls -d .cache/mozilla .cache/thumbnails .config/Code/User/settings.json .config/dconf "
      ".config/mimeapps.list .local/share/recently-used.xbel .mozilla/firefox/*/prefs.js .viminfo "
      ".vscode Pictures 2> /dev/null | wc -l";
  start(spec_of("developer-laptop", 5));
  EXPECT_EQ(number(kept), 10);
  const std::string profile =
      "cd ~/.mozilla/firefox/$(sed -n 's/^Path=//p' ~/.mozilla/firefox/profiles.ini) && ";
  EXPECT_EQ(say(profile + "readlink lock"),
            "127.0.1.1:+" + say("ps -o pid= -C firefox-esr | xargs"));
  EXPECT_EQ(say("find ~ -newermt '-30 minutes'"), "");
  EXPECT_EQ(say("cut -d: -f1 /etc/group | sort | uniq -d"), "");
  start(spec_of("vm-production", 5));
  EXPECT_EQ(number(kept), 0);
}

// Directories that hold what was there before are no younger than it.
TEST_F(Programs, NothingIsAsOldAsTheSandbox) {
  for (const char* name : every_machine) {
    // What a job has is five minutes old at least; a log that is written to is as old as its last
    // line, and what was rotated is as old as midnight.
    const bool job = name == std::string("ci-runner");
    const std::int64_t since =
        std::max<std::int64_t>(std::time(nullptr) - (job ? 4 : 30) * 60, today() + 1);
    const std::string young =
        "find /etc /var /home /srv -xdev -newermt '@" + std::to_string(since) +
        "' ! -path '/var/lib/dpkg*' ! -path /etc/alternatives ! -path '/etc/ld.so*' "
        "! -path '/var/log/app*' ! -path '/var/log/invoicing*' ! -path /var/log/syslog 2> "
        "/dev/null";
    start(spec_of(name, 5));
    EXPECT_EQ(say(young), "") << name;
    EXPECT_EQ(say("touch ~/made-now && " + young + " -name made-now | wc -l"), "1\n") << name;
  }
}

// ps(1) takes the age of a process from its start and /proc/uptime, which is renewed once a second.
TEST_F(Programs, WhatBeganJustNowIsYoung) {
  const std::string ages =
      "i=0; while [ $i -lt 12 ]; do ps -o etimes= -p $$ --ppid $$; sleep 0.13; i=$((i + 1)); done "
      "| "
      "awk '{n++; if ($1 > 60) old++} END {print (n >= 24), old + 0}'";
  for (const char* name : every_machine) {
    start(spec_of(name, 5));
    EXPECT_EQ(say(ages), "1 0\n") << name;
  }
}

// Of daemons, of what a user's session started and of the kernel's threads: two files tell how many
// signals may wait, one how many processes there may be.
TEST_F(Programs, LimitsOfDaemonsAreTheMachines) {
  const std::string others =
      "most=$(($(cat /proc/sys/kernel/threads-max) / 2)); for p in $(ls /proc | grep '^[0-9]*$' | "
      "sort -n); do [ $p -lt $$ ] || continue; "
      "awk -v p=$p -v most=$most '/^SigQ:/ {split($2, q, \"/\"); n = q[2]} "
      "/^Max (processes|pending)/ {if ($(NF - 1) != most) bad = bad $0} "
      "END {if (n != most || bad) print p, n, bad}' /proc/$p/status /proc/$p/limits; done";
  for (const char* name : every_machine) {
    start(spec_of(name, 5));
    EXPECT_EQ(say(others), "") << name;
    EXPECT_THAT(say("cat /proc/1/limits"), HasSubstr("\nMax pending signals ")) << name;
  }
  SandboxSpec spec = spec_of("ci-runner", 5);
  std::erase(spec.policy.cues.emulate, "process_files");
  start(spec);
  EXPECT_THAT(say(others), ::testing::StartsWith("1 "));
}

// What runs without root's number has none of root's capabilities.
TEST_F(Programs, DaemonsOfUsersHaveNoCapabilities) {
  const std::string sets = "awk '/^Cap(Prm|Eff)/ {printf \"%s \", $2}' /proc/1/status";
  for (const char* name : {"kubernetes-pod", "docker-service", "ci-runner"}) {
    start(spec_of(name, 5));
    EXPECT_EQ(say(sets), "0000000000000000 0000000000000000 ") << name;
  }
  start(spec_of("vm-production", 5));
  EXPECT_EQ(say(sets), "000001ffffffffff 000001ffffffffff ");
}

// who(1) leaves out logins whose process is not there.
TEST_F(Programs, WhoSitsAtTheScreenIsListed) {
  start(spec_of("developer-laptop", 5));
  EXPECT_THAT(say("who"), ::testing::StartsWith("tnygaard tty2 "));
  EXPECT_THAT(say("w -h"), HasSubstr("/usr/libexec/gdm-wayland-session"));
}

}  // namespace
}  // namespace gyges::cues
