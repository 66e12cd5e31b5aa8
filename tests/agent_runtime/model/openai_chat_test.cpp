#include "agent_runtime/model/openai_chat.h"
#include "base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/agent_runtime/model/local_http_server.h"

namespace gyges::model {
namespace {

using testing::CannedReply;
using ::testing::HasSubstr;
using testing::LocalHttpServer;
using ::testing::Not;
using ::testing::SizeIs;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr const char* hello =
    R"({"id":"x","object":"chat.completion","surprise":[1],"choices":[{"index":0,"message":)"
    R"({"role":"assistant","content":"Hello.","reasoning_content":"Be brief.","logprobs":null},)"
    R"("finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":3,"x":{}}})";

constexpr const char* one_call =
    R"({"choices":[{"message":{"role":"assistant","content":null,"tool_calls":[{"id":"a1",)"
    R"("type":"function","function":{"name":"bash","arguments":"{\"command\":\"ls\"}"}}]},)"
    R"("finish_reason":"tool_calls"}]})";

class OpenAiChatTest : public ::testing::Test {
 protected:
  Result<Reply> ask(std::vector<CannedReply> replies, milliseconds deadline = milliseconds(10000)) {
    server_ = std::make_unique<LocalHttpServer>(std::move(replies));
    config_.base_url = server_->base_url();
    config_.name = "test-model";
    config_.first_pause = milliseconds(5);
    return OpenAiChat(config_).complete({messages_, tools_, 42, Clock::now() + deadline});
  }
  std::string error_of(std::vector<CannedReply> replies,
                       milliseconds deadline = milliseconds(10000)) {
    auto reply = ask(std::move(replies), deadline);
    return reply ? "" : reply.error().line();
  }
  nlohmann::json sent(std::size_t index = 0) {
    std::string request = server_->requests().at(index);
    return nlohmann::json::parse(request.substr(request.find("\r\n\r\n") + 4));
  }

  OpenAiChatConfig config_;
  std::vector<Message> messages_{
      {Role::user, {{Part::Kind::text, "Hi \xF0\x9F\x98\x80"}}, {}, "", 0, false}};
  std::vector<ToolDeclaration> tools_{{"bash", "runs", R"({"type":"object"})"}};
  std::unique_ptr<LocalHttpServer> server_;
};

TEST_F(OpenAiChatTest, ReadsTextReasoningAndUsage) {
  auto reply = ask({{"200 OK", hello}});
  ASSERT_TRUE(reply) << reply.error().line();
  EXPECT_EQ(text_of(reply->message), "Hello.");
  ASSERT_THAT(reply->message.content, SizeIs(2));
  EXPECT_EQ(reply->message.content[0].kind, Part::Kind::reasoning);
  EXPECT_EQ(reply->stop_reason, StopReason::end);
  EXPECT_EQ(reply->usage.input_tokens, 7U);
  EXPECT_EQ(reply->usage.output_tokens, 3U);
}

TEST_F(OpenAiChatTest, SendsModelMessagesToolsAndNoSeedUnlessAsked) {
  config_.parameters = R"({"temperature":0.5})";
  ASSERT_TRUE(ask({{"200 OK", hello}}));
  auto body = sent();
  EXPECT_EQ(body.at("model"), "test-model");
  EXPECT_EQ(body.at("stream"), false);
  EXPECT_EQ(body.at("temperature"), 0.5);
  EXPECT_EQ(body.at("messages")[0].at("content"), "Hi \xF0\x9F\x98\x80");
  EXPECT_EQ(body.at("tools")[0].at("function").at("name"), "bash");
  EXPECT_FALSE(body.contains("seed"));
  config_.send_seed = true;
  ASSERT_TRUE(ask({{"200 OK", hello}}));
  EXPECT_EQ(sent().at("seed"), 42);
}

TEST_F(OpenAiChatTest, ReadsToolCallsAndSendsTheirResultsBack) {
  auto reply = ask({{"200 OK", one_call}});
  ASSERT_TRUE(reply) << reply.error().line();
  ASSERT_THAT(reply->message.tool_calls, SizeIs(1));
  EXPECT_EQ(reply->message.tool_calls[0].arguments, R"({"command":"ls"})");
  EXPECT_EQ(reply->message.tool_calls[0].fault, "");
  EXPECT_EQ(reply->stop_reason, StopReason::tool_use);
  messages_.push_back(reply->message);
  messages_.push_back({Role::tool, {{Part::Kind::text, "file"}}, {}, "a1", 1, false});
  ASSERT_TRUE(ask({{"200 OK", hello}}));
  auto body = sent();
  EXPECT_EQ(body.at("messages")[1].at("tool_calls")[0].at("id"), "a1");
  EXPECT_TRUE(body.at("messages")[1].at("content").is_null());
  EXPECT_EQ(body.at("messages")[2].at("tool_call_id"), "a1");
}

TEST_F(OpenAiChatTest, ArgumentsThatAreNoJsonObjectAreAFaultOfTheCall) {
  for (const char* arguments : {"{oops", "[1]", "\\\"text\\\""}) {
    std::string body =
        R"({"choices":[{"message":{"tool_calls":[{"function":{"name":"bash","arguments":")" +
        std::string(arguments) + R"("}}]}}]})";
    auto reply = ask({{"200 OK", body}});
    ASSERT_TRUE(reply) << reply.error().line();
    ASSERT_THAT(reply->message.tool_calls, SizeIs(1));
    EXPECT_NE(reply->message.tool_calls[0].fault, "") << arguments;
  }
}

