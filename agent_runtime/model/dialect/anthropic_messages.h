// Anthropic Messages (POST /v1/messages, /v1/messages/count_tokens). Internal to this folder.
#pragma once

#include "agent_runtime/model/dialect/dialect.h"
#include "agent_runtime/model/dialect/wire.h"

namespace gyges::model::wire {

class AnthropicMessages final : public Dialect {
 public:
  static constexpr const char* dialect_name = "anthropic_messages";

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

namespace anthropic {

// One block of an assistant's content, added to the message.
Status read_block(const json& block, const std::string& place, Message& message);
// The content of an assistant's message. `to_agent`: a reply, in which reasoning of other providers
// may be shown; in a request it would be refused.
json content_of(const Message& message, bool to_agent, Losses& losses, const std::string& place);
std::string wire_id(const std::string& id);  // [A-Za-z0-9_-] only
const char* stop_word(StopReason reason);
StopReason stop_reason_of(const std::string& word);

struct Counts {
  std::uint64_t input = 0;
  std::uint64_t written = 0;
  std::uint64_t read = 0;
  std::uint64_t output = 0;
  void take(const json& usage);  // members that are present
  [[nodiscard]] Usage usage() const;
};
json usage_of(const Usage& usage);
ModelError error_of(const json& value, int status);
json error_body(const ModelError& error);

}  // namespace anthropic
}  // namespace gyges::model::wire
