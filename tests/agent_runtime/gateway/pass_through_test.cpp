// An agent that speaks its endpoint's own dialect: bytes go through as they are.
#include "agent_runtime/gateway/endpoint_behind_wire.h"
#include "agent_runtime/gateway/json_text.h"
#include "agent_runtime/gateway/request_as_sent.h"
#include "tests/agent_runtime/gateway/endpoint_fixture.h"
#include "tests/agent_runtime/model/local_http_server.h"

namespace gyges::gateway {
namespace {

using gyges::testing::CannedReply;
using gyges::testing::LocalHttpServer;
using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

// One dialect: a request and replies that hold what Gyges has no name for.
struct Spoken {
  const char* dialect;
  const char* target;
  const char* streamed_target;
  const char* request;  // STREAM and MODEL stand for values
  const char* reply;
  const char* stream;
};

const Spoken spoken[] = {
    {"anthropic_messages", "/v1/messages?beta=true", "/v1/messages?beta=true",
     R"({"x_new": {"deep": [1.50, 1e3]}, "model":  "MODEL", "max_tokens": 9, "stream": STREAM,
 "messages": [{"role": "user", "content": "Hi", "x_mark": null}]})",
     R"({"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "x_field": 1.50,
 "content": [{"type": "text", "text": "Hello", "x_in": {}}], "stop_reason": "end_turn",
 "usage": {"input_tokens": 3, "output_tokens": 2, "x_tokens": 7}})",
     "event: message_start\ndata: {\"type\": \"message_start\", \"message\": {\"id\": \"msg_1\", "
     "\"model\": \"m\", \"x_field\": 1.50, \"usage\": {\"input_tokens\": 3}}}\n\n"
     "event: x_unheard\ndata: {\"type\": \"x_unheard\", \"n\": 1.50}\n\n: a comment\n\n"
     "event: content_block_start\ndata: {\"type\": \"content_block_start\", \"index\": 0, "
     "\"content_block\": {\"type\": \"text\", \"text\": \"\"}}\n\n"
     "event: content_block_delta\ndata: {\"type\": \"content_block_delta\", \"index\": 0, "
     "\"delta\": {\"type\": \"text_delta\", \"text\": \"Hello\", \"x\": 0}}\n\n"
     "event: content_block_stop\ndata: {\"type\": \"content_block_stop\", \"index\": 0}\n\n"
     "event: message_delta\ndata: {\"type\": \"message_delta\", \"delta\": {\"stop_reason\": "
     "\"end_turn\"}, \"usage\": {\"output_tokens\": 2}}\n\n"
     "event: message_stop\ndata: {\"type\": \"message_stop\"}\n\n"},
    {"openai_chat", "/v1/chat/completions", "/v1/chat/completions",
     R"({"x_new": {"deep": [1.50, 1e3]}, "model":  "MODEL", "stream": STREAM,
 "messages": [{"role": "user", "content": "Hi", "x_mark": null}]})",
     R"({"id": "c_1", "object": "chat.completion", "created": 1, "model": "m", "x_field": 1.50,
 "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello", "x": []},
 "finish_reason": "stop"}], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})",
     "data: {\"id\": \"c_1\", \"model\": \"m\", \"x_field\": 1.50, \"choices\": [{\"index\": 0, "
     "\"delta\": {\"role\": \"assistant\", \"content\": \"Hel\"}}]}\n\n: x\n\n"
     "data: {\"id\": \"c_1\", \"choices\": [{\"index\": 0, \"delta\": {\"content\": \"lo\", "
     "\"x_in\": 1}}]}\n\n"
     "data: {\"id\": \"c_1\", \"choices\": [{\"index\": 0, \"delta\": {}, \"finish_reason\": "
     "\"stop\"}]}\n\ndata: [DONE]\n\n"},
    {"openai_responses", "/v1/responses", "/v1/responses",
     R"({"x_new": {"deep": [1.50, 1e3]}, "model":  "MODEL", "stream": STREAM,
 "input": [{"role": "user", "content": "Hi", "x_mark": null}]})",
     R"({"id": "resp_1", "object": "response", "created_at": 1, "status": "completed",
 "model": "m", "x_field": 1.50, "output": [{"type": "message", "id": "msg_1", "role": "assistant",
 "status": "completed", "content": [{"type": "output_text", "text": "Hello", "annotations": []}]}],
 "usage": {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}})",
     "event: response.created\ndata: {\"type\": \"response.created\", \"response\": {\"id\": "
     "\"resp_1\", \"model\": \"m\", \"x_field\": 1.50}}\n\n"
     "event: response.x_unheard\ndata: {\"type\": \"response.x_unheard\"}\n\n"
     "event: response.output_item.added\ndata: {\"type\": \"response.output_item.added\", "
     "\"output_index\": 0, \"item\": {\"type\": \"message\", \"id\": \"msg_1\", \"role\": "
     "\"assistant\", \"content\": []}}\n\n"
     "event: response.content_part.added\ndata: {\"type\": \"response.content_part.added\", "
     "\"output_index\": 0, \"content_index\": 0, \"part\": {\"type\": \"output_text\", \"text\": "
     "\"\"}}\n\n"
     "event: response.output_text.delta\ndata: {\"type\": \"response.output_text.delta\", "
     "\"output_index\": 0, \"content_index\": 0, \"delta\": \"Hello\"}\n\n"
     "event: response.output_item.done\ndata: {\"type\": \"response.output_item.done\", "
     "\"output_index\": 0, \"item\": {\"type\": \"message\", \"id\": \"msg_1\", \"role\": "
     "\"assistant\", \"content\": [{\"type\": \"output_text\", \"text\": \"Hello\"}]}}\n\n"
     "event: response.completed\ndata: {\"type\": \"response.completed\", \"response\": {\"id\": "
     "\"resp_1\", \"status\": \"completed\", \"output\": [{\"type\": \"message\", \"id\": "
     "\"msg_1\", \"role\": \"assistant\", \"content\": [{\"type\": \"output_text\", \"text\": "
     "\"Hello\"}]}], \"usage\": {\"input_tokens\": 3, \"output_tokens\": 2}}}\n\n"},
    {"gemini", "/v1beta/models/large:generateContent",
     "/v1beta/models/large:streamGenerateContent?alt=sse",
     R"({"x_new": {"deep": [1.50, 1e3]},
 "contents": [{"role": "user", "parts": [{"text": "Hi", "x_mark": null}]}]})",
     R"({"candidates": [{"content": {"role": "model", "parts": [{"text": "Hello", "x": 1}]},
 "finishReason": "STOP", "x_field": 1.50}], "usageMetadata": {"promptTokenCount": 3}})",
     "data: {\"candidates\": [{\"content\": {\"role\": \"model\", \"parts\": [{\"text\": "
     "\"Hel\"}]}}], \"x_field\": 1.50}\r\n\r\n"
     "data: {\"candidates\": [{\"content\": {\"role\": \"model\", \"parts\": [{\"text\": "
     "\"lo\"}]}, \"finishReason\": \"STOP\"}], \"usageMetadata\": {\"promptTokenCount\": 3}}"
     "\r\n\r\n"},
};

