#include "agent_runtime/model/dialect/dialect.h"
#include "base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/agent_runtime/model/random_conversation.h"

namespace gyges::model {
namespace {

using nlohmann::json;
using testing::core_of;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::RandomConversation;

constexpr std::uint64_t seeds = 60;

class EveryDialect : public ::testing::TestWithParam<const Dialect*> {
 protected:
  const Dialect& dialect_ = *GetParam();
  std::string name_{dialect_.name()};
};

std::string name_of(const ::testing::TestParamInfo<const Dialect*>& info) {
  return std::string(info.param->name());
}

INSTANTIATE_TEST_SUITE_P(Dialects, EveryDialect, ::testing::ValuesIn(dialects()), name_of);

std::string listed(const Losses& losses) {
  std::string text;
  for (const auto& loss : losses) text += loss.place + ": " + loss.what + "\n";
  return text;
}

// A short stream with a thought, words and a call: every cut of it can be tried.
std::string short_stream(const Dialect& dialect) {
  ModelRequest request;
  request.model = "m";
  request.stream = request.stream_usage = true;
  Reply reply;
  reply.message.role = Role::assistant;
  reply.message.content.push_back({Part::Kind::reasoning, "hm \xF0\x9F\x98\x80\n"});
  reply.message.content[0].origin = dialect.name();
  reply.message.content.push_back({Part::Kind::text, "So.\r\n\n\xC3\xA9"});
  ToolCall call;
  call.id = "call_1";
  call.name = "bash";
  call.arguments = R"({"a":"data: x"})";
  reply.message.tool_calls.push_back(call);
  reply.stop_reason = StopReason::tool_use;
  reply.usage.output_tokens = 3;
  return write_stream(dialect, request, reply, 8);
}

TEST_P(EveryDialect, IsFoundByItsName) {
  EXPECT_EQ(find_dialect(name_), &dialect_);
  EXPECT_EQ(find_dialect("morse"), nullptr);
  EXPECT_THAT(dialect_.key_header("k-123"), HasSubstr("k-123"));
}

// A conversation of this dialect survives it whole, without a loss.
TEST_P(EveryDialect, RequestsOfItsOwnComeBackAsTheyWere) {
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    ModelRequest request = RandomConversation(seed, name_).request();
    normalise(request.messages);
    Losses losses;
    auto wire = dialect_.write_request(request, losses);
    ASSERT_TRUE(wire) << wire.error().line();
    EXPECT_THAT(losses, IsEmpty()) << listed(losses);
    EXPECT_EQ(dialect_.route(wire->path).kind, Route::Kind::generate);
    auto back = dialect_.parse_request(wire->path, wire->body);
    ASSERT_TRUE(back) << back.error().line() << wire->body;
    EXPECT_EQ(core_of(*back), core_of(request)) << "seed " << seed;
    EXPECT_TRUE(*back == request) << "seed " << seed << "\n" << wire->body;
    Losses again;
    auto twice = dialect_.write_request(*back, again);
    ASSERT_TRUE(twice);
    EXPECT_EQ(twice->body, wire->body);
  }
}

TEST_P(EveryDialect, RepliesOfItsOwnComeBackAsTheyWere) {
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    RandomConversation random(seed, name_);
    ModelRequest request = random.request();
    Reply reply = random.reply();
    Losses losses;
    WireReply wire = dialect_.write_response(request, reply, losses);
    EXPECT_EQ(wire.status, 200);
    EXPECT_THAT(losses, IsEmpty()) << listed(losses);
    auto back = dialect_.parse_response(wire.body);
    ASSERT_TRUE(back) << back.error().line();
    EXPECT_NE(back->id, "");
    reply.id = back->id;
    reply.created = back->created;
    EXPECT_TRUE(*back == reply) << "seed " << seed << "\n" << wire.body;
  }
}

// Whatever the sizes of the pieces, in which the provider writes and in which the bytes arrive.
TEST_P(EveryDialect, StreamsComeBackAsTheyWere) {
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    RandomConversation random(seed, name_);
    ModelRequest request = random.request();
    request.stream = request.stream_usage = true;
    Reply reply = random.reply();
    std::string bytes = write_stream(dialect_, request, reply, random.below(12));
    auto whole = read_stream(dialect_, bytes);
    ASSERT_TRUE(whole) << whole.error().line() << "\n" << bytes;
    EXPECT_NE(whole->id, "");
    reply.id = whole->id;
    reply.created = whole->created;
    EXPECT_TRUE(*whole == reply) << "seed " << seed << "\n" << bytes;
  }
}

