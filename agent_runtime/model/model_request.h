// Everything that one request to a model says, whatever dialect it came in or goes out by.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent_runtime/model/conversation.h"

namespace gyges::model {

struct ToolChoice {
  enum class Kind { automatic, none, any, one };
  Kind kind = Kind::automatic;
  std::string name{};  // one: of the tool

  bool operator==(const ToolChoice&) const = default;
};

// Absent values: the provider's default.
struct ModelRequest {
  std::string model{};
  std::vector<Message> messages{};  // system prompts first, as messages of role system
  std::vector<ToolDeclaration> tools{};
  std::optional<ToolChoice> tool_choice{};
  std::optional<bool> parallel_tool_calls{};
  std::optional<std::uint64_t> max_output_tokens{};
  std::optional<double> temperature{};
  std::optional<double> top_p{};
  std::optional<std::uint64_t> top_k{};
  std::optional<std::uint64_t> seed{};
  std::vector<std::string> stop{};
  std::string effort{};                             // of reasoning: "low", "high", ...
  std::optional<std::uint64_t> reasoning_tokens{};  // budget of reasoning
  std::string schema{};                             // the reply's JSON Schema, or empty
  std::string schema_name{};
  bool stream = false;
  bool stream_usage = false;  // openai_chat: a last chunk with the usage is asked for
  std::string origin{};       // dialect of extra
  std::string extra{};        // further members of the body: the text of a JSON object, or empty

  bool operator==(const ModelRequest&) const = default;
};

// Why a model did not answer, whatever dialect said so.
struct ModelError {
  enum class Kind {
    invalid_request,
    authentication,
    permission,
    not_found,
    too_large,       // in bytes
    context_length,  // the conversation has more tokens than the model takes
    rate_limit,
    overloaded,
    timeout,
    server
  };
  Kind kind = Kind::server;
  int status = 500;       // of HTTP
  std::string message{};  // as the endpoint worded it; not made printable
  std::string code{};     // the provider's own word for it, or empty

  bool operator==(const ModelError&) const = default;
};

ModelError::Kind error_kind_of(int status);
int status_of(ModelError::Kind kind);  // 400, 401, 403, 404, 413, 400, 429, 529, 504, 500

// A rough count for endpoints that are asked how many tokens a request has: a token for each four
// bytes of text, arguments and declarations, 1,000 for an image.
std::uint64_t estimated_tokens(const ModelRequest& request);

}  // namespace gyges::model