struct PassThroughTest : testing::ModelEndpointTest, ::testing::WithParamInterface<int> {
  std::unique_ptr<LocalHttpServer> server;
  std::string key = "sk-real-key-456";

  [[nodiscard]] const Spoken& now() const { return spoken[GetParam() / 2]; }
  [[nodiscard]] bool streamed() const { return GetParam() % 2 == 1; }
  [[nodiscard]] std::string request(const std::string& model) const {
    std::string text = now().request;
    for (auto [word, value] :
         {std::pair<std::string, std::string>{"STREAM", streamed() ? "true" : "false"},
          {"MODEL", model}})
      if (auto at = text.find(word); at != std::string::npos) text.replace(at, word.size(), value);
    return text;
  }
  [[nodiscard]] std::string target() const {
    return streamed() ? now().streamed_target : now().target;
  }
  void provider(std::vector<CannedReply> canned_replies, std::size_t most_bytes = 64U << 20U) {
    server = std::make_unique<LocalHttpServer>(std::move(canned_replies));
    options.dialect = model::find_dialect(now().dialect);
    model::EndpointConfig config;
    config.dialect = options.dialect;
    config.base_url = server->base_url();
    if (std::string(now().dialect) != "openai_chat" &&
        std::string(now().dialect) != "openai_responses")
      config.base_url.resize(config.base_url.size() - 3);
    config.key = key;
    config.settings.model = "real-model";
    config.retries = 0;
    config.max_reply_bytes = most_bytes;
    complete = endpoint_behind_wire(
        std::move(config), std::chrono::steady_clock::now() + std::chrono::seconds(60), options);
  }
  [[nodiscard]] CannedReply reply(std::string body) const {
    CannedReply made;
    made.body = std::move(body);
    made.headers = std::string("Content-Type: ") +
                   (streamed() ? "text/event-stream; x=y" : "application/json; x=y") +
                   "\r\nRequest-Id: req_1\r\nX-Organization: acme\r\n";
    return made;
  }
  [[nodiscard]] std::string canned() const { return streamed() ? now().stream : now().reply; }
  testing::ScriptedAnswer ask() {
    return send("POST", target(), request("large"),
                {{"X-Api-Key", options.key}, {"anthropic-beta", "new-2026"}, {"Cookie", "c"}});
  }
};

