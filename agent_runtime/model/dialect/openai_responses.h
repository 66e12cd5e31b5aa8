// OpenAI responses (POST /responses). Internal to this folder.
#pragma once

#include "agent_runtime/model/dialect/dialect.h"
#include "agent_runtime/model/dialect/wire.h"

namespace gyges::model::wire {

class OpenAiResponses final : public Dialect {
 public:
  static constexpr const char* dialect_name = "openai_responses";

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

namespace responses {

// Items that belong to a reply are added to it: message of the assistant, reasoning, calls, and
// items without a name here. `refused`: one of them says that the model declines.
Status read_output_item(const json& item, const std::string& place, Message& message,
                        bool& refused);
bool is_output_item(const json& item);
Part read_content_part(const json& part, bool& refused);

// An item for each part and call of a reply. Calls of free-text tools that this dialect did not
// make become functions unless `to_agent`.
json output_items(const Message& message, bool to_agent, Losses& losses, const std::string& place);
// One item; null when it cannot be said.
json item_of(const Block& block, bool to_agent, Losses& losses, const std::string& place);

json write_tools(const std::vector<ToolDeclaration>& tools, bool additional, Losses& losses);
Usage usage_of(const json& usage);
StopReason stop_reason_of(const json& response, bool has_calls, bool refused);
// The response object around its output, as replies and events of streams carry it.
json frame(const ModelRequest& request, const std::string& id, const std::string& model,
           std::int64_t created);
void conclude(json& response, StopReason reason, const Usage& usage);
// Ids of items, by the response and the place in it.
std::string item_id(const json& item, const std::string& response_id, std::size_t index);

}  // namespace responses
}  // namespace gyges::model::wire
