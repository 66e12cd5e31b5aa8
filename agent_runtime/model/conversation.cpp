#include "agent_runtime/model/conversation.h"

namespace gyges::model {

const char* role_name(Role role) {
  switch (role) {
    case Role::system:
      return "system";
    case Role::user:
      return "user";
    case Role::assistant:
      return "assistant";
    case Role::tool:
      return "tool";
  }
  return "unknown";
}

const char* stop_reason_name(StopReason reason) {
  switch (reason) {
    case StopReason::tool_use:
      return "tool_use";
    case StopReason::end:
      return "end";
    case StopReason::length:
      return "length";
    case StopReason::error:
      return "error";
  }
  return "unknown";
}

std::string text_of(const Message& message) {
  std::string text;
  for (const auto& part : message.content)
    if (part.kind == Part::Kind::text) text += part.text;
  return text;
}

}  // namespace gyges::model