INSTANTIATE_TEST_SUITE_P(Dialects, PassThroughTest, ::testing::Range(0, 8), [](const auto& param) {
  return std::string(spoken[param.param / 2].dialect) +
         (param.param % 2 == 1 ? "_streamed" : "_whole");
});

TEST_P(PassThroughTest, WhatHasNoNameHereSurvivesAndTheTurnIsOnRecord) {
  provider({reply(canned())});
  auto answer = ask();
  ASSERT_TRUE(answer.response);
  EXPECT_EQ(answer.response->status, 200);
  EXPECT_EQ(answer.bytes, canned());
  std::string headers;
  for (const auto& [name, value] : answer.response->headers) headers += name + "=" + value + "\n";
  EXPECT_THAT(headers, HasSubstr("; x=y"));
  EXPECT_THAT(headers, HasSubstr("req_1"));
  EXPECT_THAT(headers, Not(HasSubstr("acme")));
  auto sent = server->requests().at(0);
  EXPECT_THAT(sent, EndsWith(request("real-model")));
  EXPECT_THAT(sent, HasSubstr("anthropic-beta: new-2026"));
  EXPECT_THAT(sent, HasSubstr(key));
  EXPECT_THAT(sent, Not(HasSubstr("Cookie")));
  EXPECT_THAT(sent, Not(HasSubstr(options.key)));
  auto last = turns().back();
  EXPECT_EQ(last.at("role"), "assistant");
  EXPECT_EQ(last.at("content")[0].at("text"), "Hello");
  // The stream of openai_chat gives no counts: then they are estimated, and the exchange says so.
  const bool counted = GetParam() != 3;
  EXPECT_EQ(last.at("usage").at("input_tokens"), counted ? 3 : 1);
  EXPECT_EQ(exchanges().at(0).at("losses").empty(), counted);
  EXPECT_EQ(blob(exchanges().at(0).at("answer")), canned());
}

TEST_P(PassThroughTest, TheKeyIsTakenOutOfWhatComesBack) {
  std::string body = canned();
  for (auto at = body.find("Hel"); at != std::string::npos;
       at = body.find("Hel", at + key.size() + 3))
    body.insert(at, key);
  provider({reply(body)});
  auto answer = ask();
  EXPECT_THAT(answer.bytes, Not(HasSubstr(key)));
  EXPECT_THAT(answer.bytes, HasSubstr("[key]Hel"));
  EXPECT_THAT(turns().back().dump(), HasSubstr("[key]Hel"));
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory.path())) {
    if (!entry.is_regular_file()) continue;
    EXPECT_THAT(*read_file(entry.path()), Not(HasSubstr(key))) << entry.path();
  }
}

