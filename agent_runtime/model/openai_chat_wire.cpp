
#include "agent_runtime/model/openai_chat.h"
#include "base/json.h"
#include "base/json_document.h"
#include "base/text.h"

namespace gyges::model {
namespace {

using nlohmann::json;

constexpr std::size_t max_tool_calls = 128;

json wire_message(const Message& message) {
  json wire{{"role", role_name(message.role)}, {"content", text_of(message)}};
  if (message.role == Role::tool) wire["tool_call_id"] = message.tool_call_id;
  for (const auto& call : message.tool_calls)
    wire["tool_calls"].push_back(
        {{"id", call.id},
         {"type", "function"},
         {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
  if (!message.tool_calls.empty() && wire["content"] == "") wire["content"] = nullptr;
  return wire;
}

// Text of "content": a string, null, or a list of parts of which those of type text count.
std::string wire_text(const json& content) {
  if (content.is_string()) return content.get<std::string>();
  std::string text;
  if (content.is_array())
    for (const auto& part : content)
      if (part.is_object() && part.contains("text") && part.at("text").is_string())
        text += part.at("text").get<std::string>();
  return text;
}

Result<ToolCall> wire_call(const json& wire, const std::string& place) {
  if (!wire.is_object() || !wire.contains("function") || !wire.at("function").is_object())
    return fail("read reply", place, "a tool call without a function",
                "check that the endpoint supports tools");
  const json& function = wire.at("function");
  if (!function.contains("name") || !function.at("name").is_string())
    return fail("read reply", place + "/function", "a tool call without a name",
                "check that the endpoint supports tools");
  ToolCall call;
  call.name = function.at("name").get<std::string>();
  if (wire.contains("id") && wire.at("id").is_string()) call.id = wire.at("id").get<std::string>();
  json arguments = function.value("arguments", json());
  if (arguments.is_object()) {
    call.arguments = arguments.dump();
    return call;
  }
  call.arguments = arguments.is_string() ? arguments.get<std::string>() : "";
  if (call.arguments.empty()) call.arguments = "{}";
  auto parsed = parse_json(call.arguments, "arguments");
  if (!parsed)
    call.fault = parsed.error().reason;
  else if (!parsed->is_object())
    call.fault = "the arguments are not a JSON object";
  return call;
}

std::uint64_t count_of(const json& usage, const char* key) {
  return usage.is_object() && usage.contains(key) && usage.at(key).is_number_unsigned()
             ? usage.at(key).get<std::uint64_t>()
             : 0;
}

StopReason stop_reason_of(const json& choice, bool has_calls) {
  json given = choice.value("finish_reason", json());
  std::string reason = given.is_string() ? given.get<std::string>() : "";
  if (reason == "length") return StopReason::length;
  if (reason == "content_filter") return StopReason::error;
  return has_calls ? StopReason::tool_use : StopReason::end;
}

}  // namespace

std::string chat_request_body(const OpenAiChatConfig& config, const Request& request) {
  json body = config.parameters.empty() ? json::object() : json::parse(config.parameters);
  body["model"] = config.name;
  body["stream"] = false;
  if (config.send_seed) body["seed"] = request.seed;
  body["messages"] = json::array();
  for (const auto& message : request.messages) body["messages"].push_back(wire_message(message));
  for (const auto& tool : request.tools)
    body["tools"].push_back({{"type", "function"},
                             {"function",
                              {{"name", tool.name},
                               {"description", tool.description},
                               {"parameters", json::parse(tool.parameters)}}}});
  return body.dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<Reply> parse_chat_reply(const std::string& body, const std::string& source) {
  GYGES_TRY(json value, parse_json(body, source));
  if (!value.is_object() || !value.contains("choices") || !value.at("choices").is_array() ||
      value.at("choices").empty())
    return fail("read reply", source + " at /choices", "the reply has no choices",
                "check that base_url is that of a chat completions endpoint");
  const json& choice = value.at("choices").front();
  if (!choice.is_object() || !choice.contains("message") || !choice.at("message").is_object())
    return fail("read reply", source + " at /choices/0/message", "the choice has no message",
                "check that base_url is that of a chat completions endpoint");
  const json& message = choice.at("message");
  Reply reply;
  reply.message.role = Role::assistant;
  for (const char* key : {"reasoning_content", "reasoning"}) {
    if (!message.contains(key) || !message.at(key).is_string()) continue;
    std::string thought = message.at(key).get<std::string>();
    if (!thought.empty())
      reply.message.content.push_back({Part::Kind::reasoning, std::move(thought)});
    break;
  }
  std::string text = wire_text(message.value("content", json()));
  if (text.empty()) text = wire_text(message.value("refusal", json()));
  if (!text.empty()) reply.message.content.push_back({Part::Kind::text, std::move(text)});
  json calls = message.value("tool_calls", json());
  if (!calls.is_null() && !calls.is_array())
    return fail("read reply", source + " at /choices/0/message/tool_calls", "is not a list",
                "check that the endpoint supports tools");
  if (calls.size() > max_tool_calls)
    return fail("read reply", source + " at /choices/0/message/tool_calls",
                "more than " + std::to_string(max_tool_calls) + " calls in one reply",
                "check the model");
  for (std::size_t i = 0; i < calls.size(); ++i) {
    GYGES_TRY(
        reply.message.tool_calls.emplace_back(),
        wire_call(calls[i], source + " at /choices/0/message/tool_calls/" + std::to_string(i)));
  }
  reply.stop_reason = stop_reason_of(choice, !reply.message.tool_calls.empty());
  json usage = value.value("usage", json());
  reply.usage = {count_of(usage, "prompt_tokens"), count_of(usage, "completion_tokens")};
  return reply;
}

}  // namespace gyges::model
