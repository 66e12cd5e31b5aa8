#include "agent_runtime/model/replay_model.h"
#include "base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/agent_runtime/model/random_conversation.h"

namespace gyges::model {
namespace {

using testing::core_of;
using ::testing::HasSubstr;
using testing::RandomConversation;

Message words(Role role, const std::string& text) {
  Message message;
  message.role = role;
  message.content.push_back({Part::Kind::text, text});
  return message;
}

std::string line_of(const Dialect& dialect, const ModelRequest& request, const Reply& reply) {
  Losses losses;
  auto wire = dialect.write_request(request, losses);
  std::string answer = request.stream ? write_stream(dialect, request, reply, 5)
                                      : dialect.write_response(request, reply, losses).body;
  return recorded_line(dialect, wire->path, wire->body, answer);
}

std::shared_ptr<const Recording> recording_of(const std::string& text) {
  auto recording = parse_recording(text, "test");
  EXPECT_TRUE(recording) << recording.error().line();
  return std::make_shared<const Recording>(std::move(*recording));
}

TEST(ReplayModel, AnswersInEveryDialectStreamedAndNot) {
  for (const Dialect* dialect : dialects()) {
    std::string text;
    std::vector<std::pair<ModelRequest, Reply>> exchanges;
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
      RandomConversation random(seed, std::string(dialect->name()));
      ModelRequest request = random.request();
      request.stream = seed % 2 == 0;
      exchanges.emplace_back(request, random.reply());
      text += line_of(*dialect, request, exchanges.back().second);
    }
    ReplayModel model(recording_of(text));
    for (std::size_t i = exchanges.size(); i-- > 0;) {
      auto reply = model.answer(exchanges[i].first);
      ASSERT_TRUE(reply) << reply.error().line();
      EXPECT_EQ(core_of({reply->message}), core_of({exchanges[i].second.message}));
    }
  }
}

TEST(ReplayModel, AnyDialectMayAskForARecordingOfAnother) {
  const Dialect& recorded = *find_dialect("anthropic_messages");
  for (const Dialect* dialect : dialects()) {
    RandomConversation random(4, "anthropic_messages");
    ModelRequest request = random.request();
    Reply reply = random.reply();
    ReplayModel model(recording_of(line_of(recorded, request, reply)));
    Losses losses;
    auto wire = dialect->write_request(request, losses);
    auto asked = dialect->parse_request(wire->path, wire->body);
    ASSERT_TRUE(asked);
    auto answer = model.answer(*asked);
    ASSERT_TRUE(answer) << dialect->name() << ": " << answer.error().line();
    EXPECT_EQ(core_of({answer->message}), core_of({reply.message}));
  }
}

TEST(ReplayModel, BytesDoNotCountButWordsDo) {
  std::string text =
      R"({"dialect":"openai_chat","path":"/v1/chat/completions","request":{"model":"a","messages":)"
      R"([{"role":"user","content":"hi"}]},"reply":{"choices":[{"message":{"content":"ho"}}]}})"
      "\n";
  ReplayModel model(recording_of(text));
  std::vector<Message> messages{words(Role::user, "hi")};
  std::vector<ToolDeclaration> tools;
  auto reply = model.complete({messages, tools, 1, {}});
  ASSERT_TRUE(reply) << reply.error().line();
  EXPECT_EQ(text_of(reply->message), "ho");
  messages[0] = words(Role::user, "hi \x1b[1mthere");
  auto miss = model.complete({messages, tools, 1, {}});
  ASSERT_FALSE(miss);
  EXPECT_THAT(miss.error().line(), HasSubstr("recorded is \"user: hi\""));
  EXPECT_THAT(miss.error().line(), HasSubstr("the request has \"user: hi "));
  messages[0] = words(Role::user, "hi");
  messages.push_back(words(Role::user, "more"));
  miss = model.complete({messages, tools, 1, {}});
  ASSERT_FALSE(miss);
  EXPECT_THAT(miss.error().line(), HasSubstr("goes on with \"user: more\""));
}

TEST(ReplayModel, MaskedWordsMayDiffer) {
  std::string text =
      R"({"mask":["[0-9]{2}:[0-9]{2}","/tmp/[a-z]+"]})"
      "\n"
      R"({"dialect":"openai_chat","path":"/v1/chat/completions","request":{"model":"a","messages":)"
      R"([{"role":"user","content":"at 10:30 and 10:31 in /tmp/abc"}]},)"
      R"("reply":{"choices":[{"message":{"content":"ho"}}]}})"
      "\n";
  ReplayModel model(recording_of(text));
  std::vector<Message> messages{words(Role::user, "at 23:59 and 00:00 in /tmp/xyz")};
  std::vector<ToolDeclaration> tools;
  EXPECT_TRUE(model.complete({messages, tools, 1, {}}));
  messages[0] = words(Role::user, "at 23:59 or 00:00 in /tmp/xyz");
  EXPECT_FALSE(model.complete({messages, tools, 1, {}}));
}

TEST(ReplayModel, TheSameRequestIsAnsweredInOrder) {
  const Dialect& dialect = *find_dialect("gemini");
  ModelRequest request;
  request.model = "m";
  request.messages = {words(Role::user, "again")};
  Reply one;
  one.message = words(Role::assistant, "one");
  Reply two;
  two.message = words(Role::assistant, "two");
  ReplayModel model(recording_of(line_of(dialect, request, one) + line_of(dialect, request, two)));
  EXPECT_EQ(text_of(model.answer(request)->message), "one");
  EXPECT_EQ(text_of(model.answer(request)->message), "two");
  EXPECT_EQ(text_of(model.answer(request)->message), "two");
}

TEST(ReplayModel, WhatCannotBeReplayedIsAnErrorAtLoad) {
  auto error_of = [](const std::string& text) {
    auto recording = parse_recording(text, "file");
    return recording ? std::string() : recording.error().line();
  };
  EXPECT_THAT(error_of(""), HasSubstr("holds no exchange"));
  EXPECT_THAT(error_of("{}\n"), HasSubstr("names no dialect"));
  EXPECT_THAT(error_of("nonsense\n"), HasSubstr("file:1"));
  EXPECT_THAT(error_of("{\"mask\":[\"(\"]}\n"), HasSubstr("file:1"));
  EXPECT_THAT(error_of(R"({"dialect":"gemini","path":"/v1beta/models/m:generateContent",)"
                       R"("request":{"contents":[]},"reply":"data: {"})"),
              HasSubstr("file:1"));
}

}  // namespace
}  // namespace gyges::model