TEST_P(PassThroughTest, ErrorsComeAsTheProviderSaidThem) {
  CannedReply refusal = reply(R"({"error": {"message": "slow down", "type": "x", "x_new": 1.50}})");
  refusal.status = "418 Teapot";
  refusal.headers = "Content-Type: application/json\r\nRetry-After: 7\r\n";
  provider({refusal});
  auto answer = ask();
  EXPECT_EQ(answer.response->status, 418);
  EXPECT_EQ(answer.bytes, refusal.body);
}

TEST_P(PassThroughTest, AnAnswerWithoutEndIsBrokenOff) {
  CannedReply endless = reply(streamed() ? "data: {\"x\": \"" : "{\"x\": \"");
  endless.padding = 3U << 20U;
  provider({endless}, 1U << 20U);
  auto answer = ask();
  EXPECT_THAT(answer.bytes.size(), ::testing::Lt(1000U));
  EXPECT_THAT(exchanges().at(0).at("fault").get<std::string>(), HasSubstr("larger than"));
}

TEST_P(PassThroughTest, UnderAGateThatEnforcesTheReplyIsWrittenAnew) {
  struct Yes final : episode::ToolApprover {
    Result<episode::ToolDecision> decide(const episode::PendingCall&) override {
      return episode::ToolDecision{};
    }
  } yes;
  options.oversight.approver = &yes;
  options.oversight.enforces = true;
  provider({reply(canned())});
  auto answer = ask();
  EXPECT_THAT(answer.bytes, Not(HasSubstr("1.50")));
  auto read = streamed() ? model::read_stream(*options.dialect, answer.bytes)
                         : options.dialect->parse_response(answer.bytes);
  ASSERT_TRUE(read) << read.error().line();
  EXPECT_EQ(model::text_of(read->message), "Hello");
  EXPECT_THAT(server->requests().at(0), EndsWith(request("real-model")));
}

// Once a call was refused, requests are written anew with what the agent never saw. What was
// written for one turn stands at the beginning of what is written for the next: the provider's
// cache holds.
class AfterARefusal : public testing::ModelEndpointTest,
                      public ::testing::WithParamInterface<const char*> {};

INSTANTIATE_TEST_SUITE_P(Dialects, AfterARefusal,
                         ::testing::Values("anthropic_messages", "openai_chat", "openai_responses",
                                           "gemini"),
                         [](const auto& param) { return std::string(param.param); });

