// What a sandbox under a persona says of its machine, cue by cue. Every row is read in a sandbox
// without a disguise too, where it must tell something else: a row that says the same in both
// proves nothing.
#include "sandbox/cues/disguise.h"

#include <cpuid.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <regex>
#include <thread>

#include "base/text.h"
#include "tests/sandbox/cues/persona_spec.h"
#include "tests/sandbox/cues/recorded_sandbox.h"
#include "tests/sandbox/isolation/sandbox_fixture.h"

namespace gyges::cues {
namespace {

using isolation::SandboxSpec;
using ::testing::HasSubstr;
using ::testing::Not;

class Disguised : public isolation::SandboxTest {
 protected:
  std::string say(const std::string& command) { return run(command).output; }
};

struct Row {
  const char* cue;
  const char* command;
  const char* expected;  // a regular expression that all of the output matches
};

// The cues' numbers are those of docs/cue_mechanisms.md.
constexpr std::array rows{
    Row{"K4", "cat /proc/cmdline", "BOOT_IMAGE=/boot/vmlinuz-6\\.1\\.0.*\n"},
    Row{"K5",
        "cat /proc/kallsyms 2>&1 | grep -c Permission; cat /proc/kallsyms 2> /dev/null | wc -c",
        "1\n0\n"},
    Row{"K7", "cut -f 2 /proc/bus/pci/devices | tr '\n' ' '",
        "80861237 80867000 80867010 .* 1af41002 "},
    Row{"K8",
        "grep -o 'virtio[0-3]-[a-z]*' /proc/interrupts | tr '\n' ' '; "
        "awk '$1 == 229' /proc/misc",
        "virtio0-config virtio0-input .*229 fuse\n"},
    Row{"K9",
        "awk '$4 ~ /^vd/ {print $4, $3}' /proc/partitions; "
        "awk '{printf \"%s \", $3}' /proc/diskstats",
        "vda 167772160\nvda1 31457280\nvda2 41943040\nvda3 8388608\nvda4 20971520\nvda5 64881664\n"
        "vda15 130048\nvda vda1 vda2 vda3 vda4 vda5 vda15 "},
    Row{"K8 by number", "ls -d /proc/irq/24/*/", "/proc/irq/24/virtio0-config/\n"},
    Row{"K7 by bus", "ls /proc/bus/pci/00 | tr '\n' ' '",
        "00.0 01.0 01.1 01.3 02.0 03.0 04.0 05.0 06.0 "},
    Row{"K9 by file system", "ls /proc/fs/ext4 /proc/fs/jbd2 | tr '\n' ' '",
        "/proc/fs/ext4: vda1 vda2 vda3 vda4 vda5  "
        "/proc/fs/jbd2: vda1-8 vda2-8 vda3-8 vda4-8 vda5-8 "},
    Row{"K8 drivers", "grep -c -E '^(254 virtblk|253 device-mapper)$' /proc/devices", "2\n"},
    Row{"K13", "cat /sys/class/dmi/id/sys_vendor /sys/class/dmi/id/product_name", "Red Hat\nKVM\n"},
    Row{"K13 tables",
        "ls /sys/firmware/dmi/tables | tr '\n' ' '; cat /sys/firmware/dmi/tables/DMI 2>&1 | "
        "grep -c denied",
        "DMI smbios_entry_point 1\n"},
    Row{"F18", "cat /sys/class/net/lo/mtu; ls /sys/class/net", "[0-9]+\nlo\n"},
    Row{"P1", "cat /proc/1/comm; tr '\\0' ' ' < /proc/1/cmdline", "systemd\n/sbin/init "},
    Row{"P2", "test $$ -gt 1846000 && test $$ -lt 1860000 && echo high", "high\n"},
    Row{"P5", "cat /proc/[0-9]*/comm | grep -cE '^(cron|rsyslogd|sshd|systemd-journal)$'", "4\n"},
    Row{"T5", "cat /sys/devices/system/cpu/online | cut -c 1", "0\n"},
    Row{"disk",
        "cat /sys/block/vda/vda1/size /sys/class/block/vda/dev /sys/class/block/vda15/dev; "
        "awk '$4 == \"vda15\" {print $2}' /proc/partitions",
        "62914560\n254:0\n254:15\n15\n"},
    Row{"K1", "uname -sr; uname -v", "Linux 6\\.1\\.0-44-amd64\n#1 SMP .*Debian 6\\.1\\.164-1.*\n"},
    Row{"K2", "cat /proc/sys/kernel/osrelease", "6\\.1\\.0-44-amd64\n"},
    Row{"K11", "awk '/MemTotal/ {print $2}' /proc/meminfo", "16392604\n"},
    Row{"F3", "stat -f -c %T /", "ext2/ext3\n"},
};

// The layers are filled beside the disguise: what fails there is told, whatever pid 1 made of it.
TEST_F(Disguised, SeedsThatDoNotFitSaySo) {
  SandboxSpec spec = spec_of("vm-production", 1);
  start(spec);
  sandbox_.reset();
  isolation::SeedFile large;
  large.path = "/home/" + spec.policy.identity.user + "/large";
  large.content.assign(4U << 20U, 'x');
  spec.seed.insert(spec.seed.begin() + 1, large);
  start(spec);
  sandbox_.reset();
  spec.policy.limits.disk_bytes = 2U << 20U;
  auto sandbox = isolation::Sandbox::start(spec);
  ASSERT_FALSE(sandbox);
  EXPECT_THAT(sandbox.error().line(), HasSubstr("write seed file"));
  EXPECT_THAT(sandbox.error().line(), HasSubstr("/large"));
  EXPECT_THAT(sandbox.error().line(), HasSubstr("raise limits.disk_bytes"));
}

TEST_F(Disguised, EveryCueSaysThePersonas) {
  SandboxSpec spec = spec_of("vm-production", 7);
  start(spec);
  std::vector<std::string> disguised;
  for (const Row& row : rows) disguised.push_back(say(row.command));
  sandbox_.reset();
  spec.disguise.reset();
  start(spec);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_TRUE(std::regex_match(disguised[i], std::regex(rows[i].expected)))
        << rows[i].cue << ": " << disguised[i];
    EXPECT_FALSE(std::regex_match(say(rows[i].command), std::regex(rows[i].expected)))
        << rows[i].cue << " says the same without a disguise";
  }
}

// What pid 1 of plain namespaces says, as unshare(1) makes them: the control of what holds in every
// sandbox of Gyges.
std::string in_plain_namespaces(const std::string& command) {
  const std::string line =
      "unshare --user --map-root-user --mount --pid --fork --mount-proc sh -c '" + command + "'";
  std::string output;
  FILE* pipe = ::popen(line.c_str(), "re");
  if (pipe == nullptr) return output;
  std::array<char, 256> piece;
  while (std::fgets(piece.data(), piece.size(), pipe) != nullptr) output += piece.data();
  if (::pclose(pipe) != 0) output.clear();
  return output;
}

TEST_F(Disguised, Pid1HasASessionOfItsOwn) {
  const std::string ids = "cut -d \" \" -f 5,6 /proc/1/stat";
  const std::string plain = in_plain_namespaces(ids);
  if (plain.empty()) GTEST_SKIP() << "unshare(1) cannot make user namespaces on this host";
  // Those of a process outside, which has no number inside.
  EXPECT_EQ(plain, "0 0\n");
  start(spec_of("vm-production", 7));
  EXPECT_EQ(say(ids), "1 1\n");
}

// A number of threads that no host has by chance.
TEST_F(Disguised, TheLoadIsThePersonas) {
  const std::string threads = "cut -d ' ' -f 4 /proc/loadavg | cut -d / -f 2";
  SandboxSpec spec = spec_of("vm-production", 7, [](Persona& persona) {
    persona.machine->threads = 61040;
    persona.machine->load = {31.5, 30.5, 29.5};
  });
  start(spec);
  EXPECT_THAT(say(threads), ::testing::MatchesRegex("610[34][0-9]\n"));
  EXPECT_EQ(say("awk '{print ($1 > 15 && $2 > 15 && $3 > 15)}' /proc/loadavg"), "1\n");
  sandbox_.reset();
  spec.disguise.reset();
  start(spec);
  EXPECT_THAT(say(threads), Not(::testing::MatchesRegex("610[34][0-9]\n")));
}

TEST_F(Disguised, NothingInItContradicts) {
  start(spec_of("vm-production", 3));
  EXPECT_EQ(say("cat /proc/sys/kernel/osrelease"), say("uname -r"));
  EXPECT_THAT(say("cat /proc/version"), HasSubstr(split(say("uname -v"), '\n')[0]));
  const std::string processors = say("nproc");
  EXPECT_EQ(say("grep -c ^processor /proc/cpuinfo"), processors);
  EXPECT_EQ(say("grep -c '^cpu[0-9]' /proc/stat"), processors);
  EXPECT_EQ(say("ls -d /sys/devices/system/cpu/cpu[0-9]* | wc -l"), processors);
  EXPECT_EQ(say("getconf _NPROCESSORS_ONLN"), processors);
  EXPECT_EQ(say("echo $(($(getconf PAGESIZE) * $(getconf _PHYS_PAGES) / 1024))"),
            say("awk '/MemTotal/ {print $2}' /proc/meminfo"));
  // The clocks: btime and uptime meet now, and processors have been idle for no longer than it.
  EXPECT_EQ(say("u=$(cut -d . -f 1 /proc/uptime); b=$(awk '/btime/ {print $2}' /proc/stat); "
                "d=$(($(date +%s) - u - b)); test $d -ge -3 && test $d -le 3 && echo same"),
            "same\n");
  EXPECT_EQ(say("awk -v n=$(nproc) '$2 < $1 * n && $2 > $1 * n / 2 {print \"idle\"}' /proc/uptime"),
            "idle\n");
  // The covered uptime is that of the time namespace.
  EXPECT_EQ(say("awk '{print ($1 > 61 * 86400 && $1 < 2000 * 86400)}' /proc/uptime"), "1\n");
}

// One number, in every file that tells it.
TEST_F(Disguised, CountersAgree) {
  for (const char* name : {"vm-production", "docker-service", "developer-laptop"}) {
    start(spec_of(name, 5));
    // Interrupts by number are the sums of their lines.
    EXPECT_EQ(
        say("awk 'FNR == NR { if ($1 == \"intr\") for (i = 3; i <= NF; i++) told[i - 3] = $i; next "
            "} "
            "/^ *[0-9]+:/ { n = $1 + 0; s = 0; for (i = 2; $i ~ /^[0-9]+$/; i++) s += $i; "
            "if (told[n] < s * 0.99 - 60 || told[n] > s * 1.01 + 60) print name, $0, told[n] }' "
            "/proc/stat /proc/interrupts"),
        "")
        << name;
    // Soft interrupts of all kinds are the sum of their table.
    EXPECT_EQ(say("awk 'FNR == NR { if ($1 == \"softirq\") told = $2; next } FNR > 1 "
                  "{ for (i = 2; i <= NF; i++) s += $i } END { print (told > s * 0.99 - 400 && "
                  "told < s * "
                  "1.01 + 400) }' /proc/stat /proc/softirqs"),
              "1\n")
        << name;
    // Processor time of all is that of each.
    EXPECT_EQ(say("awk '/^cpu / { all = $2 + $4 + $5 } /^cpu[0-9]/ { s += $2 + $4 + $5 } "
                  "END { print (s == all) }' /proc/stat"),
              "1\n")
        << name;
    // Memory: whole pages, the zones hold all of it, and vmstat has its shares.
    EXPECT_EQ(say("awk '/kB$/ && !/Vmalloc/ && $2 % 4 != 0' /proc/meminfo"), "") << name;
    EXPECT_EQ(say("awk '/ managed / { s += $2 * 4 } END { print s }' /proc/zoneinfo"),
              say("awk '/MemTotal/ { print $2 }' /proc/meminfo"))
        << name;
    EXPECT_EQ(
        say("awk 'FNR == NR { m[$1] = $2; next } { v[$1] = $2 * 4 } END { f = m[\"MemFree:\"]; "
            "print (v[\"nr_free_pages\"] > f * 0.98 && v[\"nr_free_pages\"] < f * 1.02), "
            "(m[\"Active(file):\"] + m[\"Inactive(file):\"] + m[\"Shmem:\"] == "
            "m[\"Cached:\"] + m[\"Buffers:\"]) }' /proc/meminfo /proc/vmstat"),
        "1 1\n")
        << name;
    // What the disks read is what was paged in.
    EXPECT_EQ(
        say("awk 'FNR == NR { if ($3 !~ /p?[0-9]+$/ || $3 ~ /n[0-9]+$/) r += $6 / 2; next } "
            "/^pgpgin / { print ($2 > r * 0.99 && $2 < r * 1.01) }' /proc/diskstats /proc/vmstat"),
        "1\n")
        << name;
    // The newest process is no older than who asks.
    EXPECT_EQ(say("read a b c d last < /proc/loadavg; test $last -ge $$ && echo newest"),
              "newest\n")
        << name;
    // Daemons have whole pages too.
    EXPECT_EQ(say("awk '/^Vm.*kB$/ && $2 % 4 != 0' /proc/[0-9]*/status"), "") << name;
  }
}

// Limits that a kernel derives from its memory.
TEST_F(Disguised, SettingsAreOfAMachineOfThisSize) {
  SandboxSpec spec = spec_of("vm-production", 3);
  start(spec);
  const std::string threads = "cat /proc/sys/kernel/threads-max /proc/sys/user/max_pid_namespaces";
  EXPECT_EQ(say(threads), "128067\n64033\n");
  EXPECT_EQ(say("cat /proc/sys/kernel/bootloader_type"), "114\n");
  sandbox_.reset();
  spec.disguise.reset();
  start(spec);
  EXPECT_NE(say(threads), "128067\n64033\n");
}

// No device of the host's by any name, whatever the persona has.
TEST_F(Disguised, HardwareIsTheSameEverywhere) {
  for (const char* name :
       {"vm-production", "kubernetes-pod", "docker-service", "developer-laptop", "ci-runner"}) {
    start(spec_of(name, 5));
    EXPECT_EQ(say("ls -d /proc/irq/*/*/ | awk -F / '{print $4}' | sort -n"),
              say("awk -F : '/^ *[0-9]+:/ {print $1 + 0}' /proc/interrupts"))
        << name;
    EXPECT_EQ(say("ls /proc/bus/pci/*/* 2> /dev/null | sed 's,.*/,,' | grep -F . | sort"),
              say("ls /sys/bus/pci/devices | sed 's/.*://' | sort"))
        << name;
    EXPECT_EQ(say("ls /proc/fs/ext4"),
              say("awk '$1 ~ \"^/dev/\" {print substr($1, 6)}' /proc/mounts | sort -u"))
        << name;
    EXPECT_EQ(say("(echo x > /proc/irq/1/smp_affinity || mkdir /proc/irq/9999) 2> /dev/null || "
                  "echo closed"),
              "closed\n")
        << name;
  }
}

TEST_F(Disguised, AMachineMoves) {
  start(spec_of("vm-production", 3));
  // As long as it takes on a loaded machine; the files are renewed once a second.
  EXPECT_EQ(say("a=$(cat /proc/uptime); s=$(head -1 /proc/stat); n=0; "
                "while [ \"$a\" = \"$(cat /proc/uptime)\" ] && [ $n -lt 200 ]; do sleep 0.1; "
                "n=$((n + 1)); done; [ \"$a\" != \"$(cat /proc/uptime)\" ] && echo moved; "
                "[ \"$s\" != \"$(head -1 /proc/stat)\" ] && echo worked"),
            "moved\nworked\n");
}

// Files that move were as old as the disguise for the first second of a sandbox.
TEST_F(Disguised, ADisguiseThatWaitedShowsThePresent) {
  SandboxSpec spec = spec_of("vm-production", 3);
  std::this_thread::sleep_for(std::chrono::milliseconds(2500));
  start(spec);
  // Seconds since start by procfs and by the clock of the kernel, both through the time namespace.
  EXPECT_EQ(say("python3 -c 'import time; u = float(open(\"/proc/uptime\").read().split()[0]); "
                "print(time.clock_gettime(time.CLOCK_BOOTTIME) - u < 1.2)'"),
            "True\n");
}

TEST_F(Disguised, EachRunIsAMachineOfItsOwnAndReproducible) {
  auto ids = [&](std::uint64_t seed) {
    start(spec_of("vm-production", seed));
    return say("cat /proc/sys/kernel/random/boot_id /etc/machine-id");
  };
  const std::string one = ids(1);
  EXPECT_TRUE(std::regex_match(
      one, std::regex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\n"
                      "[0-9a-f]{32}\n")))
      << one;
  EXPECT_EQ(ids(1), one);
  EXPECT_NE(ids(2), one);
}

