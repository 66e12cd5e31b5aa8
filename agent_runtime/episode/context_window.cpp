#include "agent_runtime/episode/context_window.h"

#include <algorithm>
#include <string>

namespace gyges::episode {
namespace {

constexpr std::uint64_t bytes_per_token = 4;
constexpr std::uint64_t bytes_per_message = 32;  // roles, ids and punctuation of the wire

std::uint64_t bytes_of(const model::Message& message) {
  std::uint64_t bytes = bytes_per_message;
  for (const auto& part : message.content) bytes += part.text.size();
  for (const auto& call : message.tool_calls) bytes += call.name.size() + call.arguments.size();
  return bytes;
}

std::uint64_t bytes_of(const std::vector<model::Message>& messages) {
  std::uint64_t bytes = 0;
  for (const auto& message : messages) bytes += bytes_of(message);
  return bytes;
}

std::string note(std::uint64_t bytes) {
  return "[output of " + std::to_string(bytes) +
         " bytes left out to stay within the context limit]";
}

}  // namespace

ContextWindow::ContextWindow(std::uint64_t limit, const std::vector<model::ToolDeclaration>& tools)
    : limit_(limit) {
  for (const auto& tool : tools)
    tools_bytes_ += tool.name.size() + tool.description.size() + tool.parameters.size();
}

std::uint64_t ContextWindow::estimate(const std::vector<model::Message>& messages) const {
  std::uint64_t bytes = bytes_of(messages) + tools_bytes_;
  // After a cut the conversation is smaller than what was counted.
  if (known_tokens_ == 0 || bytes < known_bytes_) return bytes / bytes_per_token;
  return known_tokens_ + (bytes - known_bytes_) / bytes_per_token;
}

void ContextWindow::counted(const model::Usage& usage,
                            const std::vector<model::Message>& messages) {
  if (usage.input_tokens == 0) return;
  known_tokens_ = usage.input_tokens + usage.output_tokens;
  known_bytes_ = bytes_of(messages) + tools_bytes_;
}

ContextWindow::Cut ContextWindow::fit(std::vector<model::Message>& messages) {
  Cut cut;
  if (limit_ == 0) return cut;
  std::uint64_t tokens = estimate(messages);
  cut.estimated_tokens = tokens;
  if (tokens <= limit_) return cut;
  const std::uint64_t goal = limit_ / 5 * 4;
  for (std::size_t i = 0; i + 1 < messages.size() && tokens > goal; ++i) {
    model::Message& message = messages[i];
    if (message.role != model::Role::tool) continue;
    std::uint64_t bytes = 0;
    for (const auto& part : message.content) bytes += part.text.size();
    std::string text = note(bytes);
    if (bytes <= text.size()) continue;
    std::uint64_t saved = (bytes - text.size()) / bytes_per_token;
    tokens -= std::min(saved, tokens);
    message.content.clear();
    message.content.push_back({model::Part::Kind::text, std::move(text)});
    cut.calls.push_back(message.call);
  }
  if (!cut.calls.empty()) known_tokens_ = 0;
  cut.fits = tokens <= limit_;
  return cut;
}

ContextWindow::Cut ContextWindow::refused(std::vector<model::Message>& messages) {
  limit_ = std::max<std::uint64_t>(1, estimate(messages) / 4 * 3);
  return fit(messages);
}

}  // namespace gyges::episode