TEST_P(AfterARefusal, WhatWasSentForOneTurnBeginsWhatIsSentForTheNext) {
  struct NothingBad final : episode::ToolApprover {
    Result<episode::ToolDecision> decide(const episode::PendingCall& pending) override {
      episode::ToolDecision decision;
      if (pending.call.arguments.find("bad") != std::string::npos)
        decision.action = episode::ToolDecision::Action::reject;
      return decision;
    }
  } nothing_bad;
  options.oversight.approver = &nothing_bad;
  options.oversight.enforces = true;
  const model::Dialect& dialect = *model::find_dialect(GetParam());
  options.dialect = &dialect;
  model::Reply both = calls("good");
  both.message.content.push_back({model::Part::Kind::text, "Two things."});
  both.message.tool_calls.push_back(calls("bad").message.tool_calls.front());
  std::vector<CannedReply> canned;
  for (const model::Reply& reply : {both, says("Next."), says("And next."), says("Done.")}) {
    model::Losses losses;
    canned.push_back({"200 OK", dialect.write_response({}, reply, losses).body});
  }
  LocalHttpServer server(std::move(canned));
  model::EndpointConfig config;
  config.dialect = &dialect;
  config.base_url = server.base_url().substr(0, server.base_url().size() - 3);
  config.settings.model = "real";
  complete = endpoint_behind_wire(
      std::move(config), std::chrono::steady_clock::now() + std::chrono::seconds(60), options);
  model::ModelRequest request;
  request.model = "large";
  request.max_output_tokens = 9;
  request.tools.push_back({"bash", "runs", R"({"type":"object","properties":{"command":{}}})"});
  auto say = [&](model::Role role, const std::string& text) {
    request.messages.emplace_back().role = role;
    request.messages.back().content.push_back({model::Part::Kind::text, text});
  };
  say(model::Role::system, "Be good.");
  say(model::Role::user, "Begin.");
  std::vector<std::string> conversations;
  for (int turn = 0; turn < 4; ++turn) {
    model::Losses losses;
    auto wire = dialect.write_request(request, losses);
    ASSERT_TRUE(wire) << wire.error().line();
    std::string target =
        wire->path.starts_with("/models/") ? "/v1beta" + wire->path : "/v1" + wire->path;
    if (wire->path.starts_with("/v1")) target = wire->path;
    auto answer = send("POST", target, wire->body);
    ASSERT_TRUE(answer.response);
    ASSERT_EQ(answer.response->status, 200) << answer.bytes;
    auto shown = dialect.parse_response(answer.bytes);
    ASSERT_TRUE(shown) << shown.error().line();
    request.messages.push_back(shown->message);
    for (const auto& call : shown->message.tool_calls) {
      say(model::Role::tool, "fine");
      request.messages.back().tool_call_id = call.id;
    }
    if (shown->message.tool_calls.empty()) say(model::Role::user, "Go on.");
    std::string sent = server.requests().back();
    auto members = members_of(std::string_view(sent).substr(sent.find("\r\n\r\n") + 4));
    ASSERT_TRUE(members);
    for (const auto& member : *members)
      if (member.name == "messages" || member.name == "input" || member.name == "contents")
        conversations.emplace_back(member.value);
  }
  ASSERT_THAT(conversations, SizeIs(4));
  EXPECT_THAT(conversations[1], HasSubstr("not approved"));
  for (std::size_t turn = 2; turn < 4; ++turn) {
    std::string before = conversations[turn - 1];
    before.pop_back();  // the end of the list
    EXPECT_THAT(conversations[turn], ::testing::StartsWith(before));
  }
}

struct RequestAsSent : ::testing::Test {
  static std::optional<std::string> sent(const char* dialect, const std::string& body,
                                         bool remove = true) {
    const char* target =
        std::string(dialect) == "gemini" ? "/v1beta/models/m:generateContent" : "/";
    return body_as_sent(*model::find_dialect(dialect), target, body, "", remove);
  }
};

TEST_F(RequestAsSent, HostedToolsAreTakenOutAndNothingElseChanges) {
  EXPECT_EQ(
      *sent("anthropic_messages",
            R"({"model":"m", "max_tokens":1,"messages":[{"role":"user","content":"x"}],
"tools":[{"name":"a", "input_schema":{ }},{"type":"web_search_20250305","name":"web_search"}],
"mcp_servers":[{"url":"https://evil.example"}],"x": 1.50})"),
      R"({"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"tools":[{"name":"a", "input_schema":{ }}],"x":1.50})");
  EXPECT_EQ(
      *sent("gemini", R"({"contents":[{"role":"user","parts":[{"text":"x"}]}],"tools":[
{"googleSearch":{},"functionDeclarations":[{"name":"f"}]},{"codeExecution":{}}]})"),
      R"({"contents":[{"role":"user","parts":[{"text":"x"}]}],"tools":[{"functionDeclarations":[{"name":"f"}]}]})");
  EXPECT_EQ(
      *sent("openai_responses", R"({"model":"m","input":"x","tools":[{"type":"web_search"}]})"),
      R"({"model":"m","input":"x"})");
  std::string kept = R"({"model":"m","input":"x","tools":[{"type":"web_search"}]})";
  EXPECT_EQ(*sent("openai_responses", kept, false), kept);
}

