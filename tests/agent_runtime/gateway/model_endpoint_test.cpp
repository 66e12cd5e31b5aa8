#include "agent_runtime/gateway/model_endpoint.h"

#include <poll.h>

#include "agent_runtime/gateway/request_as_sent.h"
#include "base/hash.h"
#include "tests/agent_runtime/gateway/endpoint_fixture.h"

namespace gyges::gateway {
namespace {

using nlohmann::json;
using testing::first;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ModelEndpointTest;
using ::testing::SizeIs;

TEST_F(ModelEndpointTest, TurnsAreWrittenOnceAndBodiesKeptWhole) {
  replies = {calls("ls"), says("There.")};
  auto one = send("POST", "/v1/messages?beta=true", first);
  ASSERT_TRUE(one.response);
  EXPECT_EQ(one.response->status, 200);
  json reply = json::parse(one.bytes);
  EXPECT_EQ(reply.at("content")[0].at("type"), "tool_use");
  json second = json::parse(first);
  second["messages"].push_back({{"role", "assistant"}, {"content", reply.at("content")}});
  second["messages"].push_back({{"role", "user"},
                                {"content",
                                 {{{"type", "tool_result"},
                                   {"tool_use_id", reply.at("content")[0].at("id")},
                                   {"content", "a.txt"}}}}});
  send("POST", "/v1/messages", second.dump());
  auto written = turns();
  std::vector<std::string> shape;
  for (const auto& line : written)
    shape.push_back(line.value("role", line.at("type").get<std::string>()));
  EXPECT_EQ(shape,
            (std::vector<std::string>{"system", "user", "assistant", "tool_requested",
                                      "tool_decided", "tool", "tool_executed", "assistant"}));
  EXPECT_EQ(written[4].at("approver"), "auto");
  EXPECT_EQ(written[5].at("tool_call"), 1);
  EXPECT_EQ(written[6].at("output"), "a.txt");
  auto records = exchanges();
  ASSERT_THAT(records, SizeIs(2));
  EXPECT_EQ(records[0].at("kind"), "generate");
  EXPECT_EQ(records[1].at("thread"), 1);
  EXPECT_EQ(records[1].at("turn"), 2);
  EXPECT_EQ(blob(records[0].at("request")), first);
  EXPECT_EQ(blob(records[0].at("answer")), one.bytes);
  auto end = endpoint->end();
  EXPECT_EQ(end.last_words, "There.");
  ASSERT_THAT(end.calls, SizeIs(1));
  EXPECT_THAT(end.calls[0].commands, ::testing::ElementsAre("ls"));
  EXPECT_NE(end.calls[0].answered_ns, 0U);
}

TEST_F(ModelEndpointTest, AStreamComesInPiecesAndIsTheSameReply) {
  replies = {says("One two three four five six seven eight nine ten eleven twelve thirteen.")};
  json request = json::parse(first);
  request["stream"] = true;
  auto answer = send("POST", "/v1/messages", request.dump());
  EXPECT_GT(answer.pieces, 3U);
  auto read = model::read_stream(*options.dialect, answer.bytes);
  ASSERT_TRUE(read) << read.error().line();
  EXPECT_THAT(model::text_of(read->message), HasSubstr("six seven"));
  EXPECT_TRUE(exchanges()[0].at("streamed"));
}

TEST_F(ModelEndpointTest, WhatAModelStreamsGoesOutAtOnceAndItsEndAfterTheRecord) {
  replies = {says("Hello you")};
  live = model::deltas_of(replies[0], 6);
  json request = json::parse(first);
  request["stream"] = true;
  auto answer = send("POST", "/v1/messages", request.dump());
  auto read = model::read_stream(*options.dialect, answer.bytes);
  ASSERT_TRUE(read) << read.error().line();
  EXPECT_EQ(model::text_of(read->message), "Hello you");
  EXPECT_EQ(turns().back().at("role"), "assistant");
}

TEST_F(ModelEndpointTest, AStreamThatBreaksOffIsBrokenOffForTheAgent) {
  live = model::deltas_of(says("Hello you"), 6);
  live.resize(3);
  json request = json::parse(first);
  request["stream"] = true;
  send("POST", "/v1/messages", request.dump());
  EXPECT_TRUE(exchanges()[0].at("broken"));
  EXPECT_TRUE(exchanges()[0].contains("fault"));
}

TEST_F(ModelEndpointTest, WhatTheProviderSaysReachesTheAgentInItsOwnDialect) {
  provider_says = model::ModelError{model::ModelError::Kind::rate_limit, 429, "slow down", ""};
  auto answer = send("POST", "/v1/messages", first);
  EXPECT_EQ(answer.response->status, 429);
  EXPECT_EQ(json::parse(answer.bytes).at("error").at("type"), "rate_limit_error");
}

TEST_F(ModelEndpointTest, OtherConversationsAreThreadsOfTheirOwn) {
  replies = {says("Title"), says("One"), says("Two")};
  json title = json::parse(R"({"model": "small", "max_tokens": 9,
    "messages": [{"role": "user", "content": "Name this"}]})");
  send("POST", "/v1/messages", title.dump());
  send("POST", "/v1/messages", first);
  json more = json::parse(first);
  more["messages"].push_back({{"role", "assistant"}, {"content", "One"}});
  more["messages"].push_back({{"role", "user"}, {"content", "Go on"}});
  send("POST", "/v1/messages", more.dump());
  std::vector<int> threads;
  for (const auto& record : exchanges()) threads.push_back(record.at("thread").get<int>());
  EXPECT_EQ(threads, (std::vector<int>{1, 2, 2}));
}

TEST_F(ModelEndpointTest, EveryDialectIsServedByItsPath) {
  for (const char* path :
       {"/v1/chat/completions", "/v1/responses", "/v1beta/models/large:generateContent"}) {
    auto answer = send("POST", path, "{\"messages\": 7, \"input\": 7, \"contents\": 7}");
    EXPECT_EQ(answer.response->status, 400) << path;
    EXPECT_TRUE(json::parse(answer.bytes).contains("error")) << path;
  }
  std::vector<std::string> dialects;
  for (const auto& record : exchanges()) dialects.push_back(record.at("dialect"));
  EXPECT_EQ(dialects, (std::vector<std::string>{"openai_chat", "openai_responses", "gemini"}));
}

TEST_F(ModelEndpointTest, ProbesCountsListsAndUpgradesHaveTheirAnswers) {
  EXPECT_EQ(send("HEAD", "/").response->status, 200);
  EXPECT_EQ(send("HEAD", "/api/hello").response->status, 404);
  auto models = send("GET", "/v1/models");
  EXPECT_EQ(json::parse(models.bytes).at("data")[0].at("id"), "large");
  auto count = send("POST", "/v1/messages/count_tokens", first);
  EXPECT_GT(json::parse(count.bytes).at("input_tokens"), 0);
  auto socket =
      send("GET", "/v1/responses", "", {{"X-Api-Key", options.key}, {"Upgrade", "WebSocket"}});
  EXPECT_EQ(socket.response->status, 426);
  auto unknown = send("POST", "/v1/nothing");
  EXPECT_EQ(unknown.response->status, 404);
  EXPECT_EQ(json::parse(unknown.bytes).at("type"), "error") << "the vendor's own form";
  EXPECT_EQ(send("DELETE", "/v1/messages").response->status, 405);
  std::vector<std::string> kinds;
  for (const auto& record : exchanges()) kinds.push_back(record.at("kind"));
  EXPECT_EQ(kinds, (std::vector<std::string>{"probe", "probe", "models", "count_tokens", "upgrade",
                                             "unknown", "unknown"}));
  EXPECT_THAT(asked, IsEmpty());
}

TEST_F(ModelEndpointTest, OnlyThePlaceholderOpensTheDoor) {
  replies = {says("a"), says("b"), says("c")};
  EXPECT_EQ(send("POST", "/v1/messages", first, {{"X-Api-Key", "guess"}}).response->status, 401);
  EXPECT_EQ(send("POST", "/v1/messages", first, {{"Accept", "*/*"}}).response->status, 401);
  EXPECT_THAT(asked, IsEmpty());
  EXPECT_EQ(send("POST", "/v1/messages", first, {{"authorization", "Bearer " + options.key}})
                .response->status,
            200);
  EXPECT_EQ(exchanges()[0].at("kind"), "unauthorised");
}

TEST_F(ModelEndpointTest, ToolsOfTheProviderAreRemovedAndRecorded) {
  replies = {says("a")};
  json request = json::parse(first);
  request["tools"].push_back({{"type", "web_search_20250305"}, {"name", "web_search"}});
  request["mcp_servers"] = {{{"type", "url"}, {"url", "https://evil.example"}, {"name", "x"}}};
  send("POST", "/v1/messages", request.dump());
  ASSERT_THAT(asked, SizeIs(1));
  EXPECT_THAT(asked[0].tools, SizeIs(1));
  EXPECT_THAT(asked[0].extra, ::testing::Not(HasSubstr("evil")));
  json hosted = exchanges()[0].at("hosted_tools");
  EXPECT_TRUE(hosted.at("removed"));
  EXPECT_THAT(hosted.at("names").dump(), HasSubstr("mcp_servers"));
  EXPECT_EQ(hosted.at("names").size(), 2U);
}

TEST_F(ModelEndpointTest, ToolsOfTheProviderCanBeKeptAndAreRecordedStill) {
  options.remove_hosted_tools = false;
  replies = {says("a")};
  json request = json::parse(first);
  request["tools"].push_back({{"type", "web_search_20250305"}, {"name", "web_search"}});
  send("POST", "/v1/messages", request.dump());
  EXPECT_THAT(asked[0].tools, SizeIs(2));
  EXPECT_FALSE(exchanges()[0].at("hosted_tools").at("removed"));
  EXPECT_EQ(exchanges()[0].at("hosted_tools").at("names").size(), 1U);
}

TEST_F(ModelEndpointTest, TheProviderIsNotSentForContentElsewhere) {
  const json elsewhere{{"type", "url"}, {"url", "https://192.0.2.7/?held=1"}};
  for (const json& part : {json{{"type", "image"}, {"source", elsewhere}},
                           json{{"type", "document"}, {"source", elsewhere}},
                           json{{"type", "tool_result"},
                                {"tool_use_id", "a"},
                                {"content", {{{"type", "image"}, {"source", elsewhere}}}}}}) {
    json request = json::parse(first);
    request["messages"].push_back({{"role", "user"}, {"content", {part}}});
    EXPECT_EQ(send("POST", "/v1/messages", request.dump()).response->status, 400) << part;
  }
  EXPECT_THAT(asked, IsEmpty());
  EXPECT_THAT(exchanges()[0].dump(), HasSubstr("192.0.2.7"));
}

TEST(AddressesToFetch, AreThoseOfContentAndNoOthers) {
  for (const char* body :
       {R"([{"image_url":{"url":"https://192.0.2.7/"}}])", R"([{"image_url":"HTTP://192.0.2.7/"}])",
        R"({"input":[{"type":"input_file","file_url":"//192.0.2.7/"}]})",
        R"({"contents":[{"parts":[{"fileData":{"fileUri":"gs://x"}}]}]})",
        R"([{"image\u005furl":{"url":"https://192.0.2.7/"}}])"})
    EXPECT_EQ(addresses_to_fetch(body).size(), 1U) << body;
  for (const char* body : {R"([{"image_url":{"url":"Data:image/png;base64,AA=="}}])",
                           R"({"type":"tool_use","input":{"image_url":"https://192.0.2.7/"}})",
                           R"({"functionCall":{"args":{"source":{"url":"https://192.0.2.7/"}}}})",
                           R"({"tools":[{"image_url":"https://192.0.2.7/"}],"source":"text"})",
                           R"({"source":{"type":"base64","data":"AA=="}})", "no json",
                           R"({"text":"{\"image_url\":\"https://192.0.2.7/\"}"})"})
    EXPECT_TRUE(addresses_to_fetch(body).empty()) << body;
  EXPECT_EQ(addresses_to_fetch(std::string(200000, '[') + std::string(200000, ']')).size(), 0U);
}

TEST_F(ModelEndpointTest, TheLastTurnEndsTheRun) {
  options.limits.turns = 1;
  replies = {says("a"), says("b")};
  send("POST", "/v1/messages", first);
  pollfd stop{endpoint->stop_fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&stop, 1, 0), 0);
  auto refused = send("POST", "/v1/messages", first);
  EXPECT_EQ(refused.response->status, 529);
  EXPECT_EQ(::poll(&stop, 1, 0), 1);
  EXPECT_EQ(endpoint->end().limit.value().kind, "turn_limit");
}

TEST_F(ModelEndpointTest, WhyTheModelFailedIsForTheRecordAndNotForTheAgent) {
  auto answer = send("POST", "/v1/messages", first);
  EXPECT_EQ(answer.response->status, 529);
  EXPECT_THAT(answer.bytes, ::testing::Not(HasSubstr("secret")));
  EXPECT_THAT(exchanges()[0].at("fault").get<std::string>(), HasSubstr("secret reason"));
  EXPECT_TRUE(endpoint->end().model_failure);
}

TEST_F(ModelEndpointTest, AnAgentThatLeavesInTheMiddleIsOnRecord) {
  replies = {says(std::string(4000, 'x'))};
  json request = json::parse(first);
  request["stream"] = true;
  send("POST", "/v1/messages", request.dump(), {}, 3);
  EXPECT_TRUE(exchanges()[0].at("broken"));
}

TEST_F(ModelEndpointTest, BodiesThatWouldTakeTooMuchRoomAreTooLarge) {
  std::string body = R"({"model": "m", "max_tokens": 1, "messages": [)";
  for (int i = 0; i < 300'000; ++i) body += R"({"role": "user", "content": [{}]},)";
  auto answer = send("POST", "/v1/messages", body + "{}]}");
  EXPECT_EQ(answer.response->status, 413);
  EXPECT_THAT(asked, IsEmpty());
}

TEST_F(ModelEndpointTest, HostileBodiesAreAnsweredAndKept) {
  const std::string bodies[] = {"",
                                "{",
                                "null",
                                "[[[[",
                                std::string(100000, '['),
                                "{\"messages\": [{\"role\": 1}]}",
                                std::string("\0\xff\x1b[2J", 6),
                                std::string(1U << 20U, 'A')};
  for (const std::string& body : bodies) {
    auto answer = send("POST", "/v1/messages", body);
    ASSERT_TRUE(answer.response);
    EXPECT_EQ(answer.response->status, 400) << body.substr(0, 20);
  }
  auto records = exchanges();
  ASSERT_THAT(records, SizeIs(std::size(bodies)));
  for (std::size_t i = 0; i < std::size(bodies); ++i)
    EXPECT_EQ(blob(records[i].at("request")), bodies[i]);
  EXPECT_THAT(asked, IsEmpty());
}

}  // namespace
}  // namespace gyges::gateway
