// What ends the run of a third-party agent, and what it used until then.
#include <poll.h>

#include <condition_variable>
#include <limits>
#include <thread>

#include "tests/agent_runtime/gateway/endpoint_fixture.h"

namespace gyges::gateway {
namespace {

using nlohmann::json;
using testing::first;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

struct EndpointLimits : testing::ModelEndpointTest {
  static model::Reply used(std::uint64_t input, std::uint64_t output, double cost = 0) {
    model::Reply reply = says("ok");
    reply.usage.input_tokens = input;
    reply.usage.output_tokens = output;
    reply.cost = cost;
    return reply;
  }
  bool stops() {
    pollfd stop{endpoint->stop_fd(), POLLIN, 0};
    return ::poll(&stop, 1, 0) == 1;
  }
  int ask(const std::string& body = first) {
    auto answer = send("POST", "/v1/messages", body);
    return answer.response ? answer.response->status : 0;
  }
  std::string ended_by() {
    auto end = endpoint->end();
    return end.limit ? end.limit->kind + " " + end.limit->name : "";
  }
  // `first` with a call answered.
  static std::string with_result(const std::string& id, const std::string& result) {
    json request = json::parse(first);
    request["messages"].push_back(
        {{"role", "assistant"},
         {"content",
          {{{"type", "tool_use"}, {"id", id}, {"name", "bash"}, {"input", json::object()}}}}});
    request["messages"].push_back(
        {{"role", "user"},
         {"content", {{{"type", "tool_result"}, {"tool_use_id", id}, {"content", result}}}}});
    return request.dump();
  }
};

// Also before a word of the reply has come.
TEST_F(EndpointLimits, WhoHangsUpIsAskedForNoLongerAndHasHadATurn) {
  options.limits.turns = 1;
  testing::ScriptedAnswer answer;
  complete = [&](Ask& ask) -> Result<model::Reply> {
    EXPECT_FALSE(ask.cancellation->cancelled());
    answer.leaving();
    EXPECT_TRUE(ask.cancellation->cancelled());
    ask.spent.usage.input_tokens = 7;
    return fail("call model", "", "it was cancelled");
  };
  open();
  endpoint->handle(
      {{true, "POST", "api.example", 443, "/v1/messages", {{"X-Api-Key", options.key}}}, first},
      answer);
  EXPECT_FALSE(answer.leaving) << "nobody is told any more";
  EXPECT_EQ(ask(), 529);
  EXPECT_EQ(ended_by(), "turn_limit turns");
  EXPECT_EQ(endpoint->end().totals.usage.input_tokens, 7U);
}

TEST_F(EndpointLimits, TokensEndTheRunWithTheNextRequest) {
  options.limits.tokens = 100;
  replies = {used(50, 10), used(50, 10), used(1, 1)};
  EXPECT_EQ(ask(), 200);
  EXPECT_FALSE(stops());
  EXPECT_EQ(ask(), 200) << "what passes the limit is still given";
  EXPECT_EQ(ask(), 529);
  EXPECT_TRUE(stops());
  EXPECT_EQ(ended_by(), "token_limit tokens");
  EXPECT_THAT(asked, SizeIs(2)) << "the model is not asked any more";
  EXPECT_EQ(ask(), 529) << "nor later";
  EXPECT_THAT(asked, SizeIs(2));
  auto totals = endpoint->end().totals;
  EXPECT_EQ(totals.requests, 2U);
  EXPECT_EQ(totals.replies, 2U);
  EXPECT_EQ(totals.usage.input_tokens, 100U);
  EXPECT_EQ(totals.usage.output_tokens, 20U);
}

TEST_F(EndpointLimits, AnOverflowBehindAnotherDialectIsSaidInTheAgentsWords) {
  // llama.cpp's way.
  provider_says =
      model::find_dialect("openai_chat")
          ->parse_error(500, R"({"error":{"code":500,"message":)"
                             R"("Context size has been exceeded.","type":"server_error"}})");
  auto answer = send("POST", "/v1/messages", first);
  EXPECT_EQ(answer.response->status, 400);
  EXPECT_THAT(answer.bytes, HasSubstr("invalid_request_error"));
  EXPECT_THAT(answer.bytes, HasSubstr("prompt is too long"));
  EXPECT_FALSE(stops()) << "the agent can shorten it";
}

TEST_F(EndpointLimits, CountsThatNoNumberHoldsArePastEveryLimit) {
  options.limits.tokens = 100;
  const auto most = std::numeric_limits<std::uint64_t>::max();
  options.limits.tokens = most;
  replies = {used(most, 7), used(most, 7)};
  EXPECT_EQ(ask(), 200);
  EXPECT_EQ(ask(), 529);
  EXPECT_EQ(ended_by(), "token_limit tokens");
}

TEST_F(EndpointLimits, CostEndsTheRunAndIsSummedUp) {
  options.limits.cost = 1;
  replies = {used(1, 1, 0.5), used(1, 1, 0.75)};
  EXPECT_EQ(ask(), 200);
  EXPECT_EQ(ask(), 200);
  EXPECT_EQ(ask(), 529);
  EXPECT_EQ(ended_by(), "cost_limit cost");
  EXPECT_DOUBLE_EQ(endpoint->end().totals.cost, 1.25);
}

TEST_F(EndpointLimits, CallsPastTheLimitNeverReachTheAgent) {
  options.limits.tool_calls = 2;
  model::Reply three = calls("a");
  for (const char* more : {"b", "c"})
    three.message.tool_calls.push_back(calls(more).message.tool_calls.front());
  replies = {three};
  auto answer = send("POST", "/v1/messages", first);
  EXPECT_EQ(answer.response->status, 529);
  EXPECT_THAT(answer.bytes, ::testing::Not(HasSubstr("tool_use")));
  EXPECT_TRUE(stops());
  EXPECT_EQ(ended_by(), "tool_call_limit tool_calls");
  std::size_t decided = 0;
  for (const auto& line : turns()) decided += line.at("type") == "tool_decided" ? 1 : 0;
  EXPECT_EQ(decided, 2U);
  EXPECT_EQ(endpoint->end().totals.tool_calls, 2U);
}

TEST_F(EndpointLimits, OutputOfCallsEndsTheRun) {
  options.limits.output_bytes = 1000;
  replies = {calls("cat"), says("never said")};
  EXPECT_EQ(ask(), 200);
  EXPECT_EQ(ask(with_result("call_cat", std::string(2000, 'x'))), 529);
  EXPECT_EQ(ended_by(), "output_limit total_output_bytes");
  EXPECT_THAT(asked, SizeIs(1));
}

TEST_F(EndpointLimits, TimeInWhichTheModelIsWaitedForIsNoWork) {
  using Clock = std::chrono::steady_clock;
  options.limits.working_seconds = 3600;
  complete = [this](Ask&) -> Result<model::Reply> {
    EXPECT_EQ(endpoint->working_deadline(), Clock::time_point::max());
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    return says("ok");
  };
  open();
  auto before = endpoint->working_deadline();
  EXPECT_LT(before, Clock::now() + std::chrono::seconds(3601));
  EXPECT_EQ(ask(), 200);
  EXPECT_GE(endpoint->working_deadline(), before + std::chrono::milliseconds(30));
}

TEST_F(EndpointLimits, ARequestThatIsTooLargeIsAnsweredAsTheVendorWould) {
  options.limits.context_tokens = 300;
  replies = {says("ok")};
  json large = json::parse(first);
  large["messages"][0]["content"] = std::string(4000, 'x');
  auto answer = send("POST", "/v1/messages", large.dump());
  EXPECT_EQ(answer.response->status, 400);
  EXPECT_THAT(answer.bytes, HasSubstr("prompt is too long"));
  EXPECT_THAT(asked, IsEmpty());
  EXPECT_FALSE(stops()) << "the agent may shorten it";
  EXPECT_TRUE(endpoint->end().too_large);
  EXPECT_EQ(ask(), 200);
  EXPECT_FALSE(endpoint->end().too_large);
}

TEST_F(EndpointLimits, WhoHangsUpInTheMiddleHasHadATurnAllTheSame) {
  options.limits.turns = 2;
  options.limits.tokens = 1000;
  model::Delta start;
  start.kind = model::Delta::Kind::start;
  model::Delta open_text;
  open_text.kind = model::Delta::Kind::open;
  model::Delta words;
  words.kind = model::Delta::Kind::text;
  words.text = "much that is worth reading";
  complete = [&](Ask& ask) -> Result<model::Reply> {
    for (const auto& delta : {start, open_text, words})
      if (!ask.observer(delta)) break;
    ask.spent.usage.output_tokens = 100;
    ask.losses.push_back({"/usage", "counts"});
    return fail("ask model", "", "nobody listens");
  };
  json streamed = json::parse(first);
  streamed["stream"] = true;
  for (int i = 0; i < 2; ++i) send("POST", "/v1/messages", streamed.dump(), {}, 1);
  EXPECT_FALSE(stops());
  EXPECT_EQ(ask(), 529);
  EXPECT_EQ(ended_by(), "turn_limit turns");
  auto totals = endpoint->end().totals;
  EXPECT_EQ(totals.requests, 2U);
  EXPECT_EQ(totals.replies, 0U);
  EXPECT_EQ(totals.usage.output_tokens, 200U);
  EXPECT_EQ(totals.losses.at("counts"), 2U);
}

TEST_F(EndpointLimits, FailuresOfTheProviderAreNoTurns) {
  options.limits.turns = 1;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(ask(), 529) << "the model has nothing to say";
  replies = {says("ok")};
  EXPECT_EQ(ask(), 200);
  EXPECT_EQ(ask(), 529);
  EXPECT_EQ(ended_by(), "turn_limit turns");
  EXPECT_EQ(endpoint->end().totals.requests, 4U);
}

// Ponders over what says "ponder" until it is let go; gives up the lock meanwhile, as a gate does
// that asks a person.
class Ponderer final : public episode::ToolApprover {
 public:
  Result<episode::ToolDecision> decide(const episode::PendingCall& pending) override {
    if (pending.call.arguments.find("ponder") == std::string::npos) return episode::ToolDecision{};
    pending.held->unlock();
    {
      std::unique_lock lock(mutex_);
      pondering_ = true;
      changed_.notify_all();
      changed_.wait(lock, [this] { return decided_; });
    }
    pending.held->lock();
    return episode::ToolDecision{};
  }
  void wait_until_asked() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return pondering_; });
  }
  void decide_now() {
    std::scoped_lock lock(mutex_);
    decided_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool pondering_ = false, decided_ = false;
};

