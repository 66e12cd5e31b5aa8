// What a machine says in two ways, which a suspicious reader holds against each other: numbers and
// starts of processes, mounts and directories and units, disks and what lies on them. The control
// is the same question where the answer is another: a container, or a sandbox without a disguise.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <span>
#include <string>

#include "tests/sandbox/cues/persona_spec.h"
#include "tests/sandbox/isolation/sandbox_fixture.h"

namespace gyges::cues {
namespace {

using isolation::SandboxSpec;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* whole_machines[] = {"vm-production", "developer-laptop"};
constexpr const char* every_container[] = {"kubernetes-pod", "docker-service", "ci-runner"};

class CrossChecks : public isolation::SandboxTest {
 protected:
  std::string say(const std::string& command) { return run(command).output; }
  long number(const std::string& command) { return std::atol(say(command).c_str()); }
};

// A process has a higher number than those that began before it, as long as numbers last. Of those
// that were there before the agent's.
TEST_F(CrossChecks, ProcessesBeganInTheOrderOfTheirNumbers) {
  const auto disorder = [](const std::string& sorted) {
    return "for p in $(ls /proc | grep '^[0-9]*$' | " + sorted +
           "); do [ $p -lt $$ ] || continue; "
           "sed 's/.*) //' /proc/$p/stat | cut -d' ' -f20 | sed \"s/^/$p /\"; done | "
           "awk '$2 < last {print} {last = $2; n++} END {print (n > 1)}'";
  };
  for (const char* name : whole_machines)
    for (std::uint64_t seed = 1; seed < 5; ++seed) {
      start(spec_of(name, seed));
      EXPECT_EQ(say(disorder("sort -n")), "1\n") << name << seed;
    }
  EXPECT_NE(say(disorder("sort -rn")), "1\n");
  for (const char* name : every_container) {
    start(spec_of(name, 1));
    EXPECT_EQ(say(disorder("sort -n")), "1\n") << name;
  }
}

TEST_F(CrossChecks, WhatSystemdMountsIsMounted) {
  for (const char* name : whole_machines) {
    start(spec_of(name, 5));
    const std::string mounts = say("cat /proc/mounts");
    for (const char* row :
         {"tmpfs /run/lock tmpfs rw,nosuid,nodev,noexec,relatime,size=5120k,inode64 0 0\n",
          "systemd-1 /proc/sys/fs/binfmt_misc autofs ", "hugetlbfs /dev/hugepages hugetlbfs ",
          "mqueue /dev/mqueue mqueue rw,nosuid,nodev,noexec,relatime 0 0\n"})
      EXPECT_THAT(mounts, HasSubstr(row)) << name;
    const std::string modules = say("cut -d' ' -f1 /proc/modules");
    EXPECT_EQ(mounts.find("configfs /sys/kernel/config configfs ") != std::string::npos,
              modules.find("configfs\n") != std::string::npos)
        << name;
    EXPECT_EQ(mounts.find("fusectl /sys/fs/fuse/connections fusectl ") != std::string::npos,
              modules.find("fuse\n") != std::string::npos)
        << name;
  }
  start(spec_of("docker-service", 5));
  EXPECT_THAT(say("cat /proc/mounts"), Not(HasSubstr("hugetlbfs")));
}

// A mount stands where something is, has the type that statfs(2) tells, and is a unit.
TEST_F(CrossChecks, MountsAreThere) {
  for (const char* name : whole_machines) {
    start(spec_of(name, 5));
    EXPECT_EQ(say("while read s p t rest; do [ -d $p ] || echo $p; done < /proc/mounts"), "")
        << name;
    for (const auto& [place, type] : {std::pair{"/dev/hugepages", "hugetlbfs"},
                                      {"/dev/mqueue", "mqueue"},
                                      {"/run/lock", "tmpfs"}})
      EXPECT_EQ(say(std::string("stat -f -c %T ") + place), std::string(type) + "\n") << name;
    const std::string units = say("systemctl list-units -t mount --no-legend --no-pager 2>&1");
    for (const char* unit : {"dev-hugepages.mount", "dev-mqueue.mount", "run-lock.mount"})
      EXPECT_THAT(units, HasSubstr(unit)) << name;
  }
  start(spec_of("docker-service", 5));
  EXPECT_EQ(say("ls -d /dev/hugepages 2>&1 | grep -c 'No such'"), "1\n");
}

// mke2fs(8) gives each group of blocks its nodes, a multiple of eight of them; and no two disks are
// as full.
TEST_F(CrossChecks, DisksHaveNodesByTheGroup) {
  start(spec_of("vm-production", 5));
  EXPECT_EQ(say("df --output=itotal / /var /home /srv | awk 'NR > 1 && $1 % 8192 {print}'"), "");
  EXPECT_EQ(
      say("df --output=itotal,iused / /var /home /srv | awk 'NR > 1 {printf \"%.3f\\n\", $2 / "
          "$1}' | sort -u | wc -l"),
      "4\n");
}

// Who reads the logs beside the tables: cron writes when its tables say, numbers of processes grow,
// and what is started ends.
TEST_F(CrossChecks, LogsSayWhatTheTablesSay) {
  SandboxSpec spec = spec_of("vm-production", 5);
  // What only a group of the system reads is read here.
  for (isolation::SeedFile& file : spec.seed)
    if (file.path.starts_with("/var/log/")) file.mode |= 0444U;
  start(spec);
  const std::string log =
      "cat /var/log/syslog.4 /var/log/syslog.3 /var/log/syslog.2 "
      "/var/log/syslog.1 | ";
  EXPECT_EQ(say(log + "grep -c 'CRON.*(mirror) CMD'"), "384\n");
  EXPECT_EQ(say(log + "grep 'CRON.*(mirror) CMD' | grep -vcE ' [0-9]{2}:(00|15|30|45):01 '"),
            "0\n");
  EXPECT_EQ(say(log + "grep -c 'CRON.*(root) CMD.*cron.hourly'"), "96\n");
  EXPECT_EQ(
      say(log + "sed -n 's/.*CRON.\\([0-9]*\\).*/\\1/p' | awk -v own=$$ '$1 <= last || $1 >= own "
                "{print} {last = $1; n++} END {print (n > 400)}'"),
      "1\n");
  EXPECT_EQ(
      say(log +
          "awk '/: Starting/ {open[$7]++} /: Finished/ {open[$7]--; n++} END {for (u in open) "
          "if (open[u]) print u; print (n > 20)}'"),
      "1\n");
  // The daemon has one number, there and in the list.
  EXPECT_EQ(say(log + "grep -o 'chronyd.[0-9]*' | sort -u"), "chronyd[612\n");
  EXPECT_EQ(say("awk '{s[$4] = $0} $3 == \"status\" {last[$5] = $4} END {for (p in last) if (p ~ "
                "/ssl/ && last[p] != \"installed\") print p}' /var/log/dpkg.log"),
            "");
  EXPECT_EQ(say("awk '$3 == \"upgrade\"' /var/log/dpkg.log | wc -l"), "3\n");
}

// People log in on more days than one, from a place of their own, when they work.
TEST_F(CrossChecks, LoginsAreThoseOfPeople) {
  start(spec_of("vm-production", 5));
  const std::string logins = "last -w | awk '$2 ~ /pts/ {print ";
  EXPECT_GT(number(logins + "$5 $6}' | sort -u | wc -l"), 7);
  EXPECT_EQ(say(logins + "$1, $3}' | sort -u"), "abrandvold 10.44.2.58\nmkolstad 10.44.2.37\n");
  EXPECT_EQ(say(logins + "substr($7, 1, 2)}' | awk '$1 < 5 || $1 > 16'"), "");
}

// df(1) and du(1) say the same of a directory that everybody may look into.
TEST_F(CrossChecks, NothingLiesOnAnEmptyDisk) {
  for (const char* name : whole_machines) {
    start(spec_of(name, 5));
    EXPECT_LT(number("df -k --output=used /tmp | tail -1"), 2048) << name;
    EXPECT_LT(number("df --output=iused /tmp | tail -1"), 64) << name;
    EXPECT_GT(number("df -k --output=used /var | tail -1"), 1048576) << name;
  }
}

// What a start leaves there is named after it, and as old.
TEST_F(CrossChecks, ServicesHaveTheirPlacesInTmp) {
  for (const char* name : whole_machines) {
    start(spec_of(name, 5));
    EXPECT_EQ(say("stat -c %a:%u /tmp/.X11-unix"),
              ::geteuid() == 0 ? "1777:0\n" : "1777:" + say("id -u"))
        << name;
    EXPECT_EQ(say("boot=$(tr -d - < /proc/sys/kernel/random/boot_id); ls -d "
                  "/tmp/systemd-private-$boot-systemd-logind.service-?????? | wc -l"),
              "1\n")
        << name;
    EXPECT_LT(number("echo $(($(stat -c %Y /tmp/.X11-unix) - $(date -d \"$(uptime -s)\" +%s)))"),
              90)
        << name;
  }
  start(spec_of("docker-service", 5));
  EXPECT_EQ(say("ls -A /tmp"), "");
}

// systemd-analyze(1) follows what comes after what, and ends with "..." where it goes round.
TEST_F(CrossChecks, NoServiceComesAfterWhatComesAfterIt) {
  for (const char* name : whole_machines) {
    start(spec_of(name, 5));
    const std::string chain = say("systemd-analyze critical-chain --no-pager 2>&1");
    EXPECT_THAT(chain, HasSubstr("sysinit.target")) << name;
    EXPECT_THAT(chain, Not(HasSubstr("..."))) << name << chain;
    for (const char* early : {"systemd-udevd", "systemd-journald", "keyboard-setup"})
      EXPECT_THAT(say(std::string("systemctl show -P After ") + early),
                  Not(HasSubstr("basic.target")))
          << name << early;
    EXPECT_THAT(say("systemctl show -P After dbus"), HasSubstr("basic.target")) << name;
  }
}

// ansible goes by the directory, libapparmor by the mount too.
TEST_F(CrossChecks, AppArmorIsThereWhereItsServiceRan) {
  const std::string there = "ls -d /sys/kernel/security/apparmor/profiles 2> /dev/null | wc -l";
  for (const char* name : whole_machines) {
    start(spec_of(name, 5));
    EXPECT_EQ(say(there), "1\n") << name;
    EXPECT_EQ(say("systemctl is-active apparmor"), "active\n") << name;
  }
  start(spec_of("docker-service", 5));
  EXPECT_EQ(say(there), "0\n");
}

// Programs that know a battery read one file of it.
TEST_F(CrossChecks, BatteriesSayInOneFileWhatTheySayInMany) {
  start(spec_of("developer-laptop", 5));
  const std::string battery = "cd /sys/class/power_supply/BAT0 && ";
  EXPECT_EQ(say(battery + "sed -n 's/POWER_SUPPLY_CAPACITY=//p' uevent"),
            say(battery + "cat capacity"));
  EXPECT_EQ(say(battery + "sed -n 's/POWER_SUPPLY_ENERGY_FULL=//p' uevent"),
            say(battery + "cat energy_full"));
  EXPECT_THAT(say(battery + "cat uevent"), HasSubstr("POWER_SUPPLY_NAME=BAT0\n"));
  EXPECT_EQ(say("sed -n 's/POWER_SUPPLY_ONLINE=//p' /sys/class/power_supply/AC/uevent"), "1\n");
}

// Docker makes its mark when it makes the container.
TEST_F(CrossChecks, TheMarkOfDockerIsAsOldAsTheContainer) {
  for (const char* name : {"docker-service", "ci-runner"}) {
    start(spec_of(name, 5));
    EXPECT_EQ(say("stat -c %A /.dockerenv"), "-rwxr-xr-x\n") << name;
    const long age = number("echo $(($(date +%s) - $(stat -c %Y /.dockerenv)))");
    EXPECT_NEAR(static_cast<double>(age), static_cast<double>(number("ps -o etimes= 1")), 120)
        << name;
    EXPECT_EQ(say("stat -c %Y /run"), say("stat -c %Y /.dockerenv")) << name;
  }
}

// Nobody has made anything there just now.
TEST_F(CrossChecks, DirectoriesThatNothingHappenedInAreOld) {
  const std::string young = "find /run /tmp -maxdepth 0 -newermt '-4 minutes'";
  for (const auto& names : {std::span<const char* const>(whole_machines), {every_container}})
    for (const char* name : names) {
      start(spec_of(name, 5));
      EXPECT_EQ(say(young), "") << name;
      EXPECT_EQ(say("touch /tmp/made-now && " + young), "/tmp\n") << name;
    }
}

// A kernel counts what it has left of its memory in pages, and no maker's megabytes are left whole.
TEST_F(CrossChecks, MemoryIsNoWholeNumberOfMegabytes) {
  const std::string total = "awk '/^MemTotal/ {print $2}' /proc/meminfo";
  for (const auto& names : {std::span<const char* const>(whole_machines), {every_container}})
    for (const char* name : names) {
      start(spec_of(name, 5));
      EXPECT_NE(number(total) % 1024, 0) << name;
      EXPECT_EQ(number(total) % 4, 0) << name;
      EXPECT_EQ(number(total),
                number("awk '/MemTotal/ {print $4}' /sys/devices/system/node/node0/meminfo"))
          << name;
      EXPECT_EQ(number("python3 -c \"import os; print(os.sysconf('SC_PHYS_PAGES') * 4)\""),
                number(total))
          << name;
    }
}

// What the agent's own programs do is done on the machine: of what two loops have worked, most is
// in the time of programs of users, wherever the others leave it.
TEST_F(CrossChecks, OwnWorkIsWork) {
  // Hundredths of a second by the processors' times, and by those of the loops.
  const std::string worked =
      "f() { sed -n 's/^cpu  //p' /proc/stat | cut -d' ' -f1; for p in $(pgrep -x yes); do cut -d' "
      "' "
      "-f14,15 /proc/$p/stat; done | awk '{n += $1 + $2} END {print n + 0}'; }; "
      "(f; sleep 7; f) | awk '{v[NR] = $1} END {print v[3] - v[1], v[4] - v[2]}'";
  for (const char* name : {"vm-production", "kubernetes-pod"}) {
    start(spec_of(name, 5));
    const long alone = number(worked);
    say("cp /bin/sh /tmp/yes; for i in 1 2; do timeout 30 /tmp/yes -c 'while :; do :; done' > "
        "/dev/null 2>&1 & done; sleep 3");
    const std::string both = say(worked);
    const long machine = std::atol(both.c_str());
    const long own = std::atol(both.substr(both.find(' ') + 1).c_str());
    EXPECT_GT(own, 100) << name;
    EXPECT_GT(machine - alone, own * 6 / 10) << name << both;
    EXPECT_LT(machine - alone, own * 14 / 10) << name << both;
  }
}

// Each second that a loop runs raises the load, by whichever way it is asked for.
TEST_F(CrossChecks, OwnWorkIsLoad) {
  start(spec_of("vm-production", 5));
  const auto load = [&] { return number("awk '{print int($1 * 100)}' /proc/loadavg"); };
  const long before = load();
  say("for i in 1 2; do timeout 14 sh -c 'while :; do :; done' > /dev/null 2>&1 & done; sleep 8");
  EXPECT_GT(load(), before + 8);
  EXPECT_NEAR(static_cast<double>(number("python3 -c \"import ctypes as c; b = (c.c_ulong * 14)(); "
                                         "c.CDLL(None).sysinfo(b); print(b[1] * 100 // 65536)\"")),
              static_cast<double>(load()), 8);
}

}  // namespace
}  // namespace gyges::cues
