#include <algorithm>

#include "agent_runtime/model/dialect/anthropic_messages.h"
#include "base/json.h"
#include "base/json_document.h"

namespace gyges::model::wire {

namespace anthropic {
namespace {

struct StopWord {
  const char* word;
  StopReason reason;
};
constexpr StopWord stop_words[] = {
    {"end_turn", StopReason::end},      {"tool_use", StopReason::tool_use},
    {"max_tokens", StopReason::length}, {"stop_sequence", StopReason::stop_sequence},
    {"refusal", StopReason::refusal},   {"pause_turn", StopReason::pause},
    {"refusal", StopReason::error},     {"model_context_window_exceeded", StopReason::length},
};

struct ErrorWord {
  const char* word;
  ModelError::Kind kind;
};
constexpr ErrorWord error_words[] = {
    {"invalid_request_error", ModelError::Kind::invalid_request},
    {"authentication_error", ModelError::Kind::authentication},
    {"permission_error", ModelError::Kind::permission},
    {"not_found_error", ModelError::Kind::not_found},
    {"request_too_large", ModelError::Kind::too_large},
    {"rate_limit_error", ModelError::Kind::rate_limit},
    {"overloaded_error", ModelError::Kind::overloaded},
    {"timeout_error", ModelError::Kind::timeout},
    {"api_error", ModelError::Kind::server},
    {"billing_error", ModelError::Kind::permission},
    {"invalid_request_error", ModelError::Kind::context_length},
};

// No word of its own: "prompt is too long: 208310 tokens > 200000 maximum", and what is left for
// the reply counts, too.
constexpr std::string_view context_words[] = {"prompt is too long", "exceed context limit"};

json thinking_block(const Part& part, bool to_agent, Losses& losses, const std::string& place) {
  bool own = part.origin == AnthropicMessages::dialect_name;
  if (own && !part.data.empty()) return {{"type", "redacted_thinking"}, {"data", part.data}};
  if (!own && !to_agent) {
    lose(losses, place, "reasoning that this provider did not sign");
    return {};
  }
  lose_foreign(part, AnthropicMessages::dialect_name, losses, place);
  if (!own && part.text.empty()) return {};
  return {{"type", "thinking"}, {"thinking", part.text}, {"signature", own ? part.signature : ""}};
}

}  // namespace

const char* stop_word(StopReason reason) {
  for (const auto& one : stop_words)
    if (one.reason == reason) return one.word;
  return "end_turn";
}

StopReason stop_reason_of(const std::string& word) {
  for (const auto& one : stop_words)
    if (word == one.word) return one.reason;
  return StopReason::end;
}

std::string wire_id(const std::string& id) {
  std::string out = id;
  for (char& c : out) {
    bool fits = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                c == '_' || c == '-';
    if (!fits) c = '_';
  }
  return out;
}

void Counts::take(const json& usage) {
  auto update = [&](const char* key, std::uint64_t& known) {
    known = count_at(usage, key).value_or(known);
  };
  update("input_tokens", input);
  update("cache_creation_input_tokens", written);
  update("cache_read_input_tokens", read);
  update("output_tokens", output);
}

Usage Counts::usage() const {
  return {input + written + read, output, read, written, 0};
}

json usage_of(const Usage& usage) {
  std::uint64_t cached = usage.cached_tokens + usage.cache_written_tokens;
  return {{"input_tokens", usage.input_tokens - std::min(usage.input_tokens, cached)},
          {"cache_creation_input_tokens", usage.cache_written_tokens},
          {"cache_read_input_tokens", usage.cached_tokens},
          {"output_tokens", usage.output_tokens}};
}

ModelError error_of(const json& value, int status) {
  ModelError error;
  error.status = status;
  error.kind = error_kind_of(status);
  const json& inner = at(value, "error");
  error.code = text_at(inner, "type");
  error.message = text_at(inner, "message");
  for (const auto& one : error_words)
    if (error.code == one.word) {
      error.kind = one.kind;
      break;
    }
  if (error.kind == ModelError::Kind::invalid_request && says_one_of(error.message, context_words))
    error.kind = ModelError::Kind::context_length;
  return error;
}

json error_body(const ModelError& error) {
  const char* word = "api_error";
  for (const auto& one : error_words)
    if (error.kind == one.kind) {
      word = one.word;
      break;
    }
  // Agents know it by these words.
  std::string message = error.message;
  if (error.kind == ModelError::Kind::context_length && !says_one_of(message, context_words))
    message = "prompt is too long: " + message;
  return {{"type", "error"}, {"error", {{"type", word}, {"message", message}}}};
}

Status read_block(const json& block, const std::string& place, Message& message) {
  if (!block.is_object()) return bad(place, "is no block");
  std::string type = text_at(block, "type");
  if (type == "tool_use") {
    ToolCall call;
    call.id = text_at(block, "id");
    call.name = text_at(block, "name");
    if (call.name.empty()) return bad(place + "/name", "a call without a name");
    const json& input = at(block, "input");
    set_arguments(call, input.is_null() ? "" : dump(input));
    call.extra = rest_of(block, {"type", "id", "name", "input"});
    if (!call.extra.empty()) call.origin = AnthropicMessages::dialect_name;
    call.position = message.content.size();
    message.tool_calls.push_back(std::move(call));
    return ok();
  }
  Part part;
  if (type == "text" && at(block, "text").is_string()) {
    part.text = text_at(block, "text");
    part.extra = rest_of(block, {"type", "text"});
    if (!part.extra.empty()) part.origin = AnthropicMessages::dialect_name;
  } else if (type == "thinking" || type == "redacted_thinking") {
    part.kind = Part::Kind::reasoning;
    part.text = text_at(block, "thinking");
    part.signature = text_at(block, "signature");
    part.data = text_at(block, "data");
    part.origin = AnthropicMessages::dialect_name;
  } else {
    part.kind = Part::Kind::opaque;
    part.text = dump(block);
    part.origin = AnthropicMessages::dialect_name;
  }
  message.content.push_back(std::move(part));
  return ok();
}

json content_of(const Message& message, bool to_agent, Losses& losses, const std::string& place) {
  json content = json::array();
  for (const auto& block : blocks_of(message)) {
    std::string here = place + (block.call != nullptr ? "/tool_calls/" : "/content/") +
                       std::to_string(block.index);
    json wire;
    if (block.call != nullptr) {
      wire = {{"type", "tool_use"},
              {"id", wire_id(block.call->id)},
              {"name", flat_name(block.call->space, block.call->name)},
              {"input", arguments_of(*block.call, losses, here)}};
      lose_foreign(*block.call, AnthropicMessages::dialect_name, losses, here);
      put_extra(wire, block.call->extra, block.call->origin, AnthropicMessages::dialect_name,
                losses, here);
    } else if (block.part->kind == Part::Kind::text) {
      if (block.part->text.empty()) continue;
      wire = {{"type", "text"}, {"text", block.part->text}};
      lose_foreign(*block.part, AnthropicMessages::dialect_name, losses, here);
      put_extra(wire, block.part->extra, block.part->origin, AnthropicMessages::dialect_name,
                losses, here);
    } else if (block.part->kind == Part::Kind::reasoning) {
      wire = thinking_block(*block.part, to_agent, losses, here);
    } else if (block.part->kind == Part::Kind::opaque &&
               block.part->origin == AnthropicMessages::dialect_name) {
      wire = parsed(block.part->text);
    } else {
      lose(losses, here,
           block.part->kind == Part::Kind::image
               ? "image in a reply"
               : "block that only " + block.part->origin + " knows");
    }
    if (!wire.is_null()) content.push_back(std::move(wire));
  }
  return content;
}

}  // namespace anthropic

WireReply AnthropicMessages::write_response(const ModelRequest& request, const Reply& reply,
                                            Losses& losses) const {
  bool by_word = reply.stop_reason == StopReason::stop_sequence;
  return json_reply(200,
                    {{"id", reply_id("msg_", reply.id, request)},
                     {"type", "message"},
                     {"role", "assistant"},
                     {"model", reply.model.empty() ? request.model : reply.model},
                     {"content", anthropic::content_of(reply.message, true, losses, "/message")},
                     {"stop_reason", anthropic::stop_word(reply.stop_reason)},
                     {"stop_sequence", by_word ? json(reply.stop_sequence) : json()},
                     {"usage", anthropic::usage_of(reply.usage)}});
}

Result<Reply> AnthropicMessages::parse_response(std::string_view body) const {
  GYGES_TRY(json value, wire::parse_reply_json(body, "reply"));
  const json& content = at(value, "content");
  if (!content.is_array()) return bad("/content", "the reply has no content");
  Reply reply;
  reply.message.role = Role::assistant;
  if (content.size() > ReplyBuilder::max_blocks)
    return bad("/content",
               "more than " + std::to_string(ReplyBuilder::max_blocks) + " blocks in one reply");
  for (std::size_t i = 0; i < content.size(); ++i)
    GYGES_CHECK(anthropic::read_block(content[i], "/content/" + std::to_string(i), reply.message));
  settle_positions(reply.message);
  reply.id = text_at(value, "id");
  reply.model = text_at(value, "model");
  reply.stop_reason = anthropic::stop_reason_of(text_at(value, "stop_reason"));
  reply.stop_sequence = text_at(value, "stop_sequence");
  anthropic::Counts counts;
  counts.take(at(value, "usage"));
  reply.usage = counts.usage();
  return reply;
}

WireReply AnthropicMessages::write_error(const ModelError& error) const {
  return json_reply(status_of(error.kind), anthropic::error_body(error));
}

ModelError AnthropicMessages::parse_error(int status, std::string_view body) const {
  auto value = parse_json(body, "reply");
  ModelError error = anthropic::error_of(value ? *value : json(), status);
  if (error.message.empty()) error.message = body;
  return error;
}

WireReply AnthropicMessages::write_count(std::uint64_t tokens) const {
  return json_reply(200, {{"input_tokens", tokens}});
}

WireReply AnthropicMessages::write_models(const std::vector<std::string>& names) const {
  json list = json::array();
  for (const auto& name : names)
    list.push_back({{"type", "model"},
                    {"id", name},
                    {"display_name", name},
                    {"created_at", "2025-01-01T00:00:00Z"}});
  return json_reply(200, {{"data", list},
                          {"has_more", false},
                          {"first_id", names.empty() ? json() : json(names.front())},
                          {"last_id", names.empty() ? json() : json(names.back())}});
}

const Dialect& anthropic_messages() {
  static const AnthropicMessages dialect;
  return dialect;
}

}  // namespace gyges::model::wire
