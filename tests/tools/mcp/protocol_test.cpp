#include "tools/mcp/protocol.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "tools/mcp/header_value.h"

namespace gyges::mcp {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class Offer final : public Service {
 public:
  explicit Offer(std::size_t count = 2) {
    for (std::size_t i = 0; i < count; ++i) {
      std::string name = "tool_" + std::to_string(i);
      tools_.push_back({name, R"({"name":")" + name + R"(","inputSchema":{"type":"object"}})"});
    }
  }
  [[nodiscard]] std::string capabilities(Revision) const override { return R"({"tools":{}})"; }
  [[nodiscard]] std::string instructions() const override { return "be \"good\""; }
  [[nodiscard]] const std::vector<ToolEntry>& tools() const override { return tools_; }
  Result<std::unique_ptr<Session>> open(const ClientInfo&) override {
    return fail("open", "", "not in this test");
  }
  void mirror(const std::string& header, const std::string& argument) {
    tools_.front().header_arguments.emplace_back(header, argument);
  }

 private:
  std::vector<ToolEntry> tools_;
};

class ProtocolTest : public ::testing::Test {
 protected:
  Step send(const std::string& text, const Headers& headers = {}) {
    auto message = read_message(text);
    if (!message) return protocol_.refuse(message.error());
    return protocol_.handle(peer_, *message, headers);
  }
  json sent(const std::string& text, const Headers& headers = {}) {
    Step step = send(text, headers);
    EXPECT_EQ(step.kind, Step::Kind::reply) << text;
    return json::parse(step.text);
  }
  void begin(const std::string& version = "2025-11-25") {
    json reply = sent(R"({"jsonrpc":"2.0","id":0,"method":"initialize","params":{)"
                      R"("protocolVersion":")" +
                      version + R"(","capabilities":{},"clientInfo":{"name":"c","version":"1"}}})");
    EXPECT_TRUE(reply.contains("result")) << reply;
  }
  static json code_of(const json& reply) { return reply.at("error").at("code"); }

  Offer offer_;
  Protocol protocol_{offer_};
  Peer peer_;
};

json modern(const std::string& method, json params = json::object(), const json& id = 1) {
  params["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2026-07-28";
  params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json::object();
  return {{"jsonrpc", "2.0"}, {"id", id}, {"method", method}, {"params", params}};
}

using Text = std::optional<std::string>;

Headers http_headers(Text version, Text method = {}, Text name = {}) {
  Headers headers;
  headers.http = true;
  headers.version = std::move(version);
  headers.method = std::move(method);
  headers.name = std::move(name);
  return headers;
}

Headers modern_headers(const std::string& method, Text name = {}) {
  return http_headers("2026-07-28", method, std::move(name));
}

TEST_F(ProtocolTest, InitializeGivesTheRevisionAskedForOrTheLatestWithSessions) {
  const std::pair<const char*, const char*> cases[] = {{"2025-06-18", "2025-06-18"},
                                                       {"2025-11-25", "2025-11-25"},
                                                       {"2026-07-28", "2025-11-25"},
                                                       {"2024-11-05", "2025-11-25"},
                                                       {"1999-01-01", "2025-11-25"}};
  for (const auto& [asked, given] : cases) {
    peer_ = {};
    json reply = sent(R"({"jsonrpc":"2.0","id":"a","method":"initialize","params":{)"
                      R"("protocolVersion":")" +
                      std::string(asked) + R"("}})");
    EXPECT_EQ(reply.at("id"), "a");
    EXPECT_EQ(reply.at("result").at("protocolVersion"), given);
    EXPECT_EQ(reply.at("result").at("serverInfo").at("name"), "gyges");
    EXPECT_EQ(reply.at("result").at("instructions"), "be \"good\"");
    EXPECT_FALSE(reply.at("result").contains("resultType"));
  }
}