TEST_F(Disguised, CoversCannotBeChangedOrTakenAway) {
  start(spec_of("vm-production", 1));
  EXPECT_THAT(say("echo x > /proc/uptime; echo x > /sys/class/dmi/id/sys_vendor; "
                  "chmod 666 /proc/uptime; umount /proc/uptime; rm -f /sys/kernel/profiling; "
                  "cat /sys/class/dmi/id/sys_vendor"),
              ::testing::EndsWith("Red Hat\n"));
  // What was masked before is as closed as it was.
  EXPECT_EQ(say("cat /proc/kcore /proc/timer_list /proc/keys /proc/sysrq-trigger 2>/dev/null | "
                "wc -c"),
            "0\n");
  EXPECT_NE(run("echo b > /proc/sysrq-trigger").end.exit_code, 0);
}

// A mask is a device, which no machine has there.
TEST_F(Disguised, WhatThePolicyMasksIsAFileToWhoeverListsIt) {
  SandboxSpec spec = spec_of("vm-production", 1);
  start(spec);
  EXPECT_EQ(say("stat -c %F /proc/keys"), "regular empty file\n");
  spec.disguise.reset();
  start(spec);
  EXPECT_EQ(say("stat -c %F /proc/keys"), "character special file\n");
}

// The host's kernel names its own release there.
TEST_F(Disguised, ModulesAreOfThePersonasKernel) {
  if (!std::filesystem::exists("/usr/lib/modules")) GTEST_SKIP() << "this host has no modules";
  SandboxSpec spec = spec_of("vm-production", 1);
  start(spec);
  EXPECT_EQ(say("ls /lib/modules"), say("uname -r"));
  start(spec_of("docker-service", 1));
  EXPECT_EQ(say("ls /lib/modules"), "");
  spec.disguise.reset();
  start(spec);
  EXPECT_NE(say("ls /lib/modules"), "6.1.0-44-amd64\n");
}

