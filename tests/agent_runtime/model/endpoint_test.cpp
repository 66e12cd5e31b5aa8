#include "agent_runtime/model/endpoint.h"
#include "base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "agent_runtime/model/http_client.h"
#include "agent_runtime/model/key_forms.h"
#include "agent_runtime/model/pass_through.h"
#include "tests/agent_runtime/model/local_http_server.h"
#include "tests/agent_runtime/model/random_conversation.h"

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

class EndpointTest : public ::testing::Test {
 protected:
  Result<Reply> ask(std::vector<CannedReply> replies, milliseconds deadline = milliseconds(10000)) {
    server_ = std::make_unique<LocalHttpServer>(std::move(replies));
    config_.base_url = server_->base_url();
    config_.settings.model = "test-model";
    config_.first_pause = milliseconds(5);
    return Endpoint(config_).complete({messages_, tools_, 42, Clock::now() + deadline});
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

  EndpointConfig config_ = [] {
    EndpointConfig config;
    config.dialect = find_dialect("openai_chat");
    return config;
  }();
  std::vector<Message> messages_{{Role::user, {{Part::Kind::text, "Hi \xF0\x9F\x98\x80"}}}};
  std::vector<ToolDeclaration> tools_{{"bash", "runs", R"({"type":"object"})"}};
  std::unique_ptr<LocalHttpServer> server_;
};

TEST_F(EndpointTest, ReadsTextReasoningAndUsage) {
  auto reply = ask({{"200 OK", hello}});
  ASSERT_TRUE(reply) << reply.error().line();
  EXPECT_EQ(text_of(reply->message), "Hello.");
  ASSERT_THAT(reply->message.content, SizeIs(2));
  EXPECT_EQ(reply->message.content[0].kind, Part::Kind::reasoning);
  EXPECT_EQ(reply->stop_reason, StopReason::end);
  EXPECT_EQ(reply->usage.input_tokens, 7U);
  EXPECT_EQ(reply->usage.output_tokens, 3U);
}

TEST_F(EndpointTest, AnErrorWithStatus200IsSaidAsTheEndpointSaysIt) {
  config_.retries = 1;
  CannedReply broken{"200 OK", R"({"error":{"message":"The model has crashed.","code":502}})"};
  std::string said = error_of({broken, broken});
  EXPECT_THAT(said, HasSubstr("status 502: The model has crashed."));
  EXPECT_THAT(said, HasSubstr("after 2 attempts"));
  config_.settings.stream = true;
  EXPECT_THAT(error_of({broken, broken}), HasSubstr("status 502: The model has crashed."));
  for (const char* dialect : {"openai_chat", "openai_responses", "anthropic_messages", "gemini"}) {
    config_.dialect = find_dialect(dialect);
    CannedReply event{"200 OK", "data: {\"error\":{\"message\":\"No more room.\"}}\n\n"};
    EXPECT_THAT(error_of({event, event}), HasSubstr("No more room.")) << dialect;
  }
}

TEST_F(EndpointTest, ACompressedReplyIsUnpacked) {
  const unsigned char packed[] = {
      31,  139, 8,   0,   0,   0,   0,   0,   2,   3,   13,  200, 65,  10,  128, 48,  12,  68,  209,
      187, 204, 186, 120, 128, 158, 192, 59,  136, 72,  40,  81,  3,   218, 72,  39,  187, 210, 187,
      219, 213, 127, 252, 142, 114, 187, 21,  37,  242, 214, 241, 42,  41,  151, 34,  119, 52,  127,
      102, 33,  164, 49,  164, 6,   18,  138, 215, 208, 169, 140, 213, 22,  140, 132, 211, 170, 241,
      62,  154, 10,  189, 206, 205, 240, 15,  99,  31,  63,  64,  20,  100, 153, 85,  0,   0,   0};
  CannedReply reply{"200 OK", std::string(packed, packed + sizeof packed)};
  reply.headers = "Content-Encoding: gzip\r\n";
  auto answer = ask({reply});
  ASSERT_TRUE(answer) << answer.error().line();
  EXPECT_EQ(text_of(answer->message), "Hi.");
  EXPECT_THAT(server_->requests().at(0), HasSubstr("Accept-Encoding: identity"));
}

TEST_F(EndpointTest, AKeyThatComesBackEncodedIsTakenOut) {
  config_.key = "sk-sec/ret+98=76";
  config_.retries = 0;
  for (const char* form : {"sk-sec/ret+98=76", "sk-sec%2Fret%2B98%3D76", "sk-sec%2fret%2b98%3d76",
                           "c2stc2VjL3JldCs5OD03Ng==",          // as it is
                           "QmVhcmVyIHNrLXNlYy9yZXQrOTg9NzY=",  // behind "Bearer "
                           "dXNlcjpzay1zZWMvcmV0Kzk4PTc2",      // behind "user:"
                           "736b2d7365632f7265742b39383d3736"}) {
    nlohmann::json body{{"error", {{"message", std::string("no such key: ") + form + "."}}}};
    std::string said = error_of({{"401 Unauthorized", body.dump()}});
    EXPECT_THAT(said, HasSubstr("[key]")) << form;
    EXPECT_THAT(said, Not(HasSubstr(std::string(form).substr(6, 12)))) << form;
  }
  EXPECT_THAT(error_of({{"401 Unauthorized", R"({"error":{"message":"sk-sec\/ret+98\u003d76"}})"}}),
              HasSubstr("401: [key]"));
  EXPECT_EQ(forms_of_key(""), std::vector<std::string>());
  EXPECT_THAT(forms_of_key("abc"), SizeIs(1)) << "\"YWJj\" occurs by chance";
}

TEST_F(EndpointTest, AKeyInPiecesIsNotHandedOnAsItCame) {
  config_.key = "sk-secret-9876-key";
  auto event = [](const std::string& text) {
    return "data: " +
           nlohmann::json{{"choices", {{{"index", 0}, {"delta", {{"content", text}}}}}}}.dump() +
           "\n\n";
  };
  const std::string end =
      "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: "
      "[DONE]\n\n";
  auto passed = [&](const std::vector<std::string>& words, std::string& stream) {
    stream.clear();
    for (const std::string& word : words) stream += event(word);
    stream += end;
    server_ = std::make_unique<LocalHttpServer>(std::vector<CannedReply>{{"200 OK", stream}});
    config_.base_url = server_->base_url();
    Endpoint endpoint(config_);
    ModelRequest request;
    request.model = "m";
    request.stream = true;
    request.messages = messages_;
    std::string got;
    PassThrough raw;
    raw.body = "{}";
    raw.event = [&](std::string_view bytes, const std::vector<Delta>&) {
      got += bytes;
      return true;
    };
    EXPECT_TRUE(endpoint.address(request, raw));
    ModelError error;
    auto reply =
        endpoint.send(request, {Clock::now() + milliseconds(10000), nullptr, {}, &raw}, error);
    if (!reply) got += " " + reply.error().line();
    return got;
  };
  std::string stream;
  EXPECT_EQ(passed({"A key begins with sk-sec", "", "rets, they", " say: sk-secret"}, stream),
            stream);
  std::string got = passed({"It is sk", "-sec", "ret-98", "76-", "key."}, stream);
  EXPECT_THAT(got, HasSubstr("repeats the key"));
  for (const char* piece : {"-sec", "ret-98", "76-", "key."})
    EXPECT_THAT(got, Not(HasSubstr("\"" + std::string(piece)))) << piece;
}

TEST(ShownAddresses, HoldNothingSecret) {
  EXPECT_EQ(shown_address("https://ann:pass@w@host:8/v1?key=abc#d"), "https://host:8/v1");
  EXPECT_EQ(shown_address("http://host/a@b"), "http://host/a@b");
  EXPECT_EQ(origin_of("https://u:p@hooks.example/T0/secret"), "https://hooks.example");
  EXPECT_EQ(origin_of("no address"), "no address");
}

TEST_F(EndpointTest, SendsModelMessagesToolsAndNoSeedUnlessAsked) {
  config_.settings.temperature = 0.5;
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

TEST_F(EndpointTest, ReadsToolCallsAndSendsTheirResultsBack) {
  auto reply = ask({{"200 OK", one_call}});
  ASSERT_TRUE(reply) << reply.error().line();
  ASSERT_THAT(reply->message.tool_calls, SizeIs(1));
  EXPECT_EQ(reply->message.tool_calls[0].arguments, R"({"command":"ls"})");
  EXPECT_EQ(reply->message.tool_calls[0].fault, "");
  EXPECT_EQ(reply->stop_reason, StopReason::tool_use);
  messages_.push_back(reply->message);
  messages_.push_back({Role::tool, {{Part::Kind::text, "file"}}, {}, "a1", 1});
  ASSERT_TRUE(ask({{"200 OK", hello}}));
  auto body = sent();
  EXPECT_EQ(body.at("messages")[1].at("tool_calls")[0].at("id"), "a1");
  EXPECT_TRUE(body.at("messages")[1].at("content").is_null());
  EXPECT_EQ(body.at("messages")[2].at("tool_call_id"), "a1");
}

TEST_F(EndpointTest, ArgumentsThatAreNoJsonObjectAreAFaultOfTheCall) {
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

TEST_F(EndpointTest, MalformedRepliesAreClearErrors) {
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

TEST_F(EndpointTest, TriesAgainAfter429And500AndLostConnections) {
  auto reply = ask({{"429 Too Many Requests", "{}", "Retry-After: 0\r\n"},
                    {"503 Service Unavailable", "busy"},
                    {"", "", "", milliseconds(0), true},
                    {"200 OK", hello}});
  ASSERT_TRUE(reply) << reply.error().line();
  EXPECT_THAT(server_->requests(), SizeIs(4));
}

TEST_F(EndpointTest, HonoursRetryAfter) {
  auto begin = Clock::now();
  ASSERT_TRUE(ask({{"429 Too Many Requests", "{}", "retry-after: 0.3\r\n"}, {"200 OK", hello}}));
  EXPECT_GE(Clock::now() - begin, milliseconds(300));
}

// Retries count, too.
TEST_F(EndpointTest, KeepsThePaceOfAllRuns) {
  config_.key = "a key of this test alone";
  config_.requests_per_minute = 600;
  auto begin = Clock::now();
  ASSERT_TRUE(ask({{"500 Oops", "{}"}, {"500 Oops", "{}"}, {"200 OK", hello}}));
  EXPECT_GE(Clock::now() - begin, milliseconds(200));
  EXPECT_THAT(server_->requests(), SizeIs(3));
}

TEST_F(EndpointTest, ATurnAfterTheDeadlineIsAnErrorAndNoRequest) {
  config_.key = "another key";
  config_.requests_per_minute = 1;
  config_.retries = 3;
  EXPECT_THAT(error_of({{"500 Oops", "{}"}, {"200 OK", hello}}, milliseconds(3000)),
              HasSubstr("requests_per_minute"));
  EXPECT_THAT(server_->requests(), SizeIs(1));
}

TEST_F(EndpointTest, GivesUpAfterItsRetries) {
  config_.retries = 2;
  std::string error = error_of({{"500 Oops", R"({"error":{"message":"broken\u001b[31m"}})"},
                                {"502 Bad", "x"},
                                {"500 Oops", R"({"error":{"message":"broken\u001b[31m"}})"},
                                {"200 OK", hello}});
  EXPECT_THAT(error, HasSubstr("status 500: broken\\x1b[31m"));
  EXPECT_THAT(error, HasSubstr("after 3 attempts"));
}

TEST_F(EndpointTest, DoesNotWaitPastTheDeadline) {
  auto begin = Clock::now();
  EXPECT_THAT(
      error_of({{"429 Too Many Requests", "{}", "Retry-After: 3600\r\n"}}, milliseconds(2000)),
      HasSubstr("429"));
  EXPECT_LT(Clock::now() - begin, milliseconds(1500));
}

TEST_F(EndpointTest, OtherRefusalsAreNotRepeated) {
  EXPECT_THAT(error_of({{"401 Unauthorized", R"({"error":"no such key"})"}, {"200 OK", hello}}),
              HasSubstr("api_key_env"));
  EXPECT_THAT(server_->requests(), SizeIs(1));
  EXPECT_THAT(error_of({{"307 Temporary Redirect", "", "Location: http://127.0.0.1:1/\r\n"}}),
              HasSubstr("redirects are not followed"));
}

TEST_F(EndpointTest, SlowRepliesTimeOut) {
  config_.timeout = milliseconds(200);
  EXPECT_THAT(error_of({{"200 OK", hello, "", milliseconds(5000)}}),
              HasSubstr("no reply within 200 ms"));
  EXPECT_THAT(server_->requests(), SizeIs(1));
}

TEST_F(EndpointTest, HugeRepliesAreCutOff) {
  config_.max_reply_bytes = 1U << 20U;
  EXPECT_THAT(error_of({{"200 OK", hello, "", milliseconds(0), false, 64U << 20U}}),
              HasSubstr("larger than 1048576 bytes"));
}

TEST_F(EndpointTest, TheKeyIsSentAndNeverShown) {
  config_.key = "sk-very-secret";
  std::string error =
      error_of({{"400 Bad", R"({"error":{"message":"bad key sk-very-secret here"}})"}});
  EXPECT_THAT(error, HasSubstr("bad key [key] here"));
  EXPECT_THAT(error, Not(HasSubstr("sk-very-secret")));
  EXPECT_THAT(server_->requests().at(0), HasSubstr("Authorization: Bearer sk-very-secret"));
}

TEST_F(EndpointTest, NobodyListening) {
  config_.retries = 1;
  std::string url;
  { url = LocalHttpServer({}).base_url(); }
  config_.base_url = url;
  config_.first_pause = milliseconds(1);
  auto reply =
      Endpoint(config_).complete({messages_, tools_, 1, Clock::now() + milliseconds(5000)});
  ASSERT_FALSE(reply);
  EXPECT_THAT(reply.error().line(), HasSubstr("after 2 attempts"));
}

// The bytes of a streamed reply of the dialect to `request`.
std::string stream_of(const Dialect& dialect, const Reply& reply) {
  ModelRequest request;
  request.model = "test-model";
  request.stream = request.stream_usage = true;
  return write_stream(dialect, request, reply, 3);
}

TEST_F(EndpointTest, SpeaksEveryDialectStreamingAndNot) {
  for (const Dialect* dialect : dialects()) {
    config_.dialect = dialect;
    config_.key = "k-7";
    testing::RandomConversation random(1, std::string(dialect->name()));
    Reply reply = random.reply();
    ModelRequest request;
    request.model = "test-model";
    Losses losses;
    config_.settings.stream = false;
    auto whole = ask({{"200 OK", dialect->write_response(request, reply, losses).body}});
    ASSERT_TRUE(whole) << dialect->name() << whole.error().line();
    EXPECT_EQ(testing::core_of({whole->message}), testing::core_of({reply.message}));
    config_.settings.stream = true;
    auto streamed = ask({{"200 OK", stream_of(*dialect, reply)}});
    ASSERT_TRUE(streamed) << dialect->name() << streamed.error().line();
    EXPECT_EQ(testing::core_of({streamed->message}), testing::core_of({reply.message}));
    EXPECT_EQ(streamed->usage, reply.usage);
    EXPECT_THAT(server_->requests().at(0), HasSubstr(dialect->key_header("k-7")));
    auto body = server_->requests().at(0);
    auto seen = dialect->parse_request(
        body.substr(body.find(' ') + 1, body.find(" HTTP/") - body.find(' ') - 1),
        body.substr(body.find("\r\n\r\n") + 4));
    ASSERT_TRUE(seen) << seen.error().line();
    EXPECT_EQ(seen->model, "test-model");
    EXPECT_TRUE(seen->stream);
    EXPECT_EQ(testing::core_of(seen->messages), testing::core_of(messages_));
  }
}

TEST_F(EndpointTest, AStreamThatBreaksOffIsTriedAgain) {
  config_.settings.stream = true;
  Reply reply = testing::RandomConversation(1, "openai_chat").reply();
  std::string bytes = stream_of(*config_.dialect, reply);
  auto got = ask({{"200 OK", bytes.substr(0, bytes.size() / 2)}, {"200 OK", bytes}});
  ASSERT_TRUE(got) << got.error().line();
  EXPECT_EQ(testing::core_of({got->message}), testing::core_of({reply.message}));
  EXPECT_THAT(server_->requests(), SizeIs(2));
}

// A wrong address, or a server without streams: nothing that would be better the next time.
TEST_F(EndpointTest, WhatIsNoStreamIsSaidAndNotTriedAgain) {
  config_.settings.stream = true;
  for (const char* body : {"<html>no</html>", hello, "null", "[[[["}) {
    std::string error = error_of({{"200 OK", body}, {"200 OK", body}});
    EXPECT_THAT(error, HasSubstr("no stream of events"));
    EXPECT_THAT(error, HasSubstr("base_url"));
    EXPECT_THAT(server_->requests(), SizeIs(1)) << body;
  }
  config_.key = "secret-key-of-tests";
  EXPECT_THAT(error_of({{"200 OK", "<p>secret-key-of-tests"}}), HasSubstr("[key]"));
}

TEST_F(EndpointTest, OverloadInTheMidstOfAStreamIsTriedAgain) {
  config_.settings.stream = true;
  config_.dialect = find_dialect("anthropic_messages");
  Reply reply = testing::RandomConversation(1, "anthropic_messages").reply();
  std::string overloaded =
      "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\","
      "\"message\":\"Overloaded\"}}\n\n";
  auto got = ask({{"200 OK", overloaded}, {"200 OK", stream_of(*config_.dialect, reply)}});
  ASSERT_TRUE(got) << got.error().line();
  config_.retries = 0;
  EXPECT_THAT(error_of({{"200 OK", overloaded}}), HasSubstr("Overloaded"));
}

TEST_F(EndpointTest, WhatAnObserverHasSeenIsNotSaidTwice) {
  config_.settings.stream = true;
  Reply reply = testing::RandomConversation(1, "openai_chat").reply();
  std::string bytes = stream_of(*config_.dialect, reply);
  server_ = std::make_unique<LocalHttpServer>(
      std::vector<CannedReply>{{"200 OK", bytes.substr(0, bytes.size() / 2)}, {"200 OK", bytes}});
  config_.base_url = server_->base_url();
  ModelRequest request = config_.settings;
  request.model = "m";
  request.messages = messages_;
  std::size_t seen = 0;
  Endpoint::Call call{Clock::now() + milliseconds(10000), nullptr, [&](const Delta&) { ++seen; }};
  ModelError error;
  EXPECT_FALSE(Endpoint(config_).send(request, call, error));
  EXPECT_GT(seen, 1U);
  EXPECT_THAT(server_->requests(), SizeIs(1));
}

TEST_F(EndpointTest, EndlessStreamsAndLinesOfAHundredMegabytesAreErrors) {
  config_.settings.stream = true;
  config_.max_reply_bytes = 1U << 20U;
  EXPECT_THAT(error_of({{"200 OK", "data: {\"a\":\"", "", milliseconds(0), false, 100U << 20U}}),
              HasSubstr("larger than 1048576 bytes"));
  Reply reply;
  reply.message.content.push_back({Part::Kind::text, std::string(30'000, 'x')});
  EXPECT_THAT(error_of({{"200 OK", stream_of(*config_.dialect, reply)}}),
              HasSubstr("larger than 1048576 bytes"));
}

TEST_F(EndpointTest, CanBeCancelledWhileItWaits) {
  server_ = std::make_unique<LocalHttpServer>(std::vector<CannedReply>{
      {"200 OK", hello, "", milliseconds(60000)}, {"429 Too Many", "{}", "Retry-After: 60\r\n"}});
  config_.base_url = server_->base_url();
  for (int i = 0; i < 2; ++i) {
    Cancellation cancellation;
    std::thread other([&] {
      while (server_->requests().size() <= static_cast<std::size_t>(i)) std::this_thread::yield();
      cancellation.cancel();
    });
    auto reply = Endpoint(config_).complete(
        {messages_, tools_, 1, Clock::now() + std::chrono::minutes(5), &cancellation});
    other.join();
    ASSERT_FALSE(reply);
    EXPECT_THAT(reply.error().line(), HasSubstr("cancelled"));
  }
}

TEST_F(EndpointTest, TheHeadOfTheReplyHasALimitOfItsOwn) {
  config_.first_byte_timeout = milliseconds(100);
  EXPECT_THAT(error_of({{"200 OK", hello, "", milliseconds(60000)}}),
              HasSubstr("no answer within 100 ms"));
}

// What an observer sees goes to an agent in a sandbox.
TEST_F(EndpointTest, AKeyThatIsRepeatedInAStreamReachesNoObserver) {
  const std::string key = "sk-very-secret-key";
  Reply reply;
  reply.message.role = Role::assistant;
  reply.message.content.push_back(
      {Part::Kind::text, "It is " + key + ", sk-very-secret-ke and sk-v"});
  ToolCall call;
  call.id = "id-" + key;
  call.name = "bash";
  call.arguments = R"({"command":"echo )" + key + R"("})";
  reply.message.tool_calls.push_back(call);
  reply.stop_reason = StopReason::tool_use;
  for (const Dialect* dialect : dialects())
    for (std::size_t piece : {0U, 1U, 5U, 17U}) {
      SCOPED_TRACE(std::string(dialect->name()) + " " + std::to_string(piece));
      config_.dialect = dialect;
      config_.key = key;
      config_.first_pause = milliseconds(5);
      LocalHttpServer server({{"200 OK", write_stream(*dialect, {}, reply, piece)}});
      config_.base_url = server.base_url();
      ModelRequest request;
      request.stream = true;
      request.messages = messages_;
      std::string seen;
      ModelError error;
      auto got = Endpoint(config_).send(
          request,
          {Clock::now() + milliseconds(10000), nullptr,
           [&](const Delta& delta) { seen += delta.text + delta.call.id + delta.call.name; }},
          error);
      ASSERT_TRUE(got) << got.error().line();
      EXPECT_THAT(seen, Not(HasSubstr(key)));
      EXPECT_THAT(seen, HasSubstr("It is [key], sk-very-secret-ke and sk-v"));
      EXPECT_THAT(seen, HasSubstr("echo [key]"));
      EXPECT_EQ(text_of(got->message), "It is [key], sk-very-secret-ke and sk-v");
    }
}

TEST_F(EndpointTest, AQuotaThatIsUsedUpIsNotTriedAgain) {
  EXPECT_NE(
      error_of({{"429 Too Many", R"({"error":{"message":"no money","code":"insufficient_quota"}})"},
                {"200 OK", hello}}),
      "");
  EXPECT_THAT(server_->requests(), SizeIs(1));
}

TEST_F(EndpointTest, AKeyThatTheEndpointRepeatsReachesNoReplyAndNoError) {
  config_.key = "sk-very-secret";
  std::string echo =
      R"({"id":"sk-very-secret","choices":[{"message":{"content":"is it sk-very\u002dsecret?",)"
      R"("reasoning_content":"sk-very-secret","tool_calls":[{"id":"sk-very-secret","function":)"
      R"({"name":"bash","arguments":"{\"k\":\"sk-very-secret\"}"}}]}}]})";
  auto reply = ask({{"200 OK", echo}});
  ASSERT_TRUE(reply) << reply.error().line();
  std::string all = reply->id + testing::core_of({reply->message}) + reply->message.content[0].text;
  EXPECT_THAT(all, Not(HasSubstr("sk-very-secret")));
  EXPECT_THAT(all, HasSubstr("is it [key]?"));
  EXPECT_THAT(error_of({{"200 OK", "{\"sk-very-secret\""}}), Not(HasSubstr("sk-very-secret")));
}

// The key of one host must not be sent to another.
TEST_F(EndpointTest, ARedirectIsNotFollowed) {
  config_.key = "sk-very-secret";
  LocalHttpServer elsewhere(std::vector<CannedReply>{{"200 OK", hello}});
  EXPECT_NE(error_of({{"307 Temporary Redirect", "",
                       "Location: " + elsewhere.base_url() + "/chat/completions\r\n"}}),
            "");
  EXPECT_THAT(elsewhere.requests(), SizeIs(0));
}

TEST_F(EndpointTest, CountsWhatAReplyCosts) {
  config_.prices = {3, 15, 0.3, -1};
  auto reply = ask(
      {{"200 OK", R"({"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":1000000,)"
                  R"("completion_tokens":100000,"prompt_tokens_details":{"cached_tokens":)"
                  R"(400000}}})"}});
  ASSERT_TRUE(reply);
  EXPECT_DOUBLE_EQ(reply->cost, 0.6 * 3 + 0.4 * 0.3 + 0.1 * 15);
  EXPECT_DOUBLE_EQ(cost_of({10, 10, 0, 0, 0}, {}), 0);
}

TEST_F(EndpointTest, WhatNobodyCountsIsEstimatedAndSaidSo) {
  config_.prices = {1e6, 1e6, -1, -1};
  auto reply = ask({{"200 OK", R"({"choices":[{"message":{"content":"12345678"}}]})"}});
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->usage.output_tokens, 2U);
  EXPECT_GT(reply->usage.input_tokens, 0U);
  EXPECT_DOUBLE_EQ(reply->cost, static_cast<double>(reply->usage.input_tokens) + 2);
  server_ = std::make_unique<LocalHttpServer>(std::vector<CannedReply>{
      {"200 OK", R"({"choices":[{"message":{"content":"12345678"}}]})"}, {"200 OK", hello}});
  config_.base_url = server_->base_url();
  Endpoint counted(config_);
  const Request request{messages_, tools_, 42, Clock::now() + milliseconds(10000)};
  ASSERT_TRUE(counted.complete(request));
  ASSERT_THAT(counted.losses(), SizeIs(1));
  EXPECT_EQ(counted.losses()[0].place, "/usage");
  ASSERT_TRUE(counted.complete(request));
  EXPECT_THAT(counted.losses(), SizeIs(0)) << "those are the endpoint's own counts";
}

TEST_F(EndpointTest, WhatBreaksOffInTheMiddleHasBeenSpent) {
  config_.settings.stream = true;
  config_.prices = {1e6, 1e6, -1, -1};
  server_ = std::make_unique<LocalHttpServer>(std::vector<CannedReply>{
      {"200 OK", "data: {\"choices\":[{\"delta\":{\"content\":\"12345678\"}}]}\n\n"}});
  config_.base_url = server_->base_url();
  ModelRequest request = config_.settings;
  request.model = "m";
  request.messages = messages_;
  Endpoint::Call call{Clock::now() + milliseconds(10000), nullptr, [](const Delta&) {}};
  ModelError error;
  Endpoint endpoint(config_);
  EXPECT_FALSE(endpoint.send(request, call, error));
  EXPECT_EQ(endpoint.spent().usage.output_tokens, 2U);
  EXPECT_GT(endpoint.spent().usage.input_tokens, 0U);
  EXPECT_GT(endpoint.spent().cost, 2);
  EXPECT_THAT(endpoint.losses(), SizeIs(1));
}

TEST_F(EndpointTest, EarlierReasoningStaysWithUsUnlessAsked) {
  Message said;
  said.role = Role::assistant;
  Part thought{Part::Kind::reasoning, "hm"};
  thought.origin = "openai_chat";
  said.content = {thought, {Part::Kind::text, "So."}};
  messages_.push_back(said);
  ASSERT_TRUE(ask({{"200 OK", hello}}));
  EXPECT_FALSE(sent().at("messages")[1].contains("reasoning_content"));
  config_.send_reasoning = true;
  ASSERT_TRUE(ask({{"200 OK", hello}}));
  EXPECT_EQ(sent().at("messages")[1].at("reasoning_content"), "hm");
}

TEST(RetryAfter, IsSecondsOrADate) {
  EXPECT_EQ(retry_after("7", 0), 7.0);
  EXPECT_EQ(retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 20), 40.0);
  EXPECT_EQ(retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 100), 0.0);
  EXPECT_EQ(retry_after("soon", 0), std::nullopt);
  EXPECT_EQ(retry_after("-3", 0), std::nullopt);
  EXPECT_EQ(retry_after("inf", 0), std::nullopt);
}

}  // namespace
}  // namespace gyges::model
