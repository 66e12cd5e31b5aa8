// What is left after a death.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "base/text.h"
#include "gyges_process.h"
#include "tests/own_groups.h"

namespace gyges {
namespace {

using Leftovers = EndToEnd;

std::size_t mounts() {
  return split(read_file("/proc/self/mountinfo").value_or(""), '\n').size();
}

void kill_in_mid_run(const std::filesystem::path& bundle, const std::string& recorder) {
  // A number that no other test sleeps for finds the processes again.
  std::string token = "31536" + std::to_string(::getpid()) + (recorder == "off" ? "1" : "2");
  std::size_t mounts_before = mounts();
  pid_t pid = start_gyges({"run", "--recorder", recorder, "--out", bundle.string(), "--", "sh",
                           "-c", "setsid sleep " + token + " & sleep " + token});
  ASSERT_TRUE(eventually(
      [&] { return processes_with("sleep\0" + token) >= 2 || processes_with(token) >= 4; }));
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  EXPECT_TRUE(eventually([&] { return processes_with(token) == 0; }));
  EXPECT_TRUE(eventually([&] { return groups_of(pid).empty(); }));
  EXPECT_EQ(mounts(), mounts_before);
}

TEST_F(Leftovers, KillNineOfTheSupervisorLeavesNothing) {
  kill_in_mid_run(path("bundle"), "off");
}

TEST_F(Leftovers, KillNineWhileRecordingLeavesASalvageableTrace) {
  kill_in_mid_run(path("bundle"), "auto");
  EXPECT_FALSE(std::filesystem::exists(path("bundle/seal.json")));
  EXPECT_EQ(gyges({"verify", path("bundle").string()}).status, 125);  // no seal: not a whole bundle
}

TEST_F(Leftovers, DaemonsEndWithTheCommand) {
  std::string token = "31537" + std::to_string(::getpid());
  Finished run = gyges({"run", "--recorder", "off", "--", "sh", "-c",
                        "setsid sleep " + token + " > /dev/null 2>&1 & exit 0"});
  EXPECT_EQ(run.status, 0);
  EXPECT_EQ(processes_with(token), 0);
}

// They must not keep the run open by talking.
TEST_F(Leftovers, TalkingDaemonsEndWithTheCommand) {
  for (const char* talk : {"yes", "while :; do echo x; sleep 0.02; done"}) {
    Finished run = gyges({"run", "--recorder", "off", "--", "sh", "-c",
                          std::string("(") + talk + ") & sleep 0.1; exit 0"});
    EXPECT_EQ(run.status, 0) << talk;
    EXPECT_NE(run.output, "") << talk;
    EXPECT_LT(run.time, std::chrono::seconds(15)) << talk;
  }
}

void expect_signal_to_arrive(const std::filesystem::path& bundle, const std::string& recorder) {
  std::string token = "31538" + std::to_string(::getpid());
  pid_t pid = start_gyges({"run", "--recorder", recorder, "--out", bundle.string(), "--", "sh",
                           "-c", "sleep " + token});
  ASSERT_TRUE(eventually([&] { return processes_with(token) >= 3; }));
  ::kill(pid, SIGTERM);
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 128 + SIGTERM);
  EXPECT_EQ(processes_with(token), 0);
  EXPECT_EQ(gyges({"verify", bundle.string()}).status, 0);
}

TEST_F(Leftovers, SignalsReachTheCommand) {
  expect_signal_to_arrive(path("bundle"), "off");
}

TEST_F(Leftovers, SignalsReachTheCommandWhileRecording) {
  expect_signal_to_arrive(path("bundle"), "auto");
}

}  // namespace
}  // namespace gyges
