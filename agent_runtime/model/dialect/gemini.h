// Gemini (POST /v1beta/models/MODEL:generateContent, :streamGenerateContent?alt=sse, :countTokens).
// Internal to this folder.
#pragma once

#include "agent_runtime/model/dialect/dialect.h"
#include "agent_runtime/model/dialect/wire.h"

namespace gyges::model::wire {

class Gemini final : public Dialect {
 public:
  static constexpr const char* dialect_name = "gemini";

  [[nodiscard]] std::string_view name() const override { return dialect_name; }
  [[nodiscard]] std::string key_header(std::string_view key) const override;
  [[nodiscard]] Route route(std::string_view path) const override;
  [[nodiscard]] Result<ModelRequest> parse_request(std::string_view path,
                                                   std::string_view body) const override;
  Result<WireRequest> write_request(const ModelRequest& request, Losses& losses) const override;

  WireReply write_response(const ModelRequest& request, const Reply& reply,
                           Losses& losses) const override;
  [[nodiscard]] Result<Reply> parse_response(std::string_view body) const override;
  [[nodiscard]] std::unique_ptr<StreamWriter> stream_writer(
      const ModelRequest& request) const override;
  [[nodiscard]] std::unique_ptr<StreamReader> stream_reader(
      const StreamLimits& limits) const override;
  [[nodiscard]] WireReply write_error(const ModelError& error) const override;
  [[nodiscard]] ModelError parse_error(int status, std::string_view body) const override;
  [[nodiscard]] WireReply write_count(std::uint64_t tokens) const override;
  [[nodiscard]] WireReply write_models(const std::vector<std::string>& names) const override;
};

namespace gemini_parts {

// Ids that we made for calls whose wire form has none begin so and are not sent.
inline constexpr std::string_view made_call = "gemini_call_";

std::string made_call_id(const std::string& response_id, std::size_t index, const json& part);

// The member in either of its spellings, "functionCall" and "function_call".
const json& either(const json& object, const char* camel, const char* snake);
// A part of the model's content. `unnamed`: id for a call that has none.
Status read_part(const json& wire, const std::string& place, const std::string& unnamed,
                 Message& message);
Part read_plain_part(const json& wire);
// Null when it cannot be said. `to_agent`: a reply, in which reasoning of others may be shown.
json write_part(const Part& part, bool to_agent, Losses& losses, const std::string& place);
json write_call(const ToolCall& call, Losses& losses, const std::string& place);
json content_of(const Message& message, bool to_agent, Losses& losses, const std::string& place);

Usage usage_of(const json& metadata);
json write_usage(const Usage& usage);
StopReason stop_reason_of(const std::string& word, bool has_calls);
const char* stop_word(StopReason reason);
ModelError error_of(const json& value, int status);
json error_body(const ModelError& error);

}  // namespace gemini_parts
}  // namespace gyges::model::wire
