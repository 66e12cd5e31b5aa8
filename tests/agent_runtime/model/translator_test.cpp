#include "agent_runtime/model/translator.h"
#include "base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/agent_runtime/model/random_conversation.h"

namespace gyges::model {
namespace {

using testing::core_of;
using ::testing::HasSubstr;
using testing::RandomConversation;

Result<Reply> streamed_through(Translator& translator, const Dialect& front, const Dialect& behind,
                               const ModelRequest& request, const Reply& reply) {
  auto reader = behind.stream_reader({});
  std::vector<Delta> deltas;
  GYGES_CHECK(reader->feed(write_stream(behind, request, reply, 6), deltas));
  GYGES_CHECK(reader->finish(deltas));
  auto writer = front.stream_writer(request);
  std::string bytes;
  for (auto& delta : deltas)
    for (const auto& one : translator.delta(std::move(delta))) bytes += writer->write(one);
  return read_stream(front, bytes);
}

// An agent of each dialect on a model of each other one, streaming, over several turns.
TEST(Translator, EveryPairOfDialectsKeepsAConversation) {
  for (const Dialect* front : dialects()) {
    for (const Dialect* behind : dialects()) {
      Translator translator(*front, *behind);
      RandomConversation random(9, std::string(behind->name()));
      ModelRequest asked = random.request();
      asked.stream = asked.stream_usage = true;
      std::vector<Message> given;  // by the model, as it gave them
      for (int turn = 0; turn < 4; ++turn) {
        Losses losses;
        auto wire = front->write_request(asked, losses);
        ASSERT_TRUE(wire);
        auto read = front->parse_request(wire->path, wire->body);
        ASSERT_TRUE(read) << read.error().line();
        auto request = translator.request(*read);
        ASSERT_TRUE(request) << request.error().line();
        EXPECT_EQ(core_of(request->messages), core_of(read->messages));
        std::size_t proofs = 0;
        for (const auto& message : request->messages)
          for (const auto& one : given)
            if (message == one) ++proofs;
        if (front != behind) {
          EXPECT_GE(proofs, given.size()) << front->name() << behind->name();
        }
        auto sent = behind->write_request(*request, losses);
        ASSERT_TRUE(sent) << sent.error().line();
        Reply reply = random.reply();
        auto seen = streamed_through(translator, *front, *behind, *request, reply);
        ASSERT_TRUE(seen) << seen.error().line();
        EXPECT_EQ(core_of({seen->message}), core_of({reply.message}));
        asked.messages.push_back(seen->message);
        given.push_back(reply.message);
        for (const auto& call : seen->message.tool_calls) {
          Message result;
          result.role = Role::tool;
          result.tool_call_id = call.id;
          result.content.push_back({Part::Kind::text, random.text()});
          asked.messages.push_back(std::move(result));
        }
        Message next;
        next.content.push_back({Part::Kind::text, random.text()});
        asked.messages.push_back(std::move(next));
      }
    }
  }
}

// Codex' tools: free text inside a namespace, declared inside the input.
constexpr const char* codex = R"x({"model":"m","stream":true,"store":false,
  "include":["reasoning.encrypted_content"],
  "input":[{"type":"additional_tools","tools":[{"type":"namespace","name":"functions",
    "description":"d","tools":[{"type":"custom","name":"exec","description":"runs",
      "format":{"type":"grammar","syntax":"lark","definition":"start: /.+/"}}]}]},
   {"type":"message","role":"developer","content":[{"type":"input_text","text":"rules"}]},
   {"type":"message","role":"user","content":[{"type":"input_text","text":"go"}]},
   {"type":"custom_tool_call","call_id":"c1","namespace":"functions","name":"exec",
    "input":"tools.exec(\"a\")"
},
   {"type":"custom_tool_call_output","call_id":"c1","output":"done"}]
})x";

TEST(Translator, FreeTextToolsInNamespacesWorkOnEveryModel) {
  const Dialect& front = *find_dialect("openai_responses");
  auto asked = front.parse_request("/v1/responses", codex);
  ASSERT_TRUE(asked) << asked.error().line();
  ASSERT_EQ(asked->tools.size(), 1U);
  EXPECT_EQ(asked->tools[0].space, "functions");
  EXPECT_EQ(asked->tools[0].kind, ToolDeclaration::Kind::custom);
  Losses none;
  auto again = front.write_request(*asked, none);
  ASSERT_TRUE(again);
  EXPECT_TRUE(none.empty());
  auto twice = front.parse_request("/v1/responses", again->body);
  ASSERT_TRUE(twice);
  EXPECT_TRUE(*twice == *asked) << again->body;
  for (const Dialect* behind : dialects()) {
    if (behind == &front) continue;
    Translator translator(front, *behind);
    auto request = translator.request(*asked);
    ASSERT_TRUE(request);
    Losses losses;
    auto sent = behind->write_request(*request, losses);
    ASSERT_TRUE(sent);
    EXPECT_FALSE(losses.empty());
    EXPECT_THAT(sent->body, HasSubstr("functions__exec"));
    EXPECT_THAT(sent->body, HasSubstr("start: /.+/"));
    Reply reply;
    reply.message.role = Role::assistant;
    reply.stop_reason = StopReason::tool_use;
    ToolCall call;
    call.id = "c2";
    call.name = "functions__exec";
    set_arguments(call, R"({"input":"line \"one\"\nline two"})");
    reply.message.tool_calls.push_back(call);
    auto seen = streamed_through(translator, front, *behind, *request, reply);
    ASSERT_TRUE(seen) << seen.error().line();
    ASSERT_EQ(seen->message.tool_calls.size(), 1U);
    const ToolCall& got = seen->message.tool_calls[0];
    EXPECT_TRUE(got.custom);
    EXPECT_EQ(got.space, "functions");
    EXPECT_EQ(got.name, "exec");
    EXPECT_EQ(got.arguments, "line \"one\"\nline two");
    Reply whole = translator.reply(reply);
    EXPECT_EQ(whole.message.tool_calls[0].arguments, "line \"one\"\nline two");
  }
}

TEST(Translator, WhatOnlyTheProviderHasIsAnError) {
  const Dialect& responses = *find_dialect("openai_responses");
  auto asked = responses.parse_request(
      "/v1/responses", R"({"model":"m","input":"more","previous_response_id":"resp_1"})");
  ASSERT_TRUE(asked);
  auto refused = Translator(responses, *find_dialect("gemini")).request(*asked);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().line(), HasSubstr("previous_response_id"));
  EXPECT_TRUE(Translator(responses, responses).request(*asked));
}

}  // namespace
}  // namespace gyges::model
