#include "agent_runtime/gateway/refusals.h"

#include <utility>

namespace gyges::gateway {
namespace {

using model::Message;

std::string key_of(const Message& message) {
  if (!message.tool_calls.empty()) return "call " + message.tool_calls.front().id;
  std::string words = model::text_of(message);
  while (!words.empty() && static_cast<unsigned char>(words.back()) <= ' ') words.pop_back();
  return "text " + words;
}

}  // namespace

void Refusals::remember(const Message& shown, std::vector<Message> said) {
  if (said_.size() < most_remembered) said_[key_of(shown)] = std::move(said);
}

bool Refusals::put_back(model::ModelRequest& request) const {
  if (said_.empty()) return false;
  std::vector<Message> whole;
  bool found = false;
  for (Message& message : request.messages) {
    auto known = message.role == model::Role::assistant ? said_.find(key_of(message)) : said_.end();
    if (known == said_.end()) {
      whole.push_back(std::move(message));
      continue;
    }
    found = true;
    whole.insert(whole.end(), known->second.begin(), known->second.end());
  }
  request.messages = std::move(whole);
  return found;
}

Message refusal_of(const model::ToolCall& call, const std::string& told) {
  Message result;
  result.role = model::Role::tool;
  result.content.push_back({model::Part::Kind::text, told});
  result.tool_call_id = call.id;
  result.call = call.call;
  result.tool_failed = true;
  return result;
}

}  // namespace gyges::gateway
