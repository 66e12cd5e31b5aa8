// Calls of third-party agents before the agent sees them: decided, changed, refused, watched.
#include "agent_runtime/gateway/call_review.h"
#include "tests/agent_runtime/gateway/endpoint_fixture.h"

namespace gyges::gateway {
namespace {

using episode::Moment;
using episode::PendingCall;
using episode::ToolDecision;
using nlohmann::json;
using ::testing::ElementsAre;
using testing::first;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

// Refuses what says "bad", changes what says "change", ends the run at "end", fails at "broken".
class Judge final : public episode::ToolApprover {
 public:
  std::vector<model::ToolCall> seen;
  std::vector<std::string> rationales;
  bool records = false;
  std::function<void()> before;  // deciding
  std::optional<bool> unwanted;  // whether anybody waited for the last decision
  Result<ToolDecision> decide(const PendingCall& pending) override {
    seen.push_back(pending.call);
    rationales.push_back(pending.rationale);
    if (before) before();
    if (pending.unwanted != nullptr) unwanted = pending.unwanted->cancelled();
    auto says = [&](const char* word) {
      return pending.call.arguments.find(word) != std::string::npos;
    };
    ToolDecision decision;
    decision.approver = "judge";
    if (says("broken")) return fail("decide", "", "cannot");
    if (says("bad")) {
      decision.action = ToolDecision::Action::reject;
      decision.reason = "not that";
    } else if (says("change")) {
      decision.action = ToolDecision::Action::modify;
      decision.arguments = R"({"command":"true"})";
    } else if (says("end")) {
      decision.action = ToolDecision::Action::terminate;
      decision.reason = "enough";
    }
    if (records) {
      decision.would = decision.action;
      decision.action = ToolDecision::Action::approve;
    }
    return decision;
  }
};

class Onlooker final : public episode::Watcher {
 public:
  std::vector<std::pair<Moment, std::uint32_t>> looks;
  std::optional<Moment> stops_at;
  Result<std::optional<std::string>> look(Moment moment, std::uint32_t call) override {
    looks.emplace_back(moment, call);
    if (stops_at == moment) return std::optional<std::string>("seen enough");
    return std::optional<std::string>();
  }
};

struct CallGateTest : testing::ModelEndpointTest {
  Judge judge;
  Onlooker onlooker;
  std::vector<std::pair<std::uint32_t, bool>> marks;

  void SetUp() override {
    ModelEndpointTest::SetUp();
    options.oversight = {&judge, &onlooker, true, {}};
    options.mark = [this](std::uint32_t call, const std::string&, bool begins) {
      marks.emplace_back(call, begins);
    };
    // As a provider does it: what is asked for as a stream streams.
    complete = [this](Ask& ask) -> Result<model::Reply> {
      if (replies.empty()) return fail("ask model", "", "it has nothing more to say");
      model::Reply reply = replies.front();
      replies.erase(replies.begin());
      if (ask.observer && streams)
        for (const model::Delta& delta : model::deltas_of(reply, 5))
          if (!ask.observer(delta)) return fail("ask model", "", "nobody listens");
      return reply;
    };
  }
  bool streams = true;