TEST_P(EveryDialect, StreamsAreReadTheSameCutAtEveryByte) {
  std::string bytes = short_stream(dialect_);
  auto whole = read_stream(dialect_, bytes);
  ASSERT_TRUE(whole) << whole.error().line();
  auto single = dialect_.stream_reader({});
  std::vector<Delta> all;
  for (const char& byte : bytes) ASSERT_TRUE(single->feed(std::string_view(&byte, 1), all));
  ASSERT_TRUE(single->finish(all));
  ReplyBuilder of_bytes;
  for (const auto& delta : all) ASSERT_TRUE(of_bytes.add(delta));
  EXPECT_TRUE(std::move(of_bytes).take() == *whole);
  for (std::size_t cut = 0; cut <= bytes.size(); cut += bytes.size() / 400 + 1) {
    auto reader = dialect_.stream_reader({});
    std::vector<Delta> deltas;
    ASSERT_TRUE(reader->feed(std::string_view(bytes).substr(0, cut), deltas)) << cut;
    ASSERT_TRUE(reader->feed(std::string_view(bytes).substr(cut), deltas)) << cut;
    ASSERT_TRUE(reader->finish(deltas)) << cut;
    ReplyBuilder builder;
    for (const auto& delta : deltas) ASSERT_TRUE(builder.add(delta)) << cut;
    ASSERT_TRUE(std::move(builder).take() == *whole) << cut;
  }
}

TEST_P(EveryDialect, AStreamThatBreaksOffIsAnErrorOrWhole) {
  std::string bytes = short_stream(dialect_);
  auto whole = read_stream(dialect_, bytes);
  ASSERT_TRUE(whole);
  std::size_t errors = 0;
  std::size_t tried = 0;
  for (std::size_t cut = 0; cut < bytes.size(); cut += bytes.size() / 400 + 1) {
    ++tried;
    auto part = read_stream(dialect_, bytes.substr(0, cut));
    if (!part) {
      ++errors;
      continue;
    }
    EXPECT_EQ(core_of({part->message}), core_of({whole->message})) << cut;
  }
  EXPECT_GT(errors, tried / 2);
}

TEST_P(EveryDialect, ErrorsComeBackWithTheirKind) {
  using Kind = ModelError::Kind;
  for (Kind kind :
       {Kind::invalid_request, Kind::authentication, Kind::permission, Kind::not_found,
        Kind::too_large, Kind::rate_limit, Kind::overloaded, Kind::timeout, Kind::server}) {
    WireReply wire = dialect_.write_error({kind, status_of(kind), "no \x1b[1mway", ""});
    EXPECT_GE(wire.status, 400);
    ModelError back = dialect_.parse_error(wire.status, wire.body);
    EXPECT_EQ(back.kind, kind) << wire.body;
    EXPECT_EQ(back.message, "no \x1b[1mway");
  }
  EXPECT_EQ(dialect_.parse_error(502, "<html>bad gateway</html>").message,
            "<html>bad gateway</html>");
  EXPECT_EQ(dialect_.parse_error(502, "<html>").kind, Kind::server);
  EXPECT_EQ(dialect_.parse_error(429, "[1]").kind, Kind::rate_limit);
}