TEST_F(OpenAiChatTest, MalformedRepliesAreClearErrors) {
  EXPECT_THAT(error_of({{"200 OK", "<html>hello</html>"}}), HasSubstr("parse JSON"));
  EXPECT_THAT(error_of({{"200 OK", "{}"}}), HasSubstr("no choices"));
  EXPECT_THAT(error_of({{"200 OK", "[]"}}), HasSubstr("no choices"));
  EXPECT_THAT(error_of({{"200 OK", R"({"choices":[]})"}}), HasSubstr("no choices"));
  EXPECT_THAT(error_of({{"200 OK", R"({"choices":[{"message":5}]})"}}), HasSubstr("no message"));
  EXPECT_THAT(
      error_of({{"200 OK", R"({"choices":[{"message":{"tool_calls":[{"function":{}}]}}]})"}}),
      HasSubstr("without a name"));
  EXPECT_THAT(error_of({{"200 OK", R"({"choices":[{"message":{"tool_calls":7}}]})"}}),
              HasSubstr("not a list"));
  EXPECT_NE(error_of({{"200 OK", "{\"choices\":\"\xff\xfe\"}"}}), "");
  EXPECT_NE(error_of({{"200 OK", ""}}), "");
}

TEST_F(OpenAiChatTest, TriesAgainAfter429And500AndLostConnections) {
  auto reply = ask({{"429 Too Many Requests", "{}", "Retry-After: 0\r\n"},
                    {"503 Service Unavailable", "busy"},
                    {"", "", "", milliseconds(0), true},
                    {"200 OK", hello}});
  ASSERT_TRUE(reply) << reply.error().line();
  EXPECT_THAT(server_->requests(), SizeIs(4));
}

TEST_F(OpenAiChatTest, HonoursRetryAfter) {
  auto begin = Clock::now();
  ASSERT_TRUE(ask({{"429 Too Many Requests", "{}", "retry-after: 0.3\r\n"}, {"200 OK", hello}}));
  EXPECT_GE(Clock::now() - begin, milliseconds(300));
}

TEST_F(OpenAiChatTest, GivesUpAfterItsRetries) {
  config_.retries = 2;
  std::string error = error_of({{"500 Oops", R"({"error":{"message":"broken\u001b[31m"}})"},
                                {"502 Bad", "x"},
                                {"500 Oops", R"({"error":{"message":"broken\u001b[31m"}})"},
                                {"200 OK", hello}});
  EXPECT_THAT(error, HasSubstr("status 500: broken\\x1b[31m"));
  EXPECT_THAT(error, HasSubstr("after 3 attempts"));
}

TEST_F(OpenAiChatTest, DoesNotWaitPastTheDeadline) {
  auto begin = Clock::now();
  EXPECT_THAT(
      error_of({{"429 Too Many Requests", "{}", "Retry-After: 3600\r\n"}}, milliseconds(2000)),
      HasSubstr("429"));
  EXPECT_LT(Clock::now() - begin, milliseconds(1500));
}

TEST_F(OpenAiChatTest, OtherRefusalsAreNotRepeated) {
  EXPECT_THAT(error_of({{"401 Unauthorized", R"({"error":"no such key"})"}, {"200 OK", hello}}),
              HasSubstr("api_key_env"));
  EXPECT_THAT(server_->requests(), SizeIs(1));
  EXPECT_THAT(error_of({{"307 Temporary Redirect", "", "Location: http://127.0.0.1:1/\r\n"}}),
              HasSubstr("redirects are not followed"));
}

TEST_F(OpenAiChatTest, SlowRepliesTimeOut) {
  config_.timeout = milliseconds(200);
  EXPECT_THAT(error_of({{"200 OK", hello, "", milliseconds(5000)}}),
              HasSubstr("no reply within 200 ms"));
  EXPECT_THAT(server_->requests(), SizeIs(1));
}

TEST_F(OpenAiChatTest, HugeRepliesAreCutOff) {
  config_.max_reply_bytes = 1U << 20U;
  EXPECT_THAT(error_of({{"200 OK", hello, "", milliseconds(0), false, 64U << 20U}}),
              HasSubstr("larger than 1048576 bytes"));
}

TEST_F(OpenAiChatTest, TheKeyIsSentAndNeverShown) {
  config_.key = "sk-very-secret";
  std::string error =
      error_of({{"400 Bad", R"({"error":{"message":"bad key sk-very-secret here"}})"}});
  EXPECT_THAT(error, HasSubstr("bad key [key] here"));
  EXPECT_THAT(error, Not(HasSubstr("sk-very-secret")));
  EXPECT_THAT(server_->requests().at(0), HasSubstr("Authorization: Bearer sk-very-secret"));
}

TEST_F(OpenAiChatTest, NobodyListening) {
  config_.retries = 1;
  std::string url;
  { url = LocalHttpServer({}).base_url(); }
  config_.base_url = url;
  config_.first_pause = milliseconds(1);
  auto reply =
      OpenAiChat(config_).complete({messages_, tools_, 1, Clock::now() + milliseconds(5000)});
  ASSERT_FALSE(reply);
  EXPECT_THAT(reply.error().line(), HasSubstr("after 2 attempts"));
}

}  // namespace
}  // namespace gyges::model