// What a container's runtime covers is a file of its /dev; df(1) lists the room of other devices.
TEST_F(Disguised, CoversHaveTheRoomOfTheirMount) {
  SandboxSpec spec = spec_of("docker-service", 1);
  const std::string room = "stat -f -c '%b %f %T' /proc/keys";
  start(spec);
  EXPECT_EQ(say(room), "16384 16384 tmpfs\n");
  sandbox_.reset();
  spec.policy.cues.emulate = {"uname"};
  start(spec);
  EXPECT_NE(say(room), "16384 16384 tmpfs\n");
}

TEST_F(Disguised, DaemonsAreNoneOfTheAgents) {
  SandboxSpec spec = spec_of("vm-production", 1);
  spec.policy.limits.processes = 8;  // fewer than there are daemons
  spec.policy.cues.emulate = {};     // what they really are
  start(spec);
  EXPECT_EQ(say("for i in 1 2 3; do sleep 0.01 & done; wait; echo done"), "done\n");
  EXPECT_EQ(say("cat /proc/271/environ 2>/dev/null | wc -c; ls /proc/271/fd 2>/dev/null | wc -l"),
            "0\n0\n");
  // Of the agent's own user when rootless, and closed to it like pid 1; its own child is not.
  EXPECT_EQ(say("sleep 9 & (: < /proc/$!/mem) && echo control; "
                "(: < /proc/271/mem) 2> /dev/null && echo open; (: < /proc/1/mem) 2> /dev/null && "
                "echo open; kill $!"),
            "control\n");
  EXPECT_EQ(say("awk '/^(Seccomp|NoNewPrivs|CapEff|CapBnd):/ {print $2}' /proc/271/status | "
                "tr '\\n' ' '"),
            "0000000000000000 0000000000000000 1 2 ");
  // Those that stand for threads of the kernel are shut in too, and its own thread's children.
  const bool as_root = ::geteuid() == 0;
  const std::string user = as_root ? "0" : std::to_string(spec.policy.identity.uid);
  const std::string shut_in = " " + user + " 0000000000000000 0000000000000000 1 2 ";
  EXPECT_EQ(say("for i in 2 14; do awk '/^(PPid|Uid|Seccomp|NoNewPrivs|CapEff|CapBnd):/ "
                "{printf \"%s \", $2}' /proc/$i/status; cat /proc/$i/comm; wc -c < "
                "/proc/$i/cmdline; done"),
            "1" + shut_in + "kthreadd\n0\n2" + shut_in + "ksoftirqd/0\n0\n");
  // Rootless they are the agent's own, which can end them: they stay in the list as what their
  // parent, which asks for nobody, has not asked for.
  EXPECT_EQ(say("kill -9 14 2> /dev/null && echo sent; sleep 0.05; cat /proc/14/comm; "
                "awk '/^State:/ {print $2}' /proc/14/status"),
            as_root ? "ksoftirqd/0\nS\n" : "sent\nksoftirqd/0\nZ\n");
  isolation::SandboxEnd end = stop();
  EXPECT_EQ(end.processes_left, 0U);
  EXPECT_TRUE(end.limits_hit.empty());
  EXPECT_TRUE(end.changes.empty());
}