TEST_F(ProtocolTest, ASessionBeginsOnceAndBeforeAnythingButPing) {
  EXPECT_EQ(code_of(sent(R"({"jsonrpc":"2.0","id":1,"method":"tools/list"})")), -32600);
  EXPECT_EQ(sent(R"({"jsonrpc":"2.0","id":2,"method":"ping"})").at("result"), json::object());
  begin();
  EXPECT_TRUE(sent(R"({"jsonrpc":"2.0","id":3,"method":"tools/list"})").contains("result"));
  EXPECT_EQ(code_of(sent(R"({"jsonrpc":"2.0","id":4,"method":"initialize","params":{)"
                         R"("protocolVersion":"2025-06-18"}})")),
            -32600);
}

TEST_F(ProtocolTest, MalformedMessagesAreRefusedWithTheCodeThatFits) {
  const std::pair<const char*, int> cases[] = {
      {"", -32700},
      {"nonsense", -32700},
      {"{\"jsonrpc\":\"2.0\"", -32700},
      {"\xff\xfe", -32700},
      {"[]", -32600},
      {R"([{"jsonrpc":"2.0","id":1,"method":"ping"}])", -32600},
      {"7", -32600},
      {R"({"id":1,"method":"ping"})", -32600},
      {R"({"jsonrpc":"1.0","id":1,"method":"ping"})", -32600},
      {R"({"jsonrpc":"2.0","id":null,"method":"ping"})", -32600},
      {R"({"jsonrpc":"2.0","id":1.5,"method":"ping"})", -32600},
      {R"({"jsonrpc":"2.0","id":{},"method":"ping"})", -32600},
      {R"({"jsonrpc":"2.0","id":1,"method":7})", -32600},
      {R"({"jsonrpc":"2.0","id":1,"method":""})", -32600},
      {R"({"jsonrpc":"2.0","id":1,"method":"ping","params":[]})", -32602},
      {R"({"jsonrpc":"2.0","id":1,"result":{},"error":{}})", -32600},
      {R"({"jsonrpc":"2.0","id":1})", -32600},
  };
  for (const auto& [text, code] : cases) EXPECT_EQ(code_of(sent(text)), code) << text;
}

