// What a sandbox's programs learn from the system bus. The programs are the host's: where it has
// none of them the test is skipped.
#include "sandbox/cues/system_bus.h"

#include <gmock/gmock.h>

#include <unistd.h>

#include <array>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <regex>

#include "tests/sandbox/cues/persona_spec.h"
#include "tests/sandbox/isolation/sandbox_fixture.h"

namespace gyges::cues {
namespace {

using isolation::SandboxSpec;
using ::testing::HasSubstr;
using ::testing::Not;

class OnTheBus : public isolation::SandboxTest {
 protected:
  void SetUp() override {
    if (::access("/usr/bin/systemctl", X_OK) != 0)
      GTEST_SKIP() << "this host has no systemctl to ask with";
  }
  std::string say(const std::string& command) { return run(command).output; }
};

struct Row {
  const char* command;
  const char* expected;  // a regular expression that all of the output matches
};

constexpr std::array rows{
    Row{"systemctl is-active cron nothing; echo $?", "active\ninactive\n[03]\n"},
    Row{"systemctl is-system-running; systemctl get-default", "running\ngraphical\\.target\n"},
    Row{"systemctl status nothing; echo $?", "Unit nothing\\.service could not be found\\.\n4\n"},
    Row{"systemctl show -p MainPID --value cron", "618\n"},
    Row{"systemctl show -p Id --value sshd default.target | xargs",
        "ssh\\.service graphical\\.target\n"},
    Row{"systemctl show -p Description --value depot-sync", "Depot move synchronisation\n"},
    Row{"systemctl show -p ExecStart --value depot-sync | grep -c 'path=/srv/depot-sync/bin/'",
        "1\n"},
    Row{"test $(systemctl show -p MemoryCurrent --value cron) -eq $(cat "
        "/sys/fs/cgroup/system.slice/cron.service/memory.current) && echo same",
        "same\n"},
    Row{"systemctl list-units --no-legend --plain --type=service --state=running | grep -c -E "
        "'^(cron|dbus|ssh|rsyslog|chrony|depot-sync)\\.service '",
        "6\n"},
    Row{"systemctl is-enabled cron systemd-logind", "enabled\nstatic\n"},
    Row{"hostnamectl --static 2>&1", "bgo-log02\n"},
    Row{"hostnamectl | grep -c -E 'Chassis: vm|Virtualization: kvm|Hardware Model: KVM'", "3\n"},
    Row{"timedatectl show -p Timezone --value", "Etc/UTC\n"},
    Row{"loginctl show-user svc-autops -p UID --value", "1207\n"},
    Row{"busctl call org.freedesktop.DBus / org.freedesktop.DBus GetNameOwner s "
        "org.freedesktop.login1",
        "s \":1\\.[0-9]+\"\n"},
};

TEST_F(OnTheBus, ProgramsLearnWhatThePersonaIs) {
  SandboxSpec spec = spec_of("vm-production", 7);
  start(spec);
  std::vector<std::string> said;
  for (const Row& row : rows) said.push_back(say(row.command));
  sandbox_.reset();
  spec.policy.cues.system_bus = false;
  start(spec);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_TRUE(std::regex_match(said[i], std::regex(rows[i].expected)))
        << rows[i].command << ": " << said[i];
    EXPECT_FALSE(std::regex_match(say(rows[i].command), std::regex(rows[i].expected)))
        << rows[i].command << " says the same without a bus";
  }
  EXPECT_THAT(say("systemctl is-active cron 2>&1"), HasSubstr("Failed to connect to bus"));
}

TEST_F(OnTheBus, NothingChanges) {
  start(spec_of("vm-production", 7));
  // Without polkit nobody could be asked for a password.
  for (const char* verb : {"start", "stop", "restart", "reload", "kill"})
    EXPECT_THAT(say(std::string("systemctl --no-ask-password ") + verb + " cron 2>&1"),
                HasSubstr("Access denied"))
        << verb;
  EXPECT_THAT(say("systemctl --no-ask-password restart nothing 2>&1"), HasSubstr("not found"));
  EXPECT_EQ(say("systemctl is-active cron"), "active\n");
  start(spec_of("developer-laptop", 7));
  EXPECT_THAT(say("systemctl --no-ask-password restart cups 2>&1"),
              HasSubstr("Interactive authentication required"));
}

TEST_F(OnTheBus, UnitsAgreeWithTheListOfProcesses) {
  start(spec_of("vm-production", 7));
  // Threads and memory, as /proc has them; the group, likewise.
  EXPECT_EQ(say("systemctl show -p TasksCurrent --value rsyslog"),
            say("awk '/^Threads/ {print $2}' /proc/631/status"));
  EXPECT_EQ(say("systemctl show -p MemoryCurrent --value rsyslog"),
            say("awk '/^VmRSS/ {print $2 * 1024}' /proc/631/status"));
  EXPECT_EQ(say("systemctl show -p ControlGroup --value rsyslog"),
            say("cut -d: -f3 /proc/631/cgroup"));
  EXPECT_EQ(say("busctl call org.freedesktop.DBus / org.freedesktop.DBus.Peer GetMachineId"),
            say("printf 's \"%s\"\\n' $(cat /etc/machine-id)"));
}

// Limits on tasks follow from what the kernel allows, as /proc/sys tells it.
TEST_F(OnTheBus, LimitsOnTasksFollowFromTheMachine) {
  for (const char* name : {"vm-production", "developer-laptop"}) {
    start(spec_of(name, 7));
    const std::string allowed = "echo $(($(cat /proc/sys/kernel/threads-max) * ";
    EXPECT_EQ(say("systemctl show -p DefaultTasksMax --value"), say(allowed + "15 / 100))"));
    EXPECT_EQ(say("systemctl show -p TasksMax --value dbus"), say(allowed + "15 / 100))"));
    EXPECT_EQ(say("systemctl show -p TasksMax --value user-$(id -u).slice"),
              say(allowed + "33 / 100))"));
    EXPECT_EQ(say("systemctl show -p TasksMax --value system.slice"), "infinity\n");
    sandbox_.reset();
  }
}

// A target is reached after what it wants, and to start a service takes time.
TEST_F(OnTheBus, TheStartOfTheMachineIsInOrder) {
  if (::access("/usr/bin/systemd-analyze", X_OK) != 0) GTEST_SKIP() << "no systemd-analyze";
  for (const char* name : {"vm-production", "developer-laptop"}) {
    start(spec_of(name, 7));
    const std::string reached = "systemctl show -p ActiveEnterTimestampMonotonic --value ";
    EXPECT_EQ(say("n=0; for u in sysinit.target basic.target dbus.service multi-user.target "
                  "graphical.target; do m=$(" +
                  reached + "$u); [ $m -gt $n ] && echo $u; n=$m; done | wc -l"),
              "5\n")
        << name;
    EXPECT_GT(std::atoi(say("systemd-analyze blame | grep -c 'ms .*service'").c_str()), 10) << name;
    EXPECT_THAT(say("systemd-analyze time"), HasSubstr("graphical.target reached after")) << name;
    sandbox_.reset();
  }
}

// Who answers for logins and for the clock is in the list of processes.
TEST_F(OnTheBus, WhoeverAnswersRuns) {
  for (const char* name : {"vm-production", "developer-laptop"}) {
    start(spec_of(name, 7));
    const std::string pid = say("systemctl show -p MainPID --value systemd-logind");
    EXPECT_GT(std::atoi(pid.c_str()), 1) << name;
    EXPECT_EQ(say("cat /proc/" + pid.substr(0, pid.find('\n')) + "/comm"), "systemd-logind\n");
    EXPECT_EQ(say("timedatectl show -p NTP -p NTPSynchronized --value"), "yes\nyes\n") << name;
    sandbox_.reset();
  }
}

TEST_F(OnTheBus, SocketsAreOldAndNoChangeOfTheRun) {
  start(spec_of("vm-production", 7));
  EXPECT_EQ(say("test /run/dbus/system_bus_socket -ot /run/utmp && echo old"), "old\n");
  EXPECT_EQ(say("touch /tmp/mine; systemctl is-active cron"), "active\n");
  bool mine = false;
  for (const isolation::FileChange& change : stop().changes) {
    EXPECT_FALSE(change.path.starts_with("/run/dbus") || change.path.starts_with("/run/systemd"))
        << change.path;
    mine = mine || change.path == "/tmp/mine";
  }
  EXPECT_TRUE(mine);
}

TEST_F(OnTheBus, ContainersHaveNone) {
  start(spec_of("docker-service", 7));
  EXPECT_EQ(say("ls /run/dbus/system_bus_socket /run/systemd/private 2> /dev/null | wc -l"), "0\n");
}

}  // namespace
}  // namespace gyges::cues