TEST_F(RequestAsSent, WhatReadersCouldReadInTwoWaysIsWrittenAnew) {
  EXPECT_FALSE(sent("openai_chat", R"({"model":"m","messages":[],"tools":[],"tools":[]})"));
  EXPECT_FALSE(
      sent("openai_chat", "{\"model\":\"m\",\"messages\":[],\"tools\":[],\"to\\u006fls\":[]}"));
  EXPECT_FALSE(sent("openai_chat", R"({"model":"m","messages":[{"a":{"b":1,"b":2}}]})"));
  // Hosted tools in a place where they cannot be parted from others.
  EXPECT_FALSE(
      sent("openai_responses", R"({"model":"m","input":[{"type":"additional_tools","tools":[
{"type":"web_search"}]},{"role":"user","content":"x"}]})"));
}

TEST(JsonText, MembersAndElementsAreFoundWhereTheyStand) {
  std::string text = R"( { "a" : "}\"{" , "b":[1, {"c":[]} ,"]"],"d":true} )";
  auto members = members_of(text);
  ASSERT_TRUE(members);
  ASSERT_THAT(*members, SizeIs(3));
  EXPECT_EQ((*members)[0].value, R"("}\"{")");
  EXPECT_EQ((*members)[1].value, R"([1, {"c":[]} ,"]"])");
  EXPECT_EQ((*members)[2].value, "true");
  auto elements = members_of((*members)[1].value);
  ASSERT_TRUE(elements);
  EXPECT_THAT(*elements, SizeIs(3));
  EXPECT_FALSE(has_member_twice(text));
  for (const char* broken :
       {"", "{", "[1", "{\"a\"", "{\"a\":", "{\"a\":1,}", "7", "{\"a", "[1 2]"})
    EXPECT_FALSE(members_of(broken)) << broken;
}

TEST(PassThroughStreams, AWordIsTakenOutWhereverItIsCut) {
  const std::string text = "a secret b secrsecret c sec";
  for (std::size_t piece = 1; piece < text.size(); ++piece) {
    model::WordFilter filter({"secret"}, "*");
    std::string out;
    for (std::size_t at = 0; at < text.size(); at += piece)
      out += filter.take(text.substr(at, piece));
    EXPECT_EQ(out + filter.finish(), "a * b secr* c sec") << piece;
  }
}

TEST(PassThroughStreams, EventsAreCutBehindTheirEnd) {
  for (const char* end : {"\n", "\r\n", "\r"}) {
    std::string stream;
    for (const char* line : {"data: 1", "", ": c", "", "event: x", "data: 2", "data: 3", ""})
      stream += std::string(line) + end;
    for (std::size_t piece = 1; piece <= stream.size(); ++piece) {
      model::EventCutter cutter(false, 1000);
      std::vector<std::string> events;
      for (std::size_t at = 0; at < stream.size(); at += piece)
        ASSERT_TRUE(cutter.feed(stream.substr(at, piece), events));
      EXPECT_THAT(events, SizeIs(3)) << piece;
      std::string whole;
      for (const auto& event : events) whole += event;
      EXPECT_EQ(whole + cutter.finish(), stream);
    }
  }
  const std::string array = "[{\"a\": \"}]\\\"\"},\r\n{\"b\": [{}]}\n]";
  for (std::size_t piece = 1; piece <= array.size(); ++piece) {
    model::EventCutter cutter(true, 1000);
    std::vector<std::string> events;
    for (std::size_t at = 0; at < array.size(); at += piece)
      ASSERT_TRUE(cutter.feed(array.substr(at, piece), events));
    ASSERT_THAT(events, SizeIs(3)) << piece;
    EXPECT_EQ(model::value_in_event(events[0]), "{\"a\": \"}]\\\"\"}");
    EXPECT_EQ(model::value_in_event(events[1]), "{\"b\": [{}]}");
    EXPECT_EQ(model::value_in_event(events[2]), "");
  }
  model::EventCutter endless(false, 1000);
  std::vector<std::string> events;
  EXPECT_FALSE(endless.feed(std::string(2000, 'x'), events));
}

// Gemini streams as one JSON array where alt=sse is not asked for.
struct ArrayTest : testing::ModelEndpointTest {
  const char* const target = "/v1beta/models/large:streamGenerateContent?key=k";
  const char* const body = R"({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]})";
  void SetUp() override {
    ModelEndpointTest::SetUp();
    options.dialect = model::find_dialect("gemini");
    options.key = "k";
  }
};