TEST_F(ProtocolTest, DepthSizeAndNumberOfValuesAreBounded) {
  std::string deep(100'000, '[');
  EXPECT_EQ(code_of(sent(deep)), -32600);
  std::string deep_inside = R"({"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":)" +
                            std::string(61, '[') + std::string(61, ']') + "}}";
  EXPECT_TRUE(sent(deep_inside).contains("result"));
  deep_inside.insert(deep_inside.find('['), "[[");
  EXPECT_EQ(code_of(sent(deep_inside)), -32600);
  Bounds bounds;
  bounds.message_bytes = 20;
  EXPECT_FALSE(read_message(R"({"jsonrpc":"2.0","id":1,"method":"ping"})", bounds));
  std::string many = R"({"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":[0)";
  for (int i = 0; i < 200'001; ++i) many += ",0";
  EXPECT_EQ(code_of(sent(many + "]}}")), -32600);
  // Brackets and commas in strings are no structure.
  EXPECT_TRUE(sent(R"({"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"\")" +
                   std::string(300'000, '[') + std::string(300'000, ',') + "\"}}")
                  .contains("result"));
}

TEST_F(ProtocolTest, IdsComeBackAsTheyWere) {
  for (const char* id : {"7", "-1", "\"\"", R"("a\"b")", "9007199254740993", "\"\xC3\xA9\""})
    EXPECT_EQ(send(std::string(R"({"jsonrpc":"2.0","id":)") + id + R"(,"method":"ping"})").text,
              std::string(R"({"jsonrpc":"2.0","id":)") + id + R"(,"result":{}})");
}

TEST_F(ProtocolTest, ToolsAreListedInPages) {
  Offer many(120);
  Protocol protocol(many);
  Peer peer;
  peer.initialized = true;
  std::vector<std::string> names;
  json params = json::object();
  for (int page = 0; page < 3; ++page) {
    json request{{"jsonrpc", "2.0"}, {"id", page}, {"method", "tools/list"}, {"params", params}};
    json result =
        json::parse(protocol.handle(peer, *read_message(request.dump()), {}).text).at("result");
    for (const auto& tool : result.at("tools")) names.push_back(tool.at("name"));
    EXPECT_EQ(result.contains("nextCursor"), page < 2);
    if (page < 2) params["cursor"] = result.at("nextCursor");
  }
  EXPECT_EQ(names.size(), 120U);
  EXPECT_EQ(names.back(), "tool_119");
  for (const char* cursor :
       {"\"0\"", "\"120\"", "\"-1\"", "\"5x\"", "\"\"", "5", "\"99999999999999999999999\""}) {
    std::string text = std::string(R"({"jsonrpc":"2.0","id":1,"method":"tools/list","params":{)") +
                       R"("cursor":)" + cursor + "}}";
    EXPECT_EQ(code_of(json::parse(protocol.handle(peer, *read_message(text), {}).text)), -32602)
        << cursor;
  }
}

TEST_F(ProtocolTest, ACallCarriesWhatTheSessionNeeds) {
  begin("2025-06-18");
  Step step = send(R"({"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"tool_1",)"
                   R"("arguments":{"a":1},"_meta":{"progressToken":"t"}}})");
  ASSERT_EQ(step.kind, Step::Kind::call);
  EXPECT_EQ(step.request.id, "5");
  EXPECT_EQ(step.request.progress_token, "\"t\"");
  EXPECT_EQ(step.request.revision, Revision::r2025_06_18);
  EXPECT_EQ(step.client.name, "c");
  EXPECT_EQ(step.request.params->at("arguments").at("a"), 1);
}

TEST_F(ProtocolTest, UnknownToolsAndMethodsAndBadParametersAreErrors) {
  begin();
  auto call = [&](const std::string& params) {
    return code_of(
        sent(R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":)" + params + "}"));
  };
  EXPECT_EQ(call(R"({"name":"nothing"})"), -32602);
  EXPECT_EQ(call(R"({})"), -32602);
  EXPECT_EQ(call(R"({"name":5})"), -32602);
  EXPECT_EQ(call(R"({"name":"tool_1","arguments":[]})"), -32602);
  EXPECT_EQ(code_of(sent(R"({"jsonrpc":"2.0","id":1,"method":"resources/list"})")), -32601);
  EXPECT_EQ(code_of(sent(R"({"jsonrpc":"2.0","id":1,"method":"no/such"})")), -32601);
  EXPECT_EQ(code_of(sent(R"({"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{)"
                         R"("level":"loud"}})")),
            -32602);
}

TEST_F(ProtocolTest, NotificationsAreNeverAnswered) {
  begin();
  for (const char* method : {"notifications/initialized", "notifications/nonsense", "tools/list"})
    EXPECT_EQ(send(R"({"jsonrpc":"2.0","method":")" + std::string(method) + R"("})").kind,
              Step::Kind::none);
  Step cancel = send(R"({"jsonrpc":"2.0","method":"notifications/cancelled","params":{)"
                     R"("requestId":"x","reason":"bored"}})");
  EXPECT_EQ(cancel.kind, Step::Kind::cancel);
  EXPECT_EQ(cancel.text, "\"x\"");
  EXPECT_EQ(send(R"({"jsonrpc":"2.0","method":"notifications/cancelled"})").kind, Step::Kind::none);
}

TEST_F(ProtocolTest, AnswersToOurRequestsAreToldApart) {
  Step good = send(R"({"jsonrpc":"2.0","id":"g1","result":{"action":"accept"}})");
  EXPECT_EQ(good.kind, Step::Kind::answer);
  EXPECT_EQ(good.text, "\"g1\"");
  EXPECT_EQ(good.response.result, R"({"action":"accept"})");
  Step bad = send(R"({"jsonrpc":"2.0","id":"g2","error":{"code":-1,"message":"no"}})");
  ASSERT_TRUE(bad.response.fault);
  EXPECT_EQ(bad.response.fault->message, "no");
  EXPECT_EQ(send(R"({"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":"no"}})").kind,
            Step::Kind::answer);
}

TEST_F(ProtocolTest, DiscoverNeedsNoSession) {
  json result = sent(modern("server/discover").dump()).at("result");
  EXPECT_EQ(result.at("supportedVersions"), json({"2026-07-28", "2025-11-25", "2025-06-18"}));
  EXPECT_EQ(result.at("resultType"), "complete");
  EXPECT_EQ(result.at("_meta").at("io.modelcontextprotocol/serverInfo").at("name"), "gyges");
  EXPECT_TRUE(result.at("capabilities").contains("tools"));
  EXPECT_FALSE(peer_.initialized);
}

TEST_F(ProtocolTest, StatelessListsSayHowLongTheyHold) {
  json result = sent(modern("tools/list").dump()).at("result");
  EXPECT_EQ(result.at("tools").size(), 2U);
  EXPECT_TRUE(result.at("ttlMs").is_number_integer());
  EXPECT_EQ(result.at("cacheScope"), "private");
}

TEST_F(ProtocolTest, StatelessRequestsMustSayWhoAsks) {
  const char* version = "io.modelcontextprotocol/protocolVersion";
  const char* capabilities = "io.modelcontextprotocol/clientCapabilities";
  Headers headers = modern_headers("server/discover");
  for (const char* missing : {version, capabilities}) {
    json request = modern("server/discover");
    request["params"]["_meta"].erase(missing);
    Step step = send(request.dump(), headers);
    EXPECT_EQ(step.http_status, 400);
    EXPECT_EQ(code_of(json::parse(step.text)), -32602);
  }
  json bare = modern("server/discover");
  bare.erase("params");
  EXPECT_EQ(code_of(sent(bare.dump(), headers)), -32602);
  json other = modern("server/discover");
  other["params"]["_meta"][version] = "v999";
  json reply = sent(other.dump(), http_headers("v999", "server/discover"));
  EXPECT_EQ(code_of(reply), -32022);
  EXPECT_EQ(reply.at("error").at("data").at("requested"), "v999");
  EXPECT_EQ(reply.at("error").at("data").at("supported").at(0), "2026-07-28");
}

TEST_F(ProtocolTest, HeadersMustMatchTheBody) {
  std::string call = modern("tools/call", {{"name", "tool_1"}}).dump();
  auto code = [&](const Headers& headers) { return code_of(sent(call, headers)); };
  EXPECT_EQ(code(http_headers({}, "tools/call", "tool_1")), -32020);
  EXPECT_EQ(code(http_headers("2025-11-25", "tools/call", "tool_1")), -32600);  // no session of it
  EXPECT_EQ(code(modern_headers("tools/list", "tool_1")), -32020);
  EXPECT_EQ(code(http_headers("2026-07-28", {}, "tool_1")), -32020);
  EXPECT_EQ(code(modern_headers("tools/call")), -32020);
  EXPECT_EQ(code(modern_headers("tools/call", "tool_0")), -32020);
  EXPECT_EQ(code(modern_headers("tools/call", "=?base64?!!!?=")), -32020);
  EXPECT_EQ(send(call, modern_headers("tools/call", "tool_1")).kind, Step::Kind::call);
  EXPECT_EQ(send(call, modern_headers("tools/call", "=?base64?dG9vbF8x?=")).kind, Step::Kind::call);
  // Over stdio there are none.
  EXPECT_EQ(send(call).kind, Step::Kind::call);
}

TEST_F(ProtocolTest, MirroredArgumentsMustMatchTheirHeader) {
  offer_.mirror("region", "place");
  Headers headers = modern_headers("tools/call", "tool_0");
  auto call = [&](const json& arguments) {
    return send(modern("tools/call", {{"name", "tool_0"}, {"arguments", arguments}}).dump(),
                headers);
  };
  auto refused = [&](const json& arguments) {
    Step step = call(arguments);
    return step.http_status == 400 && code_of(json::parse(step.text)) == -32020;
  };
  EXPECT_EQ(call(json::object()).kind, Step::Kind::call);
  EXPECT_TRUE(refused({{"place", "Hello"}}));
  headers.parameters["region"] = "=?base64?SGVsbG8=?=";
  EXPECT_EQ(call({{"place", "Hello"}}).kind, Step::Kind::call);
  EXPECT_TRUE(refused({{"place", "hello"}}));
  EXPECT_TRUE(refused(json::object()));
  headers.parameters["region"] = "=?base64?SGVsbG8?=";
  EXPECT_TRUE(refused({{"place", "Hello"}}));
}

TEST_F(ProtocolTest, MethodsThatTheStatelessRevisionDroppedAreGone) {
  for (const char* method : {"initialize", "ping", "logging/setLevel", "resources/subscribe"}) {
    Step step = send(modern(method).dump(), modern_headers(method));
    EXPECT_EQ(step.http_status, 404) << method;
    EXPECT_EQ(code_of(json::parse(step.text)), -32601) << method;
  }
}

TEST_F(ProtocolTest, UnknownVersionsInTheHeaderOfASessionAreRefused) {
  begin();
  std::string list = R"({"jsonrpc":"2.0","id":1,"method":"tools/list"})";
  EXPECT_EQ(send(list, http_headers("1999-01-01")).http_status, 400);
  EXPECT_EQ(send(list, http_headers("2025-06-18")).http_status, 400);
  EXPECT_EQ(send(list, http_headers("2025-11-25")).http_status, 200);
  EXPECT_EQ(send(list, http_headers({})).http_status, 200);  // Gemini CLI sends none
}

TEST_F(ProtocolTest, LogLevelIsTheSessionsOrTheRequests) {
  begin();
  EXPECT_EQ(sent(R"({"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{)"
                 R"("level":"error"}})")
                .at("result"),
            json::object());
  std::string call = R"({"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"tool_0"}})";
  EXPECT_EQ(send(call).request.log_level, "error");
  json request = modern("tools/call", {{"name", "tool_0"}});
  EXPECT_EQ(send(request.dump()).request.log_level, "");
  request["params"]["_meta"]["io.modelcontextprotocol/logLevel"] = "debug";
  EXPECT_EQ(send(request.dump()).request.log_level, "debug");
}

