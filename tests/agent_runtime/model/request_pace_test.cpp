#include "agent_runtime/model/request_pace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <thread>
#include <vector>

#include "base/files.h"

namespace gyges::model {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

class RequestPaceTest : public ::testing::Test {
 protected:
  TemporaryDirectory directory_ = *TemporaryDirectory::create("gyges-pace");
  [[nodiscard]] RequestPace pace(const char* whom, double per_minute) const {
    return {directory_.path() / "pace", whom, per_minute};
  }
};

TEST_F(RequestPaceTest, TurnsAreEvenlySpacedAndSharedByName) {
  // A turn every ten seconds.
  EXPECT_EQ(*pace("one", 6).take_turn(1h), 0ms);
  const milliseconds second = *pace("one", 6).take_turn(1h);
  EXPECT_GT(second, 9s);
  EXPECT_LE(second, 10s);
  EXPECT_GT(*pace("one", 6).take_turn(1h), 19s);
  EXPECT_EQ(*pace("another", 6).take_turn(1h), 0ms);
}

TEST_F(RequestPaceTest, ATurnThatComesTooLateIsNotTaken) {
  ASSERT_TRUE(pace("one", 6).take_turn(1h));
  auto late = pace("one", 6).take_turn(5s);
  ASSERT_FALSE(late);
  EXPECT_THAT(late.error().line(), HasSubstr("requests_per_minute"));
  EXPECT_LE(*pace("one", 6).take_turn(1h), 10s) << "it was taken";
}

// A turn every ten minutes: as many as fit into what is believed, and then errors, not all at once.
TEST_F(RequestPaceTest, ManyWhoWaitDoNotUndoThePace) {
  for (int turn = 0; turn < 6; ++turn) {
    auto wait = pace("one", 0.1).take_turn(48h);
    ASSERT_TRUE(wait) << wait.error().line();
    EXPECT_GE(*wait, turn * 10min - 5s);
  }
  for (int more = 0; more < 3; ++more) {
    auto refused = pace("one", 0.1).take_turn(48h);
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().line(), HasSubstr("too far ahead"));
  }
}

TEST_F(RequestPaceTest, WhatTheEndpointAsksForHoldsUpAll) {
  ASSERT_TRUE(pace("one", 6000).hold(20s));
  EXPECT_GT(*pace("one", 6000).take_turn(1h), 19s);
}

TEST_F(RequestPaceTest, ATimeThatCannotBeIsNotBelieved) {
  ASSERT_TRUE(pace("one", 6).take_turn(1h));
  for (const auto& entry : std::filesystem::directory_iterator(directory_.path() / "pace"))
    std::ofstream(entry.path()) << "zzzzzzzz";  // in the year 2248
  EXPECT_EQ(*pace("one", 6).take_turn(1h), 0ms);
}

TEST_F(RequestPaceTest, NoPlaceForItIsAnError) {
  auto nowhere = RequestPace({}, "one", 6).take_turn(1h);
  ASSERT_FALSE(nowhere);
  EXPECT_THAT(nowhere.error().line(), HasSubstr("XDG_STATE_HOME"));
}

// Four processes, ten turns each, one every 20 ms: no two at once.
TEST_F(RequestPaceTest, ProcessesShareIt) {
  const std::filesystem::path log = directory_.path() / "turns";
  std::vector<pid_t> children;
  for (int child = 0; child < 4; ++child) {
    const pid_t pid = fork();
    if (pid == 0) {
      for (int i = 0; i < 10; ++i) {
        auto wait = pace("shared", 3000).take_turn(1h);
        if (!wait) _exit(1);
        const auto turn = std::chrono::system_clock::now().time_since_epoch() + *wait;
        std::ofstream(log, std::ios::app)
            << std::to_string(std::chrono::duration_cast<milliseconds>(turn).count()) + "\n";
      }
      _exit(0);
    }
    children.push_back(pid);
  }
  for (pid_t child : children) {
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  std::vector<std::int64_t> turns;
  std::ifstream lines(log);
  for (std::int64_t turn = 0; lines >> turn;) turns.push_back(turn);
  ASSERT_EQ(turns.size(), 40U);
  std::sort(turns.begin(), turns.end());
  // Between taking a turn and looking at the clock a busy machine may let time pass.
  EXPECT_GE(turns.back() - turns.front(), 39 * 20 - 100);
}

}  // namespace
}  // namespace gyges::model