TEST_F(Disguised, TheRootIsThatOfAnOldSystem) {
  SandboxSpec spec = spec_of("vm-production", 1);
  start(spec);
  EXPECT_EQ(say("ls -d /boot /lost+found /media /mnt /root | tr '\\n' ' '"),
            "/boot /lost+found /media /mnt /root ");
  EXPECT_EQ(say("ls /mnt && ls /boot 2> /dev/null || echo closed"), "closed\n");
  // Nothing of it was made a moment ago, but where the system itself writes all the time; what is
  // the host's is as old as there.
  const std::string young =
      "find / -maxdepth 1 -newermt '-1 day' ! -path /dev ! -path /proc ! -path /run ! -path /sys "
      "! -path /tmp ! -path /usr ! -path /opt ! -path /work 2> /dev/null";
  EXPECT_EQ(say(young), "");
  start(spec_of("docker-service", 1));
  EXPECT_EQ(say("ls /boot && ls -d /.dockerenv"), "/.dockerenv\n");
  spec.disguise.reset();
  start(spec);
  EXPECT_NE(say(young), "");
}

// Where the kernel tells what its host does: interrupts by kind, locks, keys, consoles.
TEST_F(Disguised, NothingOfTheHostsWorkIsTold) {
  SandboxSpec spec = spec_of("vm-production", 1);
  start(spec);
  EXPECT_EQ(say("awk '$1 == \"TIMER:\" {print ($2 > 100000000)}' /proc/softirqs"), "1\n");
  EXPECT_EQ(say("awk 'NR == 1 {print NF}' /proc/softirqs"),
            say("grep -c ^processor /proc/cpuinfo"));
  EXPECT_EQ(say("awk '{print $5}' /proc/locks | tr '\\n' ' '"), "618 624 ");
  EXPECT_EQ(say("awk '{print $1}' /proc/key-users | tr '\\n' ' '"), "0: 1207: ");
  EXPECT_EQ(say("awk '{print $1}' /proc/consoles"), "tty0\n");
  spec.disguise.reset();
  start(spec);
  EXPECT_NE(say("awk '$1 == \"TIMER:\" {print ($2 > 100000000)}' /proc/softirqs"), "1\n");
}

