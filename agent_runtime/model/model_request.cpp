#include "agent_runtime/model/model_request.h"

namespace gyges::model {

ModelError::Kind error_kind_of(int status) {
  using Kind = ModelError::Kind;
  switch (status) {
    case 401:
      return Kind::authentication;
    case 403:
      return Kind::permission;
    case 404:
      return Kind::not_found;
    case 408:
    case 504:
      return Kind::timeout;
    case 413:
      return Kind::too_large;
    case 429:
      return Kind::rate_limit;
    case 503:
    case 529:
      return Kind::overloaded;
    default:
      return status >= 400 && status < 500 ? Kind::invalid_request : Kind::server;
  }
}

int status_of(ModelError::Kind kind) {
  using Kind = ModelError::Kind;
  switch (kind) {
    case Kind::invalid_request:
    case Kind::context_length:
      return 400;
    case Kind::authentication:
      return 401;
    case Kind::permission:
      return 403;
    case Kind::not_found:
      return 404;
    case Kind::too_large:
      return 413;
    case Kind::rate_limit:
      return 429;
    case Kind::overloaded:
      return 529;
    case Kind::timeout:
      return 504;
    case Kind::server:
      return 500;
  }
  return 500;
}

std::uint64_t estimated_tokens(const ModelRequest& request) {
  std::uint64_t bytes = request.schema.size();
  std::uint64_t images = 0;
  for (const auto& message : request.messages) {
    for (const auto& part : message.content) {
      bytes += part.text.size();
      if (part.kind == Part::Kind::image) ++images;
    }
    for (const auto& call : message.tool_calls) bytes += call.name.size() + call.arguments.size();
  }
  for (const auto& tool : request.tools)
    bytes += tool.name.size() + tool.description.size() + tool.parameters.size() + tool.raw.size() +
             tool.format.size();
  return (bytes + 3) / 4 + images * 1000;
}

}  // namespace gyges::model
