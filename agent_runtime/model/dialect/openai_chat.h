// OpenAI chat completions (POST /chat/completions) and what compatible servers made of it.
// Internal to this folder.
#pragma once

#include "agent_runtime/model/dialect/dialect.h"
#include "agent_runtime/model/dialect/wire.h"

namespace gyges::model::wire {

class OpenAiChat final : public Dialect {
 public:
  static constexpr const char* dialect_name = "openai_chat";

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

namespace chat {

// The message of an assistant, in a request or a reply. `refused`: it says that it declines.
Result<Message> read_assistant(const json& wire, const std::string& place, bool& refused);
// `own_customs`: calls of free-text tools keep their kind whoever made them.
json write_assistant(const Message& message, bool to_agent, Losses& losses,
                     const std::string& place);
Usage usage_of(const json& usage);
json write_usage(const Usage& usage);
StopReason stop_reason_of(const std::string& word, bool has_calls, bool refused);
const char* stop_word(StopReason reason);

}  // namespace chat
}  // namespace gyges::model::wire