TEST_F(Disguised, SwitchesLeaveTheHostsLooks) {
  SandboxSpec spec = spec_of("vm-production", 7);
  spec.policy.cues.proc_files = false;
  spec.policy.cues.sysfs = false;
  spec.policy.cues.init_name = false;
  spec.policy.cues.decoys = false;
  spec.policy.cues.pid_numbers = false;
  start(spec);
  EXPECT_THAT(say("cat /proc/cmdline"), Not(HasSubstr("vmlinuz-6.1.0-44")));
  EXPECT_EQ(say("ls /sys 2>/dev/null | wc -l"), "0\n");
  EXPECT_EQ(say("cat /proc/1/comm"), "init\n");
  EXPECT_EQ(say("test $$ -lt 1000 && echo low; grep -l cron /proc/[0-9]*/comm | wc -l"),
            "low\n0\n");
}

TEST_F(Disguised, EmulationBearsStormsDeathsAndSignals) {
  start(spec_of("vm-production", 1));
  EXPECT_EQ(say("for i in 1 2 3 4 5 6; do (for j in 1 2 3 4 5 6 7 8 9 10; do uname -r; done) & "
                "done | sort | uniq -c | tr -s ' '; wait"),
            " 60 6.1.0-44-amd64\n");
  // Killed in the middle of calls, over and over.
  EXPECT_EQ(say("for i in 1 2 3 4 5; do (while :; do uname -r; done) > /dev/null & p=$!; "
                "sleep 0.02; kill -9 $p; done; uname -r"),
            "6.1.0-44-amd64\n");
  // Interrupted by a handler a thousand times a second; perl is part of every Debian. A signal that
  // comes before the supervisor has taken the call ends it with EINTR where the handler does not
  // restart calls, which is the kernel's doing; the answer itself is never another.
  EXPECT_EQ(say("perl -MPOSIX -MTime::HiRes=ualarm -e '$SIG{ALRM} = sub { $n++ }; "
                "ualarm(1000, 1000); for (1..3000) { $! = 0; my @u = POSIX::uname(); "
                "if (@u) { $good++ if $u[2] eq \"6.1.0-44-amd64\"; $bad++ if $u[2] ne "
                "\"6.1.0-44-amd64\" } else { $bad++ if $! != EINTR } } ualarm(0); "
                "print $bad // 0, \" \", $good > 1000 ? \"most\" : $good, \"\\n\"'"),
            "0 most\n");
}

