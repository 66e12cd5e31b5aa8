
#include "agent_runtime/model/dialect/openai_chat.h"
#include "agent_runtime/model/dialect/openai_common.h"
#include "base/json.h"
#include "base/json_document.h"

namespace gyges::model::wire {

namespace chat {
namespace {

// Text of "content": a string, null, or a list of parts of which those with text count.
std::string words_of(const json& content) {
  if (content.is_string()) return content.get<std::string>();
  std::string text;
  if (content.is_array())
    for (const auto& part : content) text += text_at(part, "text");
  return text;
}

Result<ToolCall> read_call(const json& wire, const std::string& place) {
  ToolCall call;
  call.id = text_at(wire, "id");
  if (const json& custom = at(wire, "custom"); custom.is_object()) {
    call.custom = true;
    call.origin = OpenAiChat::dialect_name;
    call.name = text_at(custom, "name");
    call.arguments = text_at(custom, "input");
  } else {
    const json& function = at(wire, "function");
    if (!function.is_object()) return bad(place, "a tool call without a function");
    call.name = text_at(function, "name");
    const json& arguments = at(function, "arguments");
    set_arguments(call, arguments.is_object() ? dump(arguments) : text_at(function, "arguments"));
    if (call.arguments == "{}" && !arguments.is_null() && !arguments.is_string() &&
        !arguments.is_object())
      set_arguments(call, dump(arguments));
  }
  if (call.name.empty()) return bad(place + "/function", "a tool call without a name");
  return call;
}

json write_call(const ToolCall& call, bool to_agent, Losses& losses, const std::string& place) {
  lose_foreign(call, OpenAiChat::dialect_name, losses, place);
  if (call.custom && (to_agent || call.origin == OpenAiChat::dialect_name))
    return {{"id", call.id},
            {"type", "custom"},
            {"custom", {{"name", flat_name(call.space, call.name)}, {"input", call.arguments}}}};
  std::string arguments = call.custom ? dump(arguments_of(call, losses, place)) : call.arguments;
  return {{"id", call.id},
          {"type", "function"},
          {"function",
           {{"name", flat_name(call.space, call.name)},
            {"arguments", arguments.empty() ? "{}" : arguments}}}};
}

}  // namespace

Result<Message> read_assistant(const json& wire, const std::string& place, bool& refused) {
  Message message;
  message.role = Role::assistant;
  std::string thought = text_at(wire, "reasoning_content");
  if (thought.empty()) thought = text_at(wire, "reasoning");
  if (!thought.empty()) {
    Part part{Part::Kind::reasoning, std::move(thought)};
    part.origin = OpenAiChat::dialect_name;
    message.content.push_back(std::move(part));
  }
  std::string text = words_of(at(wire, "content"));
  if (text.empty()) {
    text = words_of(at(wire, "refusal"));
    refused = !text.empty();
  }
  if (!text.empty()) message.content.push_back({Part::Kind::text, std::move(text)});
  const json& calls = at(wire, "tool_calls");
  if (!calls.is_null() && !calls.is_array()) return bad(place + "/tool_calls", "is not a list");
  if (calls.size() > ReplyBuilder::max_blocks)
    return bad(place + "/tool_calls",
               "more than " + std::to_string(ReplyBuilder::max_blocks) + " calls in one reply");
  for (std::size_t i = 0; i < calls.size(); ++i) {
    GYGES_TRY(message.tool_calls.emplace_back(),
              read_call(calls[i], place + "/tool_calls/" + std::to_string(i)));
  }
  return message;
}

json write_assistant(const Message& message, bool to_agent, Losses& losses,
                     const std::string& place) {
  json wire{{"role", "assistant"}, {"content", nullptr}};
  std::string text;
  std::string thought;
  bool call_seen = false;
  bool reordered = false;
  for (const auto& block : blocks_of(message)) {
    if (block.call != nullptr) {
      wire["tool_calls"].push_back(write_call(
          *block.call, to_agent, losses, place + "/tool_calls/" + std::to_string(block.index)));
      call_seen = true;
      continue;
    }
    const Part& part = *block.part;
    std::string here = place + "/content/" + std::to_string(block.index);
    reordered = reordered || call_seen;
    lose_foreign(part, OpenAiChat::dialect_name, losses, here);
    if (part.kind == Part::Kind::text) {
      text += part.text;
      if (!part.extra.empty()) {
        json nothing = json::object();
        put_extra(nothing, part.extra, part.origin, "", losses, here);
      }
    } else if (part.kind == Part::Kind::reasoning &&
               (to_agent || part.origin == OpenAiChat::dialect_name)) {
      thought += part.text;
    } else if (part.kind == Part::Kind::reasoning) {
      lose(losses, here, "reasoning that another provider gave");
    } else {
      lose(losses, here, "block that only " + part.origin + " knows");
    }
  }
  if (reordered) lose(losses, place, "order of words and calls");
  if (!text.empty() || message.tool_calls.empty()) wire["content"] = text;
  if (!thought.empty()) wire["reasoning_content"] = thought;
  return wire;
}

Usage usage_of(const json& usage) {
  Usage counts;
  counts.input_tokens = count_or_0(usage, "prompt_tokens");
  counts.output_tokens = count_or_0(usage, "completion_tokens");
  counts.cached_tokens = count_or_0(at(usage, "prompt_tokens_details"), "cached_tokens");
  counts.reasoning_tokens = count_or_0(at(usage, "completion_tokens_details"), "reasoning_tokens");
  return counts;
}

json write_usage(const Usage& usage) {
  return {{"prompt_tokens", usage.input_tokens},
          {"completion_tokens", usage.output_tokens},
          {"total_tokens", usage.input_tokens + usage.output_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
          {"completion_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens}}}};
}

StopReason stop_reason_of(const std::string& word, bool has_calls, bool refused) {
  if (word == "length") return StopReason::length;
  if (word == "content_filter") return StopReason::error;
  if (has_calls) return StopReason::tool_use;
  return refused ? StopReason::refusal : StopReason::end;
}

const char* stop_word(StopReason reason) {
  switch (reason) {
    case StopReason::tool_use:
      return "tool_calls";
    case StopReason::length:
      return "length";
    case StopReason::error:
      return "content_filter";
    default:
      return "stop";
  }
}

}  // namespace chat

WireReply OpenAiChat::write_response(const ModelRequest& request, const Reply& reply,
                                     Losses& losses) const {
  json message = chat::write_assistant(reply.message, true, losses, "/message");
  message["refusal"] = nullptr;
  if (reply.stop_reason == StopReason::refusal) std::swap(message["refusal"], message["content"]);
  if (reply.stop_reason == StopReason::pause) lose(losses, "/stop_reason", "that the turn pauses");
  if (reply.stop_reason == StopReason::stop_sequence)
    lose(losses, "/stop_sequence", "the word that ended the reply");
  return json_reply(
      200, {{"id", reply_id("chatcmpl-", reply.id, request)},
            {"object", "chat.completion"},
            {"created", created_or_now(reply.created)},
            {"model", reply.model.empty() ? request.model : reply.model},
            {"choices", json::array({{{"index", 0},
                                      {"message", message},
                                      {"logprobs", nullptr},
                                      {"finish_reason", chat::stop_word(reply.stop_reason)}}})},
            {"usage", chat::write_usage(reply.usage)}});
}

Result<Reply> OpenAiChat::parse_response(std::string_view body) const {
  GYGES_TRY(json value, wire::parse_reply_json(body, "reply"));
  const json& choices = at(value, "choices");
  if (!choices.is_array() || choices.empty()) return bad("/choices", "the reply has no choices");
  const json& choice = choices.front();
  if (!at(choice, "message").is_object())
    return bad("/choices/0/message", "the choice has no message");
  Reply reply;
  bool refused = false;
  GYGES_TRY(reply.message,
            chat::read_assistant(at(choice, "message"), "/choices/0/message", refused));
  reply.id = text_at(value, "id");
  reply.model = text_at(value, "model");
  reply.created = created_at(value, "created");
  reply.stop_reason = chat::stop_reason_of(text_at(choice, "finish_reason"),
                                           !reply.message.tool_calls.empty(), refused);
  reply.usage = chat::usage_of(at(value, "usage"));
  return reply;
}

WireReply OpenAiChat::write_error(const ModelError& error) const {
  return openai::write_error(error);
}

ModelError OpenAiChat::parse_error(int status, std::string_view body) const {
  return openai::parse_error(status, body);
}

// The API has no such route.
WireReply OpenAiChat::write_count(std::uint64_t /*tokens*/) const {
  return write_error({ModelError::Kind::not_found, 404, "Unknown request URL", ""});
}

WireReply OpenAiChat::write_models(const std::vector<std::string>& names) const {
  return openai::write_models(names);
}

const Dialect& openai_chat() {
  static const OpenAiChat dialect;
  return dialect;
}

}  // namespace gyges::model::wire
