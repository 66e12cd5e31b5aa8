// Files of /proc/PID under a persona, by every name that leads to them. The same readings in a
// sandbox without a disguise are the control: they say something else there.
#include <gmock/gmock.h>
#include <unistd.h>

#include <array>
#include <map>

#include "base/text.h"
#include "sandbox/isolation/caller_path.h"
#include "tests/sandbox/cues/persona_spec.h"
#include "tests/sandbox/cues/recorded_sandbox.h"
#include "tests/sandbox/isolation/sandbox_fixture.h"

namespace gyges::cues {
namespace {

using isolation::SandboxSpec;
using ::testing::HasSubstr;
using ::testing::Not;

class ProcessFile : public isolation::SandboxTest {
 protected:
  std::string say(const std::string& command) { return run(command).output; }
};

TEST(ProcessPath, IsOneOfAProcess) {
  auto status = isolation::process_path("/proc/12/status");
  ASSERT_TRUE(status);
  EXPECT_EQ(status->process, 12U);
  EXPECT_EQ(status->name, "status");
  auto thread = isolation::process_path("/proc/12/task/13/attr/current");
  ASSERT_TRUE(thread);
  EXPECT_EQ(thread->thread, 13U);
  EXPECT_EQ(thread->name, "attr/current");
  for (const char* other :
       {"/proc/self/status", "/proc/status", "/proc/12", "/proc/12/", "/proc/x/y",
        "/proc/12/task/x/y", "/proc/12/task/13", "/etc/proc/1/status", "",
        "/proc/99999999999/status", "/proc/-1/status"})
    EXPECT_FALSE(isolation::process_path(other)) << other;
}

// Every way to the same file.
constexpr std::array ways{
    "cat /proc/self/status",
    "cat /proc/$$/status",
    "cat /proc/thread-self/status",
    "cat /proc/$$/task/$$/status",
    "cat /proc/self/root/proc/self/status",
    "cd /tmp && cat /proc/self/cwd/../proc/self/status",
    "cd /proc/self && cat status",
    "cd /proc && cat self/../self/./status",
    "cat < /proc/self/status",
    "cat /dev/stdin < /proc/self/status",
    "cat /proc/self/fd/0 < /proc/self/status",
    "ln -sf /proc/self/status /tmp/s && cat /tmp/s",
    "ln -sfn /proc /tmp/p && cat /tmp/p/self/status",
    "ln -sf /tmp/s /tmp/t && cd /tmp && cat t",
    "perl -e 'syscall(88, $t = \"/proc/self/status\", $n = \"/tmp/u\")'; cat /tmp/u",
    "cd /tmp && perl -e 'syscall(266, $t = \"../proc/$$/status\", -100, $n = \"v\"); "
    "open($f, \"<\", \"v\"); print <$f>'",
    "perl -e 'open($f, \"<\", \"/proc/self/status\"); print <$f>'",
    // openat2 from a directory, restricted to what is below it.
    "perl -e 'opendir($d, \"/proc\"); $h = pack(\"Q3\", 0, 0, 8); $p = \"$$/status\"; "
    "$n = syscall(437, fileno($d), $p, $h, 24); open($f, \"<&=\", $n); print <$f>'",
};

TEST_F(ProcessFile, EveryWayLeadsToThePersonas) {
  SandboxSpec spec = spec_of("vm-production", 7);
  const std::string pick = " | awk '/^(NoNewPrivs|Seccomp|CapBnd):/ {printf \"%s \", $2}'";
  start(spec);
  for (const char* way : ways)
    EXPECT_EQ(say(std::string("{ ") + way + "; }" + pick), "000001ffffffffff 0 0 ") << way;
  spec.disguise.reset();
  start(spec);
  for (const char* way : ways)
    EXPECT_EQ(say(std::string("{ ") + way + "; }" + pick), "0000000000000000 1 2 ") << way;
}

// To a file that is fixed and, where it is answered, covered by nothing.
constexpr std::array ways_to_partitions{
    "cat /proc/partitions",
    "cat /proc/self/root/proc/partitions",
    "cd /proc && cat self/../partitions",
    "ln -sf /proc/partitions /tmp/w && cat /tmp/w",
    "ln -sfn /proc /tmp/q && cat /tmp/q/partitions",
    // Links of one's own and of another process.
    "cd /proc && cat self/cwd/partitions",
    "sh -c 'cd /proc; cat /proc/$$/cwd/partitions; true'",
    "exec 7< /proc; cat /proc/self/fd/7/partitions",
    "exec 7< /proc; cat /dev/fd/7/partitions",
    "sh -c 'exec 7< /proc; cat /proc/$$/fd/7/partitions; true'",
    // A descriptor without a file that was opened, by its number.
    "perl -e '$n = syscall(257, -100, $p = \"/proc/partitions\", 0x200000, 0); "
    "open($f, \"<\", \"/proc/self/fd/$n\"); print <$f>'",
    "perl -e '$n = syscall(257, -100, $p = \"/proc/partitions\", 0x200000, 0); "
    "chdir \"/proc/self/fd\"; "
    "open($f, \"<\", $n); print <$f>'",
    // Flags that say nothing about a file that is there: O_CREAT, O_EXCL, O_APPEND.
    "perl -e 'sysopen($f, \"/proc/partitions\", 0100); print <$f>'",
    "perl -e 'sysopen($f, \"/proc/partitions\", 0200); print <$f>'",
    "perl -e 'sysopen($f, \"/proc/partitions\", 02000); print <$f>'",
    // openat2: as it stands, by a link, without links, and with a directory as root.
    "perl -e '$h = pack(\"Q3\", 0, 0, 0); $p = \"/proc/partitions\"; "
    "$n = syscall(437, -100, $p, $h, 24); open($f, \"<&=\", $n); print <$f>'",
    "ln -sf /proc/partitions /tmp/y; perl -e '$h = pack(\"Q3\", 0, 0, 0); "
    "$n = syscall(437, -100, $p = \"/tmp/y\", $h, 24); open($f, \"<&=\", $n); print <$f>'",
    "perl -e '$h = pack(\"Q3\", 0, 0, 6); $p = \"/proc/partitions\"; "
    "$n = syscall(437, -100, $p, $h, 24); open($f, \"<&=\", $n); print <$f>'",
    "perl -e 'opendir($d, \"/proc\"); $h = pack(\"Q3\", 0, 0, 16); $p = \"/partitions\"; "
    "$n = syscall(437, fileno($d), $p, $h, 24); open($f, \"<&=\", $n); print <$f>'",
};

TEST_F(ProcessFile, EveryWayLeadsToThePersonasFixedFile) {
  SandboxSpec spec = spec_of("vm-production", 7);
  const std::string file = "cat /proc/partitions";
  start(spec);
  const std::string personas = say(file);
  for (const char* way : ways_to_partitions) EXPECT_EQ(say(way), personas) << way;
  // What the kernel refuses stays refused: O_CREAT with O_EXCL, links where none may be.
  EXPECT_EQ(say("perl -e 'print sysopen($f, \"/proc/partitions\", 0300) ? \"open\" : $!{EEXIST} ? "
                "\"exists\" : $!'"),
            "exists");
  EXPECT_EQ(say("ln -sf /proc/partitions /tmp/z; perl -e '$h = pack(\"Q3\", 0, 0, 4); "
                "print syscall(437, -100, $p = \"/tmp/z\", $h, 24)'"),
            "-1");
  spec.disguise.reset();
  start(spec);
  const std::string hosts = say(file);
  EXPECT_NE(hosts, personas);
  for (const char* way : ways_to_partitions) EXPECT_EQ(say(way), hosts) << way;
}

TEST_F(ProcessFile, MountsAreThePersonasDisk) {
  SandboxSpec spec = spec_of("vm-production", 7);
  start(spec);
  const std::string mounts = say("cat /proc/self/mountinfo");
  EXPECT_THAT(mounts, HasSubstr(" 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 "));
  // Of covers none; what systemd has there, once.
  EXPECT_EQ(say("awk '$5 ~ \"^/proc/\" {print $5, $9}' /proc/self/mountinfo"),
            "/proc/sys/fs/binfmt_misc autofs\n");
  EXPECT_EQ(say("cat /proc/1/mountinfo"), mounts);
  EXPECT_EQ(say("awk '$2 == \"/\" {print $1, $3}' /proc/mounts"), "/dev/vda1 ext4\n");
  EXPECT_EQ(say("wc -l < /proc/mounts"), say("wc -l < /proc/self/mountinfo"));
  // A link that was there before anybody could have been seen making it.
  EXPECT_EQ(say("test -L /etc/mtab && cat /etc/mtab"), say("cat /proc/mounts"));
  // What statfs says of each place is of the type that stands there.
  EXPECT_EQ(say("stat -f -c %T / /usr /home /proc /sys /run /sys/fs/cgroup | tr '\\n' ' '"),
            "ext2/ext3 ext2/ext3 ext2/ext3 proc sysfs tmpfs cgroup2fs ");
  EXPECT_EQ(say("df --output=source / | tail -n +2"), "/dev/vda1\n");
  EXPECT_EQ(say("stat -f -c %b /"), say("stat -f -c %b /etc"));
  EXPECT_NE(say("stat -f -c %b /"), say("stat -f -c %b /var/log"));
  // Every mount but the root stands on one that is there, and none on itself in the end.
  EXPECT_EQ(say("awk '{id[$1] = $2; if ($5 == \"/\") top = $1} END {for (i in id) {n = 0; j = i; "
                "while (j != top && n++ < 40) j = id[j]; if (j != top) print i}}' "
                "/proc/self/mountinfo"),
            "");
  spec.disguise.reset();
  start(spec);
  EXPECT_THAT(say("cat /proc/self/mountinfo"), Not(HasSubstr("/dev/vda1")));
}

TEST_F(ProcessFile, AMachineHasItsFirstNamespaces) {
  SandboxSpec spec = spec_of("vm-production", 7);
  start(spec);
  EXPECT_EQ(say("readlink /proc/self/ns/pid /proc/$$/ns/user"),
            "pid:[4026531836]\nuser:[4026531837]\n");
  EXPECT_EQ(say("cat /proc/self/timens_offsets | awk '{print $2 + $3}' | sort -u"), "0\n");
  EXPECT_THAT(say("cat /proc/self/cgroup"), HasSubstr("0::/user.slice/user-1207.slice/session-"));
  EXPECT_EQ(say("cat /proc/1/cgroup"), "0::/init.scope\n");
  // Its own ids, also where a user namespace stands between.
  EXPECT_EQ(say("awk '/^Uid/ {print $2}' /proc/self/status"), say("id -u"));
  EXPECT_EQ(say("awk '/^Pid/ {print $2}' /proc/self/status | wc -l"), "1\n");
  start(spec_of("docker-service", 7));
  EXPECT_THAT(say("readlink /proc/self/ns/pid"), Not(HasSubstr("4026531836")));
  EXPECT_EQ(say("cat /proc/self/cgroup"), "0::/\n");
  EXPECT_THAT(say("head -1 /proc/self/mountinfo"),
              HasSubstr(" / / rw,relatime - overlay overlay "));
  EXPECT_EQ(say("awk '/^(NoNewPrivs|Seccomp|CapBnd):/ {printf \"%s \", $2}' /proc/self/status"),
            "00000000a80425fb 0 2 ");
}

TEST_F(ProcessFile, DaemonsHaveWorkedSinceTheStart) {
  SandboxSpec spec = spec_of("vm-production", 7);
  start(spec);
  const std::string old = "awk '{print ($22 < 2000 && $14 > 0 && $24 > 500)}' /proc/271/stat";
  EXPECT_EQ(say(old), "1\n");
  EXPECT_EQ(say("awk '{print $29, $30, $35, $28}' /proc/271/stat"), "0 0 0 0\n");
  EXPECT_EQ(say("awk '{print $2}' /proc/271/statm"),
            say("awk '/^VmRSS/ {print int($2 / 4)}' /proc/271/status"));
  spec.disguise.reset();
  start(spec);
  EXPECT_NE(say(old), "1\n");
}

// By every file that tells: none of them logged in, was started just now or has hardly run.
TEST_F(ProcessFile, ServicesAreServicesByEveryFile) {
  SandboxSpec spec = spec_of("vm-production", 7);
  start(spec);
  EXPECT_EQ(say("cat /proc/1/loginuid /proc/271/sessionid"), "42949672954294967295");
  EXPECT_EQ(say("cat /proc/self/loginuid"), "1207");
  EXPECT_EQ(say("cat /proc/1/oom_score /proc/683/oom_score_adj | tr '\\n' ' '"), "0 -1000 ");
  const std::string switches = "awk '$1 == \"nr_switches\" {print $3}' /proc/271/sched";
  const std::string counted = "awk '/ctxt_switches/ {n += $2} END {print n}' /proc/271/status";
  EXPECT_EQ(say(switches), say(counted));
  EXPECT_EQ(say("head -1 /proc/1/sched"), "systemd (1, #threads: 1)\n");
  EXPECT_EQ(say("awk '/open files/ {print $4, $5}' /proc/271/limits"), "1024 524288\n");
  EXPECT_EQ(say("wc -l < /proc/271/limits"), say("wc -l < /proc/self/limits"));
  // One's own stay the kernel's.
  EXPECT_EQ(say("awk '/open files/ {print $4}' /proc/self/limits"), say("ulimit -n"));
  // What waits for a login on a screen has done nothing but that, and has that screen.
  EXPECT_EQ(say("awk '{print $7, ($14 + $15 < 200)}' /proc/661/stat"), "1025 1\n");
  spec.disguise.reset();
  start(spec);
  EXPECT_NE(say("cat /proc/1/oom_score"), "0\n");
}

TEST_F(ProcessFile, DescriptorsReadRight) {
  start(spec_of("vm-production", 7));
  EXPECT_EQ(say("exec 3< /proc/$$/status; readlink /proc/$$/fd/3 | sed s/$$/N/"),
            "/proc/N/status\n");
  // Read again it is as of now, and another process's is another.
  EXPECT_EQ(
      say("perl -e 'open($f, \"<\", \"/proc/self/status\"); <$f>; seek($f, 0, 0); print <$f>' | "
          "grep -c ^Name"),
      "1\n");
  // Nobody can write to it.
  EXPECT_NE(run("chmod 666 /proc/self/status").end.exit_code, 0);
  EXPECT_NE(run("echo x > /proc/self/status").end.exit_code, 0);
}

TEST_F(ProcessFile, ErrorsAreTheKernels) {
  start(spec_of("vm-production", 7));
  EXPECT_THAT(say("LC_ALL=C cat /proc/999999/status 2>&1"), HasSubstr("No such file"));
  EXPECT_THAT(say("LC_ALL=C cat /tmp/nothing/status 2>&1"), HasSubstr("No such file"));
  EXPECT_THAT(say("LC_ALL=C cat '' 2>&1"), HasSubstr("No such file"));
  EXPECT_THAT(say("mkdir -p /tmp/d; echo mine > /tmp/d/status; cd /tmp/d; cat status"), "mine\n");
  // A directory that the caller may not enter does not tell what is in it.
  EXPECT_EQ(say("mkdir -p /tmp/closed/in; chmod 0 /tmp/closed; stat -f /tmp/closed/in > /dev/null "
                "2>&1 || echo refused; chmod 700 /tmp/closed"),
            "refused\n");
  // A full table of descriptors, and a bad address.
  EXPECT_EQ(say("ulimit -n 4; perl -e 'open($a, \"<\", \"/dev/null\"); open($b, \"<\", "
                "\"/proc/self/status\") or print $!+0; $r = syscall(2, 1, 0); print \" \", $!+0'"),
            "24 14");
}

TEST_F(ProcessFile, BearsManyProcessesAndSignals) {
  start(spec_of("vm-production", 7));
  // More files than are kept, of processes that come and go.
  EXPECT_EQ(say("perl -e 'for (1..150) { my $p = fork; if (!$p) { for my $n (qw(status mountinfo "
                "mounts cgroup uid_map gid_map setgroups loginuid)) { open($f, \"<\", "
                "\"/proc/self/$n\") or exit 1; exit 2 unless length(join(\"\", <$f>)) } exit 0 } "
                "waitpid($p, 0); $bad++ if $? } print $bad // 0'; "
                "grep Seccomp: /proc/self/status"),
            "0Seccomp:\t0\n");
  EXPECT_EQ(
      say("perl -MTime::HiRes=ualarm -e '$SIG{ALRM} = sub { $n++ }; ualarm(1000, 1000); "
          "for (1..2000) { $! = 0; if (open($f, \"<\", \"/proc/self/status\")) { "
          "$s = join(\"\", <$f>); $bad++ unless $s =~ /Seccomp:\\t0/; $good++ } "
          "else { $bad++ if $!+0 != 4 } } ualarm(0); print $bad // 0, $good ? \" some\" : \"\"'"),
      "0 some");
}

TEST_F(ProcessFile, SwitchesLeaveTheKernels) {
  SandboxSpec spec = spec_of("vm-production", 7);
  spec.policy.cues.emulate = {"uname"};
  start(spec);
  EXPECT_EQ(say("awk '/^Seccomp:/ {print $2}' /proc/self/status"), "2\n");
  EXPECT_THAT(say("readlink /proc/self/ns/pid"), Not(HasSubstr("4026531836")));
}

class RecordedProcessFile : public ProcessFile,
                            public ::testing::WithParamInterface<recorder::Backend> {};

// An open that the kernel executed after all is allowed, one that was answered emulated.
TEST_P(RecordedProcessFile, TheTraceTellsThemApart) {
  if (GetParam() == recorder::Backend::ebpf && ::geteuid() != 0)
    GTEST_SKIP() << "loading BPF programs needs root";
  std::map<recorder::Verdict, int> opens;
  record_sandbox(
      GetParam(),
      [&](const SandboxSpec& spec) {
        start(spec);
        EXPECT_THAT(run_argv({"cat", "/proc/self/mounts", "/etc/hostname", "/nowhere"}).output,
                    HasSubstr("/dev/vda1 / ext4"));
        stop();
        sandbox_.reset();
      },
      [&](const recorder::Event& event) {
        if (event.kind == recorder::EventKind::syscall &&
            recorder::syscall_name(event.abi, event.number) == "openat")
          ++opens[event.verdict];
      });
  EXPECT_EQ(opens[recorder::Verdict::emulated], 1);
  EXPECT_EQ(opens[recorder::Verdict::refused], 0);
  EXPECT_GE(opens[recorder::Verdict::allowed], 4);
}

INSTANTIATE_TEST_SUITE_P(Backends, RecordedProcessFile, recorder_backends(), backend_title);

}  // namespace
}  // namespace gyges::cues