TEST_P(EveryDialect, HalfACharacterIsNoReasonToLoseAReply) {
  Reply reply;
  reply.message.role = Role::assistant;
  reply.message.content.push_back({Part::Kind::text, "abMARKcd"});
  reply.stop_reason = StopReason::end;
  for (const auto& [escaped, read] : std::vector<std::pair<std::string, std::string>>{
           {"\\ud83d", "\xEF\xBF\xBD"},
           {"\\ude00\\ud83d", "\xEF\xBF\xBD\xEF\xBF\xBD"},
           {"\\ud83d\\ude00\\uDE00", "\xF0\x9F\x98\x80\xEF\xBF\xBD"},
           {"\\\\ud83d", "\\ud83d"},
           {"\xF0\x9F\x98", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
           {"\x80", "\xEF\xBF\xBD"},
           {"\xE2\x82\\ud83d", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"}}) {
    auto with = [&](std::string text) {
      for (auto at = text.find("MARK"); at != std::string::npos; at = text.find("MARK"))
        text.replace(at, 4, escaped);
      return text;
    };
    Losses losses;
    auto whole = dialect_.parse_response(with(dialect_.write_response({}, reply, losses).body));
    ASSERT_TRUE(whole) << whole.error().line();
    EXPECT_EQ(text_of(whole->message), "ab" + read + "cd");
    auto streamed = read_stream(dialect_, with(write_stream(dialect_, {}, reply)));
    ASSERT_TRUE(streamed) << streamed.error().line();
    EXPECT_EQ(text_of(streamed->message), "ab" + read + "cd");
  }
  Losses losses;
  std::string body = dialect_.write_response({}, reply, losses).body;
  EXPECT_FALSE(dialect_.parse_response(body.substr(0, body.size() / 2) + "\\ud83d"));
}

TEST_P(EveryDialect, AConversationThatIsTooLongIsSaidInTheAgentsOwnWords) {
  using Kind = ModelError::Kind;
  WireReply wire =
      dialect_.write_error({Kind::context_length, 400, "maximum context length is 8", ""});
  EXPECT_EQ(wire.status, 400);
  ModelError back = dialect_.parse_error(wire.status, wire.body);
  EXPECT_EQ(back.kind, Kind::context_length) << wire.body;
  EXPECT_THAT(back.message, ::testing::EndsWith("maximum context length is 8"));
  // What was said already is not said twice.
  WireReply again = dialect_.write_error(back);
  EXPECT_EQ(dialect_.parse_error(again.status, again.body).message, back.message);
}

// As the vendors and the servers that are compatible with them word it.
TEST(ErrorBodies, AContextThatOverflowsIsKnownInEachDialect) {
  using Kind = ModelError::Kind;
  struct Case {
    const char* dialect;
    int status;
    const char* body;
    Kind kind;
  };
  for (
      const Case& now : {
          Case{
              "openai_chat", 400,
              R"({"error":{"message":"This model's maximum context length is 128000 tokens. However, your messages resulted in 137496 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}})",
              Kind::context_length},
          // vLLM
          Case{
              "openai_chat", 400,
              R"({"object":"error","message":"This model's maximum context length is 16384 tokens. However, you requested 122946 tokens (112946 in the messages, 10000 in the completion).","type":"BadRequestError","param":null,"code":400})",
              Kind::context_length},
          Case{
              "openai_chat", 400,
              R"({"error":{"message":"The decoder prompt (length 40100) is longer than the maximum model length of 32768.","type":"BadRequestError","code":400}})",
              Kind::context_length},
          // llama.cpp, its two ways, and before it had a word
          Case{
              "openai_chat", 400,
              R"({"error":{"code":400,"message":"request (4390 tokens) exceeds the available context size (4096 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":4390,"n_ctx":4096}})",
              Kind::context_length},
          Case{
              "openai_chat", 500,
              R"({"error":{"code":500,"message":"Context size has been exceeded.","type":"server_error"}})",
              Kind::context_length},
          Case{
              "openai_responses", 400,
              R"({"error":{"message":"Your input exceeds the context window of this model. Please adjust your input and try again.","type":"invalid_request_error","param":"input","code":"context_length_exceeded"}})",
              Kind::context_length},
          Case{
              "anthropic_messages", 400,
              R"({"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 208310 tokens > 200000 maximum"}})",
              Kind::context_length},
          Case{
              "anthropic_messages", 400,
              R"({"type":"error","error":{"type":"invalid_request_error","message":"input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000, decrease input length or `max_tokens` and try again"}})",
              Kind::context_length},
          Case{
              "anthropic_messages", 413,
              R"({"type":"error","error":{"type":"request_too_large","message":"Request exceeds the maximum size"}})",
              Kind::too_large},
          Case{
              "gemini", 400,
              R"([{"error":{"code":400,"message":"The input token count (2845475) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}])",
              Kind::context_length},
          // Neighbours that are none.
          Case{
              "openai_chat", 429,
              R"({"error":{"message":"Rate limit reached: maximum context length of your tier","type":"tokens","code":"rate_limit_exceeded"}})",
              Kind::rate_limit},
          Case{
              "openai_chat", 400,
              R"({"error":{"message":"Invalid value for max_tokens","type":"invalid_request_error","code":"invalid_value"}})",
              Kind::invalid_request},
          Case{
              "anthropic_messages", 400,
              R"({"type":"error","error":{"type":"invalid_request_error","message":"messages: text content blocks must be non-empty"}})",
              Kind::invalid_request},
          Case{
              "gemini", 400,
              R"({"error":{"code":400,"message":"Invalid JSON payload received.","status":"INVALID_ARGUMENT"}})",
              Kind::invalid_request},
      }) {
    ModelError error = find_dialect(now.dialect)->parse_error(now.status, now.body);
    EXPECT_EQ(error.kind, now.kind) << now.dialect << " " << now.body;
  }
}

TEST_P(EveryDialect, AnErrorInTheMidstOfAStreamEndsIt) {
  RandomConversation random(5, name_);
  ModelRequest request = random.request();
  auto writer = dialect_.stream_writer(request);
  auto deltas = deltas_of(random.reply(), 4);
  std::string bytes = writer->write(deltas[0]) + writer->write(deltas[1]);
  Delta error;
  error.kind = Delta::Kind::error;
  error.error = {ModelError::Kind::overloaded, 529, "too many", ""};
  bytes += writer->write(error);
  auto reply = read_stream(dialect_, bytes);
  ASSERT_FALSE(reply);
  EXPECT_THAT(reply.error().line(), HasSubstr("too many"));
}

// Everything that arrives may be malformed: errors, never a crash.
TEST_P(EveryDialect, MalformedBodiesAreErrors) {
  std::string deep(100'000, '[');
  for (const std::string& body :
       {std::string(), std::string("null"), std::string("[]"), std::string("{}"), deep,
        std::string(R"({"model":"m","messages":7,"contents":7,"input":7})"),
        std::string(R"({"model":"m","messages":[7],"contents":[7],"input":[7]})"),
        std::string("{\"model\":\"\xff\"}"), std::string(R"({"model":"m","model":"m"})")}) {
    std::string path =
        dialect_.write_request(RandomConversation(1, name_).request(), *std::make_unique<Losses>())
            ->path;
    EXPECT_FALSE(dialect_.parse_request(path, body)) << body.substr(0, 80);
  }
  for (const std::string& body :
       {std::string("<html>"), std::string("{}"), std::string("[]"), deep,
        std::string(R"({"content":7,"choices":7,"candidates":7,"output":7})"),
        std::string(R"({"content":[7],"choices":[7],"candidates":[7],"output":[7]})")}) {
    EXPECT_FALSE(dialect_.parse_response(body)) << body.substr(0, 80);
    EXPECT_FALSE(read_stream(dialect_, "data: " + body + "\n\n")) << body.substr(0, 80);
  }
}

// Every prefix and every single changed byte of a good body: an error or a value, nothing else.
TEST_P(EveryDialect, DamagedBodiesDoNoHarm) {
  RandomConversation random(11, name_);
  ModelRequest request = random.request();
  Losses losses;
  auto wire = dialect_.write_request(request, losses);
  ASSERT_TRUE(wire);
  Reply reply = random.reply();
  std::string response = dialect_.write_response(request, reply, losses).body;
  std::string stream = write_stream(dialect_, request, reply, 9);
  for (std::size_t i = 0; i < 400; ++i) {
    auto damage = [&](std::string text) {
      text[random.below(text.size())] = static_cast<char>(random.below(256));
      return text;
    };
    (void)dialect_.parse_request(wire->path, damage(wire->body));
    (void)dialect_.parse_response(damage(response));
    (void)dialect_.parse_error(500, damage(response));
    (void)read_stream(dialect_, damage(stream));
  }
}

TEST_P(EveryDialect, GiganticRepliesAreBounded) {
  ModelRequest request = RandomConversation(1, name_).request();
  StreamLimits small{1000, 20'000};
  std::string line = "data: {\"x\":\"" + std::string(5000, 'a');
  auto too_long = read_stream(dialect_, line, small);
  ASSERT_FALSE(too_long);
  EXPECT_THAT(too_long.error().line(), HasSubstr("larger than 1000 bytes"));
  Reply reply;
  reply.message.role = Role::assistant;
  reply.message.content.push_back({Part::Kind::text, std::string(20'000, 'b')});
  auto endless = read_stream(dialect_, write_stream(dialect_, request, reply, 10), small);
  ASSERT_FALSE(endless);
  EXPECT_THAT(endless.error().line(), HasSubstr("larger than 20000 bytes"));
}

TEST_P(EveryDialect, TenThousandCallsAreRead) {
  ModelRequest request = RandomConversation(1, name_).request();
  Reply reply;
  reply.message.role = Role::assistant;
  reply.stop_reason = StopReason::tool_use;
  for (int i = 0; i < 10'000; ++i) {
    ToolCall call;
    call.id = "call_" + std::to_string(i);
    call.name = "bash";
    call.arguments = "{}";
    reply.message.tool_calls.push_back(std::move(call));
  }
  Losses losses;
  auto back = dialect_.parse_response(dialect_.write_response(request, reply, losses).body);
  ASSERT_TRUE(back) << back.error().line();
  EXPECT_EQ(back->message.tool_calls.size(), 10'000U);
  reply.message.tool_calls.resize(2000);
  auto streamed = read_stream(dialect_, write_stream(dialect_, request, reply));
  ASSERT_TRUE(streamed) << streamed.error().line();
  EXPECT_EQ(core_of({streamed->message}), core_of({reply.message}));
}

// Arguments that are no JSON object, in whole replies and in streams.
TEST_P(EveryDialect, UnusableArgumentsAreAFaultOrAnObject) {
  ModelRequest request = RandomConversation(1, name_).request();
  for (const char* arguments : {"{oops", "[1]", "\"text\"", "{\"a\":1,\"a\":2}"}) {
    Reply reply;
    reply.message.role = Role::assistant;
    ToolCall call;
    call.id = "call_1";
    call.name = "no such tool";
    set_arguments(call, arguments);
    EXPECT_NE(call.fault, "");
    reply.message.tool_calls.push_back(call);
    Losses losses;
    auto back = dialect_.parse_response(dialect_.write_response(request, reply, losses).body);
    ASSERT_TRUE(back) << back.error().line();
    ASSERT_EQ(back->message.tool_calls.size(), 1U);
    bool kept = back->message.tool_calls[0].fault == call.fault;
    EXPECT_TRUE(kept || !losses.empty()) << arguments;
    EXPECT_THAT(back->message.tool_calls[0].arguments,
                HasSubstr(kept ? std::string(arguments) : "invalid_arguments"));
  }
}

// From every dialect to every other: nothing of the core is lost, and what is lost is listed.
TEST_P(EveryDialect, ConversationsOfOtherDialectsKeepTheirCore) {
  for (const Dialect* other : dialects()) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      RandomConversation random(seed, std::string(other->name()));
      ModelRequest request = random.request();
      Losses losses;
      auto front = other->parse_request(other->write_request(request, losses)->path,
                                        other->write_request(request, losses)->body);
      ASSERT_TRUE(front) << front.error().line();
      losses.clear();
      auto wire = dialect_.write_request(*front, losses);
      ASSERT_TRUE(wire) << wire.error().line();
      auto behind = dialect_.parse_request(wire->path, wire->body);
      ASSERT_TRUE(behind) << behind.error().line();
      EXPECT_EQ(core_of(*behind), core_of(*front)) << other->name() << " " << seed;
      bool thought = false;
      for (const auto& message : front->messages)
        for (const auto& part : message.content)
          thought = thought || part.kind == Part::Kind::reasoning;
      if (thought && other->name() != name_) {
        EXPECT_THAT(losses, Not(IsEmpty())) << "a loss that is not listed";
      }
    }
  }
}

TEST_P(EveryDialect, RepliesOfOtherDialectsKeepTheirCore) {
  for (const Dialect* other : dialects()) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      RandomConversation random(seed, std::string(other->name()));
      ModelRequest request = random.request();
      request.stream = request.stream_usage = true;
      Reply reply = random.reply();
      Losses losses;
      auto behind = read_stream(*other, write_stream(*other, request, reply, 7));
      ASSERT_TRUE(behind) << behind.error().line();
      auto whole = dialect_.parse_response(dialect_.write_response(request, *behind, losses).body);
      ASSERT_TRUE(whole) << whole.error().line();
      EXPECT_EQ(core_of({whole->message}), core_of({reply.message}));
      EXPECT_EQ(whole->stop_reason, reply.stop_reason);
      EXPECT_EQ(whole->usage, reply.usage);
      auto streamed = read_stream(dialect_, write_stream(dialect_, request, *behind, 3));
      ASSERT_TRUE(streamed) << streamed.error().line();
      EXPECT_EQ(core_of({streamed->message}), core_of({reply.message}));
    }
  }
}

TEST_P(EveryDialect, AnswersListsOfModels) {
  WireReply models = dialect_.write_models({"one", "two"});
  EXPECT_EQ(models.status, 200);
  EXPECT_THAT(models.body, HasSubstr("one"));
  EXPECT_TRUE(json::accept(models.body));
  EXPECT_TRUE(json::accept(dialect_.write_count(7).body));
}

}  // namespace
}  // namespace gyges::model
