// A model endpoint on its own, with a model that says what the test says.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "agent_runtime/gateway/model_endpoint.h"
#include "base/files.h"
#include "base/json.h"
#include "base/json_document.h"

namespace gyges::gateway::testing {

using nlohmann::json;

struct ScriptedAnswer final : Answer {
  std::optional<network::OutletResponse> response;
  std::string bytes;
  std::size_t pieces = 0;
  std::size_t leaves_after = SIZE_MAX;  // pieces
  bool head(const network::OutletResponse& said) override {
    response = said;
    return true;
  }
  bool body(std::string_view said) override {
    bytes += said;
    return ++pieces < leaves_after;
  }
  [[nodiscard]] bool gone() const override { return pieces >= leaves_after; }
  void when_gone(std::function<void()> what) override { leaving = std::move(what); }
  std::function<void()> leaving;  // a test calls it as its client's hanging up
};

struct ModelEndpointTest : ::testing::Test {
  TemporaryDirectory directory = std::move(*TemporaryDirectory::create("gyges-endpoint"));
  std::unique_ptr<episode::Transcript> transcript;
  std::unique_ptr<ModelEndpoint> endpoint;
  std::vector<model::ModelRequest> asked;
  std::vector<model::Reply> replies;
  std::vector<model::Delta> live;  // streamed before the reply
  std::optional<model::ModelError> provider_says;
  Complete complete;  // in place of all that
  EndpointOptions options;

  void SetUp() override {
    options.dialect = model::find_dialect("anthropic_messages");
    options.key = "sk-placeholder-123";
    options.models = {"large"};
    options.shell = {{"bash", "command"}};
    options.limits.turns = 5;
    auto made = episode::Transcript::create(directory.path() / "transcript.jsonl");
    ASSERT_TRUE(made);
    transcript = std::make_unique<episode::Transcript>(std::move(*made));
  }
  void open() {
    auto made = ModelEndpoint::create(
        options,
        [this](Ask& ask) -> Result<model::Reply> {
          asked.push_back(ask.request);
          if (provider_says) {
            ask.error = provider_says;
            return fail("ask model", "", "turned away");
          }
          if (complete) return complete(ask);
          for (const model::Delta& delta : live)
            if (!ask.observer(delta)) return fail("ask model", "", "nobody listens");
          if (replies.empty()) return fail("ask model", "", "secret reason");
          model::Reply reply = replies.front();
          replies.erase(replies.begin());
          return reply;
        },
        *transcript, directory.path());
    ASSERT_TRUE(made) << made.error().line();
    endpoint = std::move(*made);
  }
  ScriptedAnswer send(const std::string& method, const std::string& target,
                      const std::string& body = {}, network::HeaderFields headers = {},
                      std::size_t leaves_after = SIZE_MAX) {
    if (!endpoint) open();
    if (headers.empty()) headers = {{"X-Api-Key", options.key}};
    ScriptedAnswer answer;
    answer.leaves_after = leaves_after;
    endpoint->handle({{true, method, "api.example", 443, target, headers}, body}, answer);
    return answer;
  }
  static model::Reply calls(const std::string& command) {
    model::Reply reply;
    reply.message.role = model::Role::assistant;
    model::ToolCall call;
    call.id = "call_" + command;
    call.name = "bash";
    call.arguments = json{{"command", command}}.dump();
    reply.message.tool_calls.push_back(call);
    reply.stop_reason = model::StopReason::tool_use;
    return reply;
  }
  static model::Reply says(const std::string& text) {
    model::Reply reply;
    reply.message.role = model::Role::assistant;
    reply.message.content.push_back({model::Part::Kind::text, text});
    return reply;
  }
  std::vector<json> lines(const char* file, const char* schema) {
    std::vector<json> found;
    std::ifstream in(directory.path() / file);
    for (std::string line; std::getline(in, line);) {
      found.push_back(json::parse(line));
      auto valid = validate_json(found.back(), schema, "line");
      EXPECT_TRUE(valid) << valid.error().line() << "\n" << line;
    }
    return found;
  }
  std::vector<json> exchanges() { return lines("exchanges.jsonl", "exchange"); }
  std::vector<json> turns() { return lines("transcript.jsonl", "transcript"); }
  std::string blob(const json& body) {
    auto text = read_file(directory.path() / "blobs" / body.at("sha256").get<std::string>());
    EXPECT_TRUE(text);
    return text ? *text : "";
  }
};

inline const char* const first = R"({"model": "large", "max_tokens": 9, "system": "Be good.",
  "messages": [{"role": "user", "content": "Hello"}],
  "tools": [{"name": "bash", "input_schema": {"type": "object"}}]})";

}  // namespace gyges::gateway::testing
