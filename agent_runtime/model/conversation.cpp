#include "agent_runtime/model/conversation.h"

#include <algorithm>
#include <iterator>

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
    case StopReason::stop_sequence:
      return "stop_sequence";
    case StopReason::refusal:
      return "refusal";
    case StopReason::pause:
      return "pause";
  }
  return "unknown";
}

std::string text_of(const Message& message) {
  std::string text;
  for (const auto& part : message.content)
    if (part.kind == Part::Kind::text) text += part.text;
  return text;
}

std::vector<Block> blocks_of(const Message& message) {
  std::vector<Block> blocks;
  blocks.reserve(message.content.size() + message.tool_calls.size());
  std::size_t next = 0;
  auto calls_before = [&](std::size_t parts) {
    for (; next < message.tool_calls.size() && message.tool_calls[next].position <= parts; ++next)
      blocks.push_back({nullptr, &message.tool_calls[next], next});
  };
  for (std::size_t i = 0; i < message.content.size(); ++i) {
    calls_before(i);
    blocks.push_back({&message.content[i], nullptr, i});
  }
  calls_before(ToolCall::at_end);
  return blocks;
}

namespace {

// Takes empty texts out and keeps every call at its place among the parts that remain.
void tidy(Message& message) {
  std::vector<Part> kept;
  std::size_t next = 0;
  auto place_calls = [&](std::size_t parts) {
    for (; next < message.tool_calls.size() && message.tool_calls[next].position <= parts; ++next)
      message.tool_calls[next].position = kept.size();
  };
  for (std::size_t i = 0; i < message.content.size(); ++i) {
    place_calls(i);
    Part& part = message.content[i];
    bool empty = part.kind == Part::Kind::text && part.text.empty() && part.signature.empty();
    if (!empty) kept.push_back(std::move(part));
  }
  place_calls(ToolCall::at_end);
  message.content = std::move(kept);
  for (auto& call : message.tool_calls)
    if (call.position >= message.content.size()) call.position = ToolCall::at_end;
}

void append(Message& first, Message&& second) {
  std::size_t parts = first.content.size();
  for (auto& call : first.tool_calls) call.position = std::min(call.position, parts);
  for (auto& call : second.tool_calls) {
    if (call.position != ToolCall::at_end) call.position += parts;
    first.tool_calls.push_back(std::move(call));
  }
  std::move(second.content.begin(), second.content.end(), std::back_inserter(first.content));
}

}  // namespace

void normalise(std::vector<Message>& messages) {
  std::vector<Message> kept;
  for (auto& message : messages) {
    if (message.role == Role::assistant && !kept.empty() && kept.back().role == Role::assistant)
      append(kept.back(), std::move(message));
    else
      kept.push_back(std::move(message));
  }
  for (auto& message : kept) tidy(message);
  messages = std::move(kept);
}

void lose(Losses& losses, std::string place, std::string what) {
  constexpr std::size_t most = 1000;
  if (losses.size() > most) return;
  if (losses.size() == most) {
    losses.push_back({"", "further losses are not listed"});
    return;
  }
  losses.push_back({std::move(place), std::move(what)});
}

}  // namespace gyges::model