TEST_F(ProtocolTest, AnswersBecomeMessagesOfTheirRevision) {
  Request request;
  request.id = "1";
  request.method = "tools/call";
  EXPECT_EQ(protocol_.reply_text(request, {R"({"a":1})", {}, false}),
            R"({"jsonrpc":"2.0","id":1,"result":{"a":1}})");
  request.revision = Revision::r2026_07_28;
  for (const char* result : {"{}", R"({"a":1})"}) {
    json text = json::parse(protocol_.reply_text(request, {result, {}, false}));
    EXPECT_EQ(text.at("result").at("resultType"), "complete");
    EXPECT_EQ(text.at("result").contains("a"), std::string(result) != "{}");
  }
  EXPECT_THAT(protocol_.reply_text(request, {"{}", {}, true}), HasSubstr("input_required"));
  EXPECT_EQ(Protocol::http_status(request, fault_answer(Code::busy, "")), 429);
}

TEST(HeaderValue, Base64GoesThereAndBack) {
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foo"), "Zm9v");
  for (const char* bytes : {"", "a", "ab", "abc", "\xE2\x82\xAC and more"})
    EXPECT_EQ(decode_header_value("=?base64?" + base64(bytes) + "?="), bytes);
  EXPECT_EQ(decode_header_value("plain"), "plain");
  EXPECT_FALSE(decode_header_value("=?base64?Zg?="));
  EXPECT_FALSE(decode_header_value("=?base64?Zh==?="));
  EXPECT_FALSE(decode_header_value("=?base64?Z===?="));
}

}  // namespace
}  // namespace gyges::mcp