TEST_F(Disguised, EmulationAnswersErrorsAsTheKernelDoes) {
  start(spec_of("vm-production", 1));
  // uname, sysinfo, statfs of "/" into nowhere; statfs of nothing.
  EXPECT_EQ(say("perl -e 'for ([63, 0], [99, 0]) { $r = syscall($$_[0], $$_[1]); "
                "print $r, \" \", $!+0, \"\\n\"; } $p = \"/\"; $r = syscall(137, $p, 0); "
                "print $r, \" \", $!+0, \"\\n\"; $r = syscall(137, 0, 0); print $r, \" \", $!+0, "
                "\"\\n\"'"),
            "-1 14\n-1 14\n-1 14\n-1 14\n");
  // Other paths are the kernel's.
  EXPECT_THAT(say("stat -f -c %T /proc"), HasSubstr("proc"));
}

TEST_F(Disguised, WhatIsNotEmulatedIsTheHosts) {
  SandboxSpec spec = spec_of("vm-production", 1);
  spec.policy.cues.emulate = {};
  auto persona = load_persona("vm-production");
  auto disguise = make_disguise(*persona, 1, spec.policy);
  ASSERT_TRUE(persona && disguise);
  spec.disguise = *disguise;
  start(spec);
  EXPECT_EQ(say("uname -r"), say("cat /proc/sys/kernel/osrelease"));
  EXPECT_THAT(say("uname -r"), Not(HasSubstr("6.1.0-44-amd64")));
  EXPECT_EQ(say("echo $(($(getconf PAGESIZE) * $(getconf _PHYS_PAGES) / 1024))"),
            say("awk '/MemTotal/ {print $2}' /proc/meminfo"));
}