  static model::Reply both(const std::string& one, const std::string& other) {
    model::Reply reply = calls(one);
    reply.message.content.push_back({model::Part::Kind::text, "Let me see."});
    reply.message.tool_calls.push_back(calls(other).message.tool_calls.front());
    return reply;
  }
  // The reply as the agent reads it, asked for in one piece or as a stream.
  model::Reply ask(bool stream, json request = json::parse(first)) {
    request["stream"] = stream;
    auto answer = send("POST", "/v1/messages", request.dump());
    status = answer.response ? answer.response->status : 0;
    auto read = stream ? model::read_stream(*options.dialect, answer.bytes)
                       : options.dialect->parse_response(answer.bytes);
    readable = read.has_value();
    return readable ? *read : model::Reply{};
  }
  int status = 0;
  bool readable = false;
  testing::ScriptedAnswer* on_the_way = nullptr;
  // What the agent sends next: the reply, and a result for each of its calls.
  static json after(const model::Reply& reply, const std::string& result) {
    json request = json::parse(first);
    json content = json::array();
    for (const auto& part : reply.message.content)
      content.push_back({{"type", "text"}, {"text", part.text}});
    json results = json::array();
    for (const auto& call : reply.message.tool_calls) {
      content.push_back({{"type", "tool_use"},
                         {"id", call.id},
                         {"name", call.name},
                         {"input", json::parse(call.arguments)}});
      results.push_back({{"type", "tool_result"}, {"tool_use_id", call.id}, {"content", result}});
    }
    request["messages"].push_back({{"role", "assistant"}, {"content", content}});
    if (results.empty()) results.push_back({{"type", "text"}, {"text", result}});
    request["messages"].push_back({{"role", "user"}, {"content", results}});
    return request;
  }
  std::vector<std::string> shape() {
    std::vector<std::string> names;
    for (const auto& line : turns()) {
      std::string name = line.value("role", line.at("type").get<std::string>());
      if (name == "tool_decided") name = line.at("decision").get<std::string>();
      names.push_back(name);
    }
    return names;
  }
};

class BothWays : public CallGateTest, public ::testing::WithParamInterface<bool> {};
INSTANTIATE_TEST_SUITE_P(Replies, BothWays, ::testing::Bool(), [](const auto& param) {
  return param.param ? std::string("Streamed") : std::string("Whole");
});

TEST_P(BothWays, WhatIsApprovedArrivesAndEveryFactIsOnRecord) {
  replies = {both("ls", "pwd"), says("Done.")};
  model::Reply got = ask(GetParam());
  ASSERT_THAT(got.message.tool_calls, SizeIs(2));
  EXPECT_EQ(model::text_of(got.message), "Let me see.");
  EXPECT_THAT(judge.rationales.at(0), HasSubstr("Let me see."));
  EXPECT_THAT(marks, ElementsAre(std::pair(1U, true), std::pair(2U, true)));
  ask(GetParam(), after(got, "fine"));
  EXPECT_THAT(shape(), ElementsAre("system", "user", "assistant", "tool_requested", "approved",
                                   "tool_requested", "approved", "tool", "tool_executed", "tool",
                                   "tool_executed", "assistant"));
  using Look = std::pair<Moment, std::uint32_t>;
  EXPECT_THAT(onlooker.looks, ElementsAre(Look{Moment::before, 1}, Look{Moment::before, 2},
                                          Look{Moment::after, 1}, Look{Moment::after, 2}));
  EXPECT_THAT(marks, SizeIs(4));
}

TEST_P(BothWays, ARefusedCallNeverArrivesAndTheModelIsToldAndAskedAgain) {
  replies = {calls("bad"), calls("ls"), says("Done.")};
  std::vector<model::ModelRequest> requests;
  auto inner = complete;
  complete = [&, inner](Ask& ask) {
    requests.push_back(ask.request);
    return inner(ask);
  };
  model::Reply got = ask(GetParam());
  ASSERT_THAT(got.message.tool_calls, SizeIs(1));
  EXPECT_THAT(got.message.tool_calls[0].arguments, HasSubstr("ls"));
  ASSERT_THAT(requests, SizeIs(2));
  const model::Message& told = requests[1].messages.back();
  EXPECT_EQ(told.role, model::Role::tool);
  EXPECT_EQ(told.tool_call_id, "call_bad");
  EXPECT_EQ(model::text_of(told), "The call was not approved: not that");
  EXPECT_THAT(exchanges().at(0).at("answer").dump(), Not(IsEmpty()));
  EXPECT_THAT(blob(exchanges().at(0).at("answer")), Not(HasSubstr("bad")));
  // The agent knows nothing of it; the model is reminded each time.
  ask(GetParam(), after(got, "fine"));
  ASSERT_THAT(requests, SizeIs(3));
  std::vector<std::string> ids;
  for (const auto& message : requests[2].messages)
    for (const auto& call : message.tool_calls) ids.push_back(call.id);
  EXPECT_THAT(ids, ElementsAre("call_bad", "call_ls"));
  EXPECT_THAT(shape(), ElementsAre("system", "user", "assistant", "tool_requested", "rejected",
                                   "tool", "assistant", "tool_requested", "approved", "tool",
                                   "tool_executed", "assistant"));
  EXPECT_THAT(marks, ElementsAre(std::pair(2U, true), std::pair(2U, false)));
  auto end = endpoint->end();
  EXPECT_EQ(end.totals.replies, 3U);
  EXPECT_THAT(end.calls[0].commands, IsEmpty()) << "it is nobody's command";
}

TEST_P(BothWays, OfTwoCallsOneIsRefusedAndTheModelHearsOfItWithTheNextRequest) {
  replies = {both("bad", "ls"), says("Done.")};
  std::vector<model::ModelRequest> requests;
  auto inner = complete;
  complete = [&, inner](Ask& ask) {
    requests.push_back(ask.request);
    return inner(ask);
  };
  model::Reply got = ask(GetParam());
  ASSERT_THAT(got.message.tool_calls, SizeIs(1));
  EXPECT_EQ(got.message.tool_calls[0].id, "call_ls");
  EXPECT_EQ(got.stop_reason, model::StopReason::tool_use);
  EXPECT_EQ(model::text_of(got.message), "Let me see.");
  ask(GetParam(), after(got, "fine"));
  ASSERT_THAT(requests, SizeIs(2));
  std::vector<std::string> results;
  for (const auto& message : requests[1].messages)
    if (message.role == model::Role::tool)
      results.push_back(message.tool_call_id + ": " + model::text_of(message));
  EXPECT_THAT(results,
              ElementsAre("call_bad: The call was not approved: not that", "call_ls: fine"));
}

TEST_P(BothWays, AModifiedCallArrivesModified) {
  replies = {both("ls", "change")};
  model::Reply got = ask(GetParam());
  ASSERT_THAT(got.message.tool_calls, SizeIs(2));
  EXPECT_THAT(got.message.tool_calls[0].arguments, HasSubstr("ls"));
  EXPECT_EQ(json::parse(got.message.tool_calls[1].arguments), (json{{"command", "true"}}));
  EXPECT_THAT(endpoint->end().calls[1].commands, ElementsAre("true"));
}

TEST_P(BothWays, TheRunCanBeEndedBeforeACallArrives) {
  replies = {both("ls", "end")};
  model::Reply got = ask(GetParam());
  EXPECT_THAT(got.message.tool_calls, IsEmpty());
  EXPECT_THAT(*endpoint->end().terminated, HasSubstr("judge: enough"));
  EXPECT_THAT(shape(), ElementsAre("system", "user", "assistant", "tool_requested", "approved",
                                   "tool_requested", "terminated"));
  EXPECT_THAT(marks, IsEmpty());
}

TEST_P(BothWays, AGateThatCannotDecideLetsNothingThrough) {
  replies = {calls("broken"), says("Done.")};
  model::Reply got = ask(GetParam());
  EXPECT_THAT(got.message.tool_calls, IsEmpty());
  EXPECT_TRUE(endpoint->end().failure);
  ask(GetParam());
  EXPECT_FALSE(readable) << "nor is anything answered afterwards";
}

TEST_P(BothWays, AMonitorStopsTheRunBeforeACallOrAfterIt) {
  onlooker.stops_at = Moment::before;
  replies = {calls("ls")};
  EXPECT_THAT(ask(GetParam()).message.tool_calls, IsEmpty());
  EXPECT_EQ(*endpoint->end().terminated, "seen enough");
}

TEST_P(BothWays, AMonitorThatStopsAfterACallLeavesTheNextRequestUnanswered) {
  onlooker.stops_at = Moment::after;
  replies = {calls("ls"), says("Done.")};
  model::Reply got = ask(GetParam());
  ASSERT_THAT(got.message.tool_calls, SizeIs(1));
  ask(GetParam(), after(got, "fine"));
  EXPECT_EQ(status, 529);
  EXPECT_EQ(*endpoint->end().terminated, "seen enough");
}

TEST_P(BothWays, AGateThatOnlyRecordsChangesNothing) {
  judge.records = true;
  options.oversight.enforces = false;
  replies = {both("bad", "change")};
  model::Reply got = ask(GetParam());
  ASSERT_THAT(got.message.tool_calls, SizeIs(2));
  EXPECT_THAT(got.message.tool_calls[0].arguments, HasSubstr("bad"));
  std::vector<std::string> would;
  for (const auto& line : turns())
    if (line.contains("would")) would.push_back(line.at("would").get<std::string>());
  EXPECT_THAT(would, ElementsAre("rejected", "modified"));
}

TEST_P(BothWays, RefusalsCountAsTurns) {
  options.limits.turns = 3;
  for (int i = 0; i < 10; ++i) replies.push_back(calls("bad"));
  EXPECT_THAT(ask(GetParam()).message.tool_calls, IsEmpty());
  EXPECT_THAT(replies, SizeIs(7));
  EXPECT_EQ(endpoint->end().limit.value().kind, "turn_limit");
}

TEST_P(BothWays, ArgumentsThatAreNoObjectAreJudgedAsTheyStand) {
  model::Reply reply = calls("x");
  model::set_arguments(reply.message.tool_calls[0], "{\"command\": \"bad");
  replies = {reply, says("Done.")};
  model::Reply got = ask(GetParam());
  EXPECT_THAT(got.message.tool_calls, IsEmpty());
  EXPECT_THAT(judge.seen.at(0).arguments, HasSubstr("invalid_arguments"));
}

TEST_P(BothWays, WhatActsAndHasNoNameHereIsDecidedToo) {
  model::Reply reply = says("I use my own.");
  model::Part part;
  part.kind = model::Part::Kind::opaque;
  part.origin = "anthropic_messages";
  part.text = R"({"type": "server_tool_use", "id": "s", "name": "x", "input": {"bad": 1}})";
  reply.message.content.push_back(part);
  replies = {reply};
  model::Reply got = ask(GetParam());
  EXPECT_TRUE(readable);
  EXPECT_THAT(got.message.content, SizeIs(1));
  EXPECT_EQ(judge.seen.at(0).name, "server_tool_use");
  EXPECT_THAT(shape(), ElementsAre("system", "user", "assistant", "tool_requested", "rejected"));
}

TEST_F(CallGateTest, WordsGoOutAtOnceAndCallsWait) {
  std::string before;
  complete = [&](Ask& ask) -> Result<model::Reply> {
    model::Reply reply = both("ls", "pwd");
    // Words come first in this one.
    for (auto& call : reply.message.tool_calls) call.position = model::ToolCall::at_end;
    auto deltas = model::deltas_of(reply, 5);
    for (const auto& delta : deltas) ask.observer(delta);
    before = on_the_way->bytes;
    return reply;
  };
  if (!endpoint) open();
  json request = json::parse(first);
  request["stream"] = true;
  testing::ScriptedAnswer answer;
  on_the_way = &answer;
  endpoint->handle(
      {{true, "POST", "api.example", 443, "/v1/messages", {{"X-Api-Key", options.key}}},
       request.dump()},
      answer);
  EXPECT_THAT(before, HasSubstr("e see"));  // in pieces of five
  EXPECT_THAT(before, Not(HasSubstr("tool_use")));
  EXPECT_THAT(answer.bytes, HasSubstr("tool_use"));
}

TEST_F(CallGateTest, WhoeverDecidesHearsThatTheAgentHasHungUp) {
  for (bool hangs_up : {false, true}) {
    replies = {calls("ls")};
    if (!endpoint) open();
    testing::ScriptedAnswer answer;
    judge.before = [&] {
      ASSERT_TRUE(answer.leaving);
      if (hangs_up) answer.leaving();
    };
    endpoint->handle(
        {{true, "POST", "api.example", 443, "/v1/messages", {{"X-Api-Key", options.key}}}, first},
        answer);
    EXPECT_EQ(judge.unwanted, hangs_up);
    EXPECT_FALSE(answer.leaving) << "what it would cancel is gone";
  }
}

TEST_P(BothWays, ManyCallsAreDecidedOneByOne) {
  const std::size_t count = GetParam() ? 1'000 : 10'000;
  model::Reply many = says("Many.");
  for (std::size_t i = 0; i < count; ++i) {
    model::ToolCall call;
    call.id = "c" + std::to_string(i);
    call.name = i % 2 == 0 ? "no_such_tool" : "bash";
    call.arguments = i % 2 == 0 ? R"({"command":"bad"})" : R"({"command":"ls"})";
    many.message.tool_calls.push_back(call);
  }
  replies = {many};
  model::Reply got = ask(GetParam());
  ASSERT_TRUE(readable);
  EXPECT_THAT(got.message.tool_calls, SizeIs(count / 2));
  EXPECT_THAT(judge.seen, SizeIs(count));
}

TEST_F(CallGateTest, EscapesOfTerminalsStandInNoFileAsTheyAre) {
  model::Reply hostile = calls("ls");
  const std::string escape = "\x1b]0;owned\x07\x1b[2J";
  hostile.message.content.push_back({model::Part::Kind::text, escape});
  hostile.message.tool_calls[0].name = "bash" + escape;
  hostile.message.tool_calls[0].id = "id" + escape;
  replies = {hostile};
  ask(true);
  for (const char* file : {"transcript.jsonl", "exchanges.jsonl"})
    EXPECT_THAT(*read_file(directory.path() / file), Not(HasSubstr("\x1b"))) << file;
}

TEST_F(CallGateTest, ScriptsAndRecordingsThatDoNotStreamAreDecidedToo) {
  streams = false;
  replies = {calls("bad"), both("ls", "bad"), says("Done.")};
  model::Reply got = ask(true);
  ASSERT_TRUE(readable);
  ASSERT_THAT(got.message.tool_calls, SizeIs(1));
  EXPECT_EQ(got.message.tool_calls[0].id, "call_ls");
}

}  // namespace
}  // namespace gyges::gateway
