// The public header alone, as a program outside this tree uses it.
#include <gtest/gtest.h>
#include <gyges/sandbox.h>

#include <chrono>
#include <string>
#include <thread>

namespace {

using namespace gyges::sandbox;

Policy default_policy() {
  auto policy = Policy::load("default");
  EXPECT_TRUE(policy) << policy.error().message;
  return policy->with_wall_time(std::chrono::seconds(30));
}

TEST(Library, RunsOneCommandAndReturnsItsOutputAndStatus) {
  auto outcome = run(default_policy(), {{"sh", "-c", "echo out; echo err >&2; exit 7"}});
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->output, "out\n");
  EXPECT_EQ(outcome->error, "err\n");
  EXPECT_EQ(outcome->exit_code, 7);
  EXPECT_FALSE(outcome->success());
}

TEST(Library, PassesInputEnvironmentAndDirectory) {
  Command command{{"sh", "-c", "cat; echo $WORD; pwd"}, {"WORD=value"}, "/tmp", {}};
  command.input.assign(300000, 'x');  // more than a pipe or socket holds
  auto outcome = run(default_policy(), command);
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->output, command.input + "value\n/tmp\n");
}

TEST(Library, SaysWhyAProgramCouldNotBeStarted) {
  auto outcome = run(default_policy(), {{"no-such-program"}});
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->exit_code, 127);
  EXPECT_FALSE(outcome->start_error.empty());
}

TEST(Library, KeepsStateBetweenCommandsAndReportsChanges) {
  auto sandbox = Sandbox::start(default_policy(), {{}, {{"/tmp/seed", "given", 0600}}});
  ASSERT_TRUE(sandbox) << sandbox.error().message;
  auto first = sandbox->run({{"sh", "-c", "cat /tmp/seed; echo new > /tmp/file"}});
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(first->output, "given");
  auto second = sandbox->run({{"cat", "/tmp/file"}});
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ(second->output, "new\n");
  auto end = sandbox->stop();
  ASSERT_TRUE(end) << end.error().message;
  ASSERT_EQ(end->changes.size(), 1U);
  EXPECT_EQ(end->changes[0].path, "/tmp/file");
  EXPECT_EQ(end->changes[0].type, 'f');
  auto late = sandbox->run({{"true"}});
  ASSERT_FALSE(late);
  EXPECT_NE(late.error().message.find("stopped"), std::string::npos);
}

TEST(Library, BoundsOutputAndTime) {
  auto flood = run(default_policy().with_output(1000), {{"sh", "-c", "yes | head -c 100000"}});
  ASSERT_TRUE(flood) << flood.error().message;
  EXPECT_EQ(flood->output.size(), 1000U);
  ASSERT_EQ(flood->limits_hit.size(), 1U);
  EXPECT_EQ(flood->limits_hit[0].limit, "output_bytes");

  auto sandbox = Sandbox::start(default_policy());
  ASSERT_TRUE(sandbox) << sandbox.error().message;
  auto slow = sandbox->run({{"sleep", "60"}}, std::chrono::milliseconds(200));
  ASSERT_TRUE(slow) << slow.error().message;
  EXPECT_EQ(slow->signal, 9);
}

TEST(Library, RefusesAPolicyItDoesNotKnow) {
  auto missing = Policy::load("no-such-preset");
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message.find("default"), std::string::npos) << "the cure names presets";
  auto unknown = Policy::from_json(R"({"name": "x", "no_such_key": 1})");
  ASSERT_FALSE(unknown);
  auto again = Policy::from_json(default_policy().json());
  EXPECT_TRUE(again) << again.error().message;
}

TEST(Library, PoolGivesEachTakerASandboxOfItsOwn) {
  auto pool = Pool::create(default_policy(), {}, 2);
  ASSERT_TRUE(pool) << pool.error().message;
  for (int i = 0; i < 4; ++i) {
    auto sandbox = pool->take();
    ASSERT_TRUE(sandbox) << sandbox.error().message;
    auto outcome = sandbox->run({{"sh", "-c", "ls -A /tmp; echo mine > /tmp/mine"}});
    ASSERT_TRUE(outcome) << outcome.error().message;
    EXPECT_EQ(outcome->output, "") << "something of another taker is there";
    EXPECT_EQ(outcome->exit_code, 0);
  }
}

}  // namespace