struct Pondering : EndpointLimits {
  Ponderer ponderer;
  std::mutex order;
  std::vector<std::string> happened;

  void SetUp() override {
    EndpointLimits::SetUp();
    options.oversight = {&ponderer, nullptr, true, {}};
    complete = [](Ask& ask) -> Result<model::Reply> {
      return calls(model::text_of(ask.request.messages.back()));
    };
    open();
  }
  static std::string saying(const std::string& words) {
    json request = json::parse(first);
    request["messages"][0]["content"] = words;
    return request.dump();
  }
};

TEST_F(Pondering, OtherTurnsGoOnWhileAPersonPonders) {
  std::string slow;
  std::thread waiting([&] { slow = send("POST", "/v1/messages", saying("ponder")).bytes; });
  ponderer.wait_until_asked();
  auto quick = send("POST", "/v1/messages", saying("quick"));
  EXPECT_THAT(quick.bytes, HasSubstr("call_quick"));
  EXPECT_THAT(slow, IsEmpty()) << "what is not decided is not handed out";
  ponderer.decide_now();
  waiting.join();
  EXPECT_THAT(slow, HasSubstr("call_ponder"));
  std::vector<std::string> facts;
  for (const auto& line : turns())
    if (line.at("type") != "message")
      facts.push_back(line.at("type").get<std::string>() + " " +
                      std::to_string(line.at("call").get<int>()));
  EXPECT_THAT(facts, ::testing::ElementsAre("tool_requested 1", "tool_requested 2",
                                            "tool_decided 2", "tool_decided 1"));
}

TEST_F(Pondering, WhatIsApprovedAfterTheRunWasEndedIsNotHandedOut) {
  std::string slow;
  std::thread waiting([&] { slow = send("POST", "/v1/messages", saying("ponder")).bytes; });
  ponderer.wait_until_asked();
  for (int i = 0; i < 5; ++i) ask(saying("quick " + std::to_string(i)));
  EXPECT_TRUE(stops()) << "all turns are used";
  ponderer.decide_now();
  waiting.join();
  EXPECT_THAT(slow, ::testing::Not(HasSubstr("tool_use")));
}

}  // namespace
}  // namespace gyges::gateway