class DisguisedAndRecorded : public Disguised,
                             public ::testing::WithParamInterface<recorder::Backend> {};

TEST_P(DisguisedAndRecorded, TheTraceSaysWhatWasEmulated) {
  if (GetParam() == recorder::Backend::ebpf && ::geteuid() != 0)
    GTEST_SKIP() << "loading BPF programs needs root";
  std::uint64_t emulated = 0;
  std::uint64_t untouched = 0;
  record_sandbox(
      GetParam(),
      [&](const SandboxSpec& spec) {
        start(spec);
        EXPECT_EQ(run_argv({"uname", "-r"}).output, "6.1.0-44-amd64\n");
        stop();
        sandbox_.reset();
      },
      [&](const recorder::Event& event) {
        if (event.kind != recorder::EventKind::syscall) return;
        const auto name = recorder::syscall_name(event.abi, event.number);
        if (name == "uname") {
          EXPECT_EQ(event.verdict, recorder::Verdict::emulated);
          ++emulated;
        }
        if (name == "execve" && event.verdict == recorder::Verdict::allowed) ++untouched;
      });
  EXPECT_EQ(emulated, 1U);
  EXPECT_GE(untouched, 1U);
}

INSTANTIATE_TEST_SUITE_P(Backends, DisguisedAndRecorded, recorder_backends(), backend_title);

