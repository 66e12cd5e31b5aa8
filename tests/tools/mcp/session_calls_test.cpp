#include "tools/mcp/session_calls.h"

#include <gtest/gtest.h>

#include <list>

#include "tests/tools/mcp/fake_service.h"
#include "tools/mcp/call_link.h"

namespace gyges::mcp {
namespace {

using nlohmann::json;

class DeafLink final : public CallLink {
 public:
  DeafLink() : CallLink(std::make_shared<OpenQuestions>()) {}

 protected:
  void send(std::string) override {}
};

class SessionCallsTest : public ::testing::Test {
 protected:
  struct Call {
    std::shared_ptr<DeafLink> link = std::make_shared<DeafLink>();
    std::atomic<bool> accepted = false;
    std::atomic<bool> done = false;
    std::atomic<bool> failed = false;
  };
  void start(CallLimits limits) {
    calls_ = std::make_unique<SessionCalls>(service_, ClientInfo{}, limits, [this] { ++over_; });
  }
  Call& submit(const std::string& tool, const json& arguments = json::object()) {
    Call& call = made_.emplace_back();
    Request request;
    request.id = std::to_string(made_.size());
    request.method = "tools/call";
    request.params = std::make_shared<const json>(json{{"name", tool}, {"arguments", arguments}});
    call.accepted = calls_->submit(request, call.link, [&call](const Answer& answer) {
      call.failed = answer.fault.has_value();
      call.done = true;
    });
    return call;
  }
  static bool is_done(const Call& call) {
    return eventually([&] { return call.done.load(); });
  }

  FakeService service_;
  std::list<Call> made_;
  std::atomic<int> over_ = 0;
  std::unique_ptr<SessionCalls> calls_;
};

TEST_F(SessionCallsTest, ASlowCallHoldsNoQuickOne) {
  start({2, 4});
  Call& slow = submit("wait");
  EXPECT_TRUE(is_done(submit("echo")));
  EXPECT_FALSE(slow.done);
  EXPECT_TRUE(eventually([&] { return calls_->busy() == 1; }));
  slow.link->cancel();
  EXPECT_TRUE(is_done(slow));
  EXPECT_EQ(service_.opened, 1);
}

TEST_F(SessionCallsTest, CallsOfOneLaneWaitForEachOtherAndHoldNoOthers) {
  start({8, 8});
  Call& first = submit("turn", {{"hold", true}});
  ASSERT_TRUE(eventually([&] { return service_.waiting == 1; }));
  Call& second = submit("turn", {{"hold", true}});
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(is_done(submit("echo")));
  EXPECT_EQ(service_.waiting, 1);
  EXPECT_FALSE(second.done);
  first.link->cancel();
  EXPECT_TRUE(eventually([&] { return service_.waiting == 2; }));
  EXPECT_TRUE(first.done);
  second.link->cancel();
  EXPECT_TRUE(is_done(second));
}

TEST_F(SessionCallsTest, NoMoreRunAndWaitThanTheLimitsSay) {
  start({2, 3});
  Call& one = submit("wait");
  Call& two = submit("wait");
  ASSERT_TRUE(eventually([&] { return service_.waiting == 2; }));
  std::vector<Call*> waiting;
  for (int i = 0; i < 3; ++i) waiting.push_back(&submit("echo"));
  EXPECT_FALSE(submit("echo").accepted);
  for (Call* call : waiting) EXPECT_TRUE(call->accepted && !call->done);
  one.link->cancel();
  for (Call* call : waiting) EXPECT_TRUE(is_done(*call));
  EXPECT_FALSE(two.done);
  two.link->cancel();
}

TEST_F(SessionCallsTest, ACallThatWaitsAndIsCancelledIsAnsweredAtOnce) {
  start({1, 3});
  Call& running = submit("wait");
  ASSERT_TRUE(eventually([&] { return service_.waiting == 1; }));
  Call& waiting = submit("wait");
  waiting.link->cancel();
  calls_->drop_cancelled();
  EXPECT_TRUE(waiting.done && waiting.failed);
  EXPECT_FALSE(running.done);
  running.link->cancel();
  EXPECT_TRUE(is_done(running));
  EXPECT_EQ(service_.waiting, 1);
}

TEST_F(SessionCallsTest, ASessionThatIsOverEndsWhenItsLastCallHasAndANewOneIsOpened) {
  start({4, 4});
  Call& slow = submit("wait");
  ASSERT_TRUE(eventually([&] { return service_.waiting == 1; }));
  EXPECT_TRUE(is_done(submit("end")));
  Call& next = submit("echo");
  EXPECT_EQ(service_.closed, 0);
  slow.link->cancel();
  EXPECT_TRUE(is_done(next));
  EXPECT_EQ(service_.opened, 2);
  EXPECT_EQ(service_.closed, 1);
  EXPECT_EQ(over_, 1);
}

TEST_F(SessionCallsTest, StoppingAnswersWhatWaitsAndWaitsForWhatRuns) {
  start({1, 3});
  Call& running = submit("wait");
  ASSERT_TRUE(eventually([&] { return service_.waiting == 1; }));
  Call& waiting = submit("echo");
  calls_->stop();
  EXPECT_TRUE(waiting.done && waiting.failed);
  EXPECT_FALSE(calls_->finished());
  EXPECT_FALSE(submit("echo").accepted);
  running.link->cancel();
  EXPECT_TRUE(eventually([&] { return calls_->finished(); }));
  calls_.reset();
  EXPECT_TRUE(running.done);
  EXPECT_EQ(service_.closed, 1);
}

TEST_F(SessionCallsTest, ManyCallsFromManyThreadsAreEachAnsweredOnce) {
  start({8, 1000});
  std::atomic<int> answers = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        Request request;
        request.params = std::make_shared<const json>(
            json{{"name", i % 7 == 0 ? "turn" : "echo"}, {"arguments", json::object()}});
        while (!calls_->submit(request, std::make_shared<DeafLink>(),
                               [&](const Answer&) { ++answers; }))
          std::this_thread::yield();
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(eventually([&] { return answers == 800; }));
  EXPECT_TRUE(eventually([&] { return calls_->busy() == 0; }));
}

}  // namespace
}  // namespace gyges::mcp