TEST_F(ArrayTest, AnAgentThatWantsAnArrayGetsOne) {
  replies = {calls("ls")};
  replies[0].message.content.push_back({model::Part::Kind::text, "Let me see what there is."});
  options.piece_bytes = 4;
  auto answer = send("POST", target, body);
  json array = json::parse(answer.bytes, nullptr, false);
  ASSERT_TRUE(array.is_array()) << answer.bytes;
  EXPECT_GT(array.size(), 3U);
  EXPECT_THAT(answer.bytes, HasSubstr("functionCall"));
  EXPECT_THAT(answer.response->headers.at(0).second, HasSubstr("application/json"));
}

TEST_F(ArrayTest, AnArrayOfTheProviderGoesThroughAsItCame) {
  const std::string array =
      "[{\"candidates\": [{\"content\": {\"role\": \"model\", \"parts\": [{\"text\": "
      "\"Hel\"}]}}],\n"
      "\"x_new\": 1.50}\n,\r\n{\"candidates\": [{\"content\": {\"role\": \"model\", \"parts\": "
      "[{\"text\": \"lo\"}]}, \"finishReason\": \"STOP\"}]}\n]\n";
  CannedReply reply;
  reply.body = array;
  reply.headers = "Content-Type: application/json\r\n";
  LocalHttpServer server({reply});
  model::EndpointConfig config;
  config.dialect = options.dialect;
  config.base_url = server.base_url();
  config.settings.model = "real";
  complete = endpoint_behind_wire(
      std::move(config), std::chrono::steady_clock::now() + std::chrono::seconds(60), options);
  auto answer = send("POST", target, body);
  EXPECT_EQ(answer.bytes, array);
  EXPECT_THAT(server.requests().at(0), HasSubstr("models/real:streamGenerateContent HTTP"));
  EXPECT_EQ(turns().back().at("content")[0].at("text"), "Hello");
}

// An agent with a free-text tool, on a model whose dialect has none.
TEST_F(ArrayTest, BetweenDialectsToolsArriveAsTheAgentDeclaredThem) {
  model::Reply call = calls("x");
  call.message.tool_calls[0].name = "functions__exec";
  call.message.tool_calls[0].arguments = "{\"input\": \"await tools.exec()\"}";
  const model::Dialect& behind = *model::find_dialect("openai_chat");
  for (bool streamed : {false, true}) {
    model::Losses losses;
    CannedReply reply;
    reply.body = streamed ? model::write_stream(behind, {}, call, 7)
                          : behind.write_response({}, call, losses).body;
    LocalHttpServer server({reply});
    model::EndpointConfig config;
    config.dialect = &behind;
    config.base_url = server.base_url();
    config.settings.model = "real";
    endpoint.reset();
    std::filesystem::remove(directory.path() / "exchanges.jsonl");
    options.dialect = model::find_dialect("openai_responses");
    complete = endpoint_behind_wire(
        std::move(config), std::chrono::steady_clock::now() + std::chrono::seconds(60), options);
    json request = json::parse(R"({"model": "large", "input": "Go", "tools": [{"type": "namespace",
        "name": "functions", "tools": [{"type": "custom", "name": "exec"}]}]})");
    request["stream"] = streamed;
    auto answer = send("POST", "/v1/responses?key=k", request.dump());
    auto read = streamed ? model::read_stream(*options.dialect, answer.bytes)
                         : options.dialect->parse_response(answer.bytes);
    ASSERT_TRUE(read) << read.error().line();
    ASSERT_THAT(read->message.tool_calls, SizeIs(1));
    const model::ToolCall& got = read->message.tool_calls[0];
    EXPECT_TRUE(got.custom);
    EXPECT_EQ(got.name, "exec");
    EXPECT_EQ(got.space, "functions");
    EXPECT_EQ(got.arguments, "await tools.exec()");
  }
}

}  // namespace
}  // namespace gyges::gateway