// All shipped personas start, and their files and calls agree.
TEST_F(Disguised, EveryShippedPersonaHoldsTogether) {
  for (const char* name : {"kubernetes-pod", "docker-service", "developer-laptop", "ci-runner"}) {
    SCOPED_TRACE(name);
    auto persona = load_persona(name);
    ASSERT_TRUE(persona) << persona.error().line();
    start(spec_of(name, 4));
    EXPECT_EQ(say("cat /proc/sys/kernel/osrelease"), persona->machine->kernel_release + "\n");
    EXPECT_EQ(say("uname -r"), persona->machine->kernel_release + "\n");
    EXPECT_EQ(say("cat /proc/1/comm"), persona->machine->init_name + "\n");
    EXPECT_EQ(say("cat /etc/hostname"), say("uname -n"));
    EXPECT_EQ(say("awk '/MemTotal/ {print int($2 / 1024)}' /proc/meminfo"),
              std::to_string(persona->machine->memory_megabytes) + "\n");
    EXPECT_EQ(say("test -e /.dockerenv && echo docker"),
              persona->machine->claims_container == "docker" ? "docker\n" : "");
    const bool bare = persona->machine->claims_vm == "none";
    EXPECT_TRUE(!bare || say("grep -c hypervisor /proc/cpuinfo") == "0\n");
    EXPECT_EQ(stop().processes_left, 0U);
  }
}

TEST_F(Disguised, DetectorsSayWhatThePersonaClaims) {
  start(spec_of("vm-production", 5));
  if (run("command -v systemd-detect-virt").end.exit_code != 0)
    GTEST_SKIP() << "no systemd-detect-virt on this host";
  EXPECT_EQ(say("systemd-detect-virt --container"), "none\n");
  std::uint32_t a = 0, b = 0, c = 0, d = 0;
  __cpuid(0x40000000, a, b, c, d);
  if (b != 0x4b4d564b)  // "KVMK": the processor's own word, which goes before all files
    GTEST_SKIP() << "this host is no guest of KVM, which systemd-detect-virt asks the processor";
  EXPECT_EQ(say("systemd-detect-virt --vm"), "kvm\n");
}

TEST_F(Disguised, APersonaWithoutAMachineHidesNothing) {
  SandboxSpec spec = spec_of("bare", 1);
  EXPECT_EQ(spec.disguise, nullptr);
}

}  // namespace
}  // namespace gyges::cues
