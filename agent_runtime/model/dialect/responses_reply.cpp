
#include "agent_runtime/model/dialect/openai_common.h"
#include "agent_runtime/model/dialect/openai_responses.h"
#include "base/json.h"
#include "base/json_document.h"

namespace gyges::model::wire {

namespace responses {
namespace {

std::string joined_texts(const json& list) {
  std::string text;
  for (const auto& one : list) {
    if (!text.empty()) text += "\n\n";
    text += text_at(one, "text");
  }
  return text;
}

Part read_reasoning(const json& item) {
  Part part;
  part.kind = Part::Kind::reasoning;
  part.origin = OpenAiResponses::dialect_name;
  part.id = text_at(item, "id");
  part.data = text_at(item, "encrypted_content");
  part.text = joined_texts(at(item, "summary"));
  if (part.text.empty()) {
    part.text = joined_texts(at(item, "content"));
    if (!part.text.empty()) part.extra = R"({"reasoning_text":true})";
  }
  return part;
}

json write_reasoning(const Part& part, bool to_agent, Losses& losses, const std::string& place) {
  bool own = part.origin == OpenAiResponses::dialect_name;
  if (!own && !to_agent) {
    lose(losses, place, "reasoning that another provider gave");
    return {};
  }
  lose_foreign(part, OpenAiResponses::dialect_name, losses, place);
  json item{{"type", "reasoning"}, {"summary", json::array()}};
  if (own && !part.id.empty()) item["id"] = part.id;
  if (own && !part.data.empty()) item["encrypted_content"] = part.data;
  if (part.text.empty()) return item;
  if (own && !part.extra.empty())
    item["content"] = json::array({{{"type", "reasoning_text"}, {"text", part.text}}});
  else
    item["summary"].push_back({{"type", "summary_text"}, {"text", part.text}});
  return item;
}

Status read_call(const json& item, const std::string& place, Message& message) {
  ToolCall call;
  call.id = text_at(item, "call_id");
  call.name = text_at(item, "name");
  call.space = text_at(item, "namespace");
  if (call.name.empty()) return bad(place + "/name", "a tool call without a name");
  if (text_at(item, "type") == "custom_tool_call") {
    call.custom = true;
    call.origin = OpenAiResponses::dialect_name;
    call.arguments = text_at(item, "input");
  } else {
    set_arguments(call, text_at(item, "arguments"));
  }
  call.position = message.content.size();
  message.tool_calls.push_back(std::move(call));
  return ok();
}

json write_call(const ToolCall& call, bool to_agent, Losses& losses, const std::string& place) {
  lose_foreign(call, OpenAiResponses::dialect_name, losses, place);
  json item{{"call_id", call.id}, {"name", call.name}};
  if (!call.space.empty()) item["namespace"] = call.space;
  if (call.custom) {
    item["type"] = "custom_tool_call";
    item["input"] = call.arguments;
  } else {
    item["type"] = "function_call";
    item["arguments"] = call.arguments.empty() ? "{}" : call.arguments;
  }
  if (to_agent) item["status"] = "completed";
  if (!call.extra.empty()) {
    json nothing = json::object();
    put_extra(nothing, call.extra, call.origin, "", losses, place);
  }
  return item;
}

}  // namespace

bool is_output_item(const json& item) {
  std::string type = text_at(item, "type");
  if (type == "message" || (type.empty() && item.contains("role")))
    return text_at(item, "role") == "assistant";
  return type == "reasoning" || type == "function_call" || type == "custom_tool_call" ||
         type.ends_with("_call");
}

Part read_content_part(const json& wire, bool& refused) {
  std::string type = text_at(wire, "type");
  Part part;
  if (type == "input_text" || type == "output_text" || type == "text") {
    part.text = text_at(wire, "text");
  } else if (type == "refusal") {
    part.text = text_at(wire, "refusal");
    refused = true;
  } else if (type == "input_image" && at(wire, "image_url").is_string()) {
    part = image_of_url(text_at(wire, "image_url"));
    part.extra = rest_of(wire, {"type", "image_url"});
    if (!part.extra.empty()) part.origin = OpenAiResponses::dialect_name;
  } else {
    part.kind = Part::Kind::opaque;
    part.text = dump(wire);
    part.origin = OpenAiResponses::dialect_name;
  }
  return part;
}

Status read_output_item(const json& item, const std::string& place, Message& message,
                        bool& refused) {
  if (!item.is_object()) return bad(place, "is no item");
  std::string type = text_at(item, "type");
  if (type == "function_call" || type == "custom_tool_call") return read_call(item, place, message);
  if (type == "reasoning") {
    message.content.push_back(read_reasoning(item));
    return ok();
  }
  if (type == "message" || type.empty()) {
    const json& content = at(item, "content");
    if (content.is_string())
      message.content.push_back({Part::Kind::text, content.get<std::string>()});
    else if (!content.is_array())
      return bad(place + "/content", "is no list");
    else
      for (const auto& part : content) message.content.push_back(read_content_part(part, refused));
    return ok();
  }
  Part part;
  part.kind = Part::Kind::opaque;
  part.text = dump(item);
  part.origin = OpenAiResponses::dialect_name;
  message.content.push_back(std::move(part));
  return ok();
}

json item_of(const Block& block, bool to_agent, Losses& losses, const std::string& place) {
  if (block.call != nullptr) return write_call(*block.call, to_agent, losses, place);
  const Part& part = *block.part;
  if (part.kind == Part::Kind::reasoning) return write_reasoning(part, to_agent, losses, place);
  if (part.kind == Part::Kind::opaque && part.origin == OpenAiResponses::dialect_name)
    return parsed(part.text);
  if (part.kind != Part::Kind::text) {
    lose(losses, place,
         part.kind == Part::Kind::image ? "image in a reply"
                                        : "block that only " + part.origin + " knows");
    return {};
  }
  if (part.text.empty()) return {};
  lose_foreign(part, OpenAiResponses::dialect_name, losses, place);
  if (!part.extra.empty()) {
    json nothing = json::object();
    put_extra(nothing, part.extra, part.origin, "", losses, place);
  }
  json item{
      {"type", "message"},
      {"role", "assistant"},
      {"content",
       json::array(
           {{{"type", "output_text"}, {"text", part.text}, {"annotations", json::array()}}})}};
  if (to_agent) {
    item["status"] = "completed";
    item["content"][0]["logprobs"] = json::array();
  }
  return item;
}

json output_items(const Message& message, bool to_agent, Losses& losses, const std::string& place) {
  json items = json::array();
  for (const auto& block : blocks_of(message)) {
    std::string here = place + (block.call != nullptr ? "/tool_calls/" : "/content/") +
                       std::to_string(block.index);
    if (json item = item_of(block, to_agent, losses, here); !item.is_null())
      items.push_back(std::move(item));
  }
  return items;
}

Usage usage_of(const json& usage) {
  Usage counts;
  counts.input_tokens = count_or_0(usage, "input_tokens");
  counts.output_tokens = count_or_0(usage, "output_tokens");
  counts.cached_tokens = count_or_0(at(usage, "input_tokens_details"), "cached_tokens");
  counts.reasoning_tokens = count_or_0(at(usage, "output_tokens_details"), "reasoning_tokens");
  return counts;
}

StopReason stop_reason_of(const json& response, bool has_calls, bool refused) {
  std::string reason = text_at(at(response, "incomplete_details"), "reason");
  if (reason == "max_output_tokens") return StopReason::length;
  if (!reason.empty()) return StopReason::error;
  if (has_calls) return StopReason::tool_use;
  return refused ? StopReason::refusal : StopReason::end;
}

json frame(const ModelRequest& request, const std::string& id, const std::string& model,
           std::int64_t created) {
  Losses ignored;  // the tools are shown again, not sent
  auto number = [](const auto& value) { return value ? json(*value) : json(); };
  std::string instructions;
  if (!request.messages.empty() && request.messages.front().role == Role::system)
    instructions = text_of(request.messages.front());
  return {
      {"id", id},
      {"object", "response"},
      {"created_at", created_or_now(created)},
      {"status", "in_progress"},
      {"background", false},
      {"error", nullptr},
      {"incomplete_details", nullptr},
      {"instructions", instructions.empty() ? json() : json(instructions)},
      {"max_output_tokens", number(request.max_output_tokens)},
      {"model", model.empty() ? request.model : model},
      {"output", json::array()},
      {"parallel_tool_calls", request.parallel_tool_calls.value_or(true)},
      {"previous_response_id", nullptr},
      {"reasoning",
       {{"effort", request.effort.empty() ? json() : json(request.effort)}, {"summary", nullptr}}},
      {"store", false},
      {"temperature", request.temperature.value_or(1.0)},
      {"text", {{"format", {{"type", "text"}}}}},
      {"tool_choice", "auto"},
      {"tools", write_tools(request.tools, false, ignored)},
      {"top_p", request.top_p.value_or(1.0)},
      {"truncation", "disabled"},
      {"usage", nullptr},
      {"user", nullptr},
      {"metadata", json::object()}};
}

void conclude(json& response, StopReason reason, const Usage& usage) {
  bool cut = reason == StopReason::length || reason == StopReason::error;
  response["status"] = cut ? "incomplete" : "completed";
  if (cut)
    response["incomplete_details"] = {
        {"reason", reason == StopReason::length ? "max_output_tokens" : "content_filter"}};
  response["usage"] = {{"input_tokens", usage.input_tokens},
                       {"input_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
                       {"output_tokens", usage.output_tokens},
                       {"output_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens}}},
                       {"total_tokens", usage.input_tokens + usage.output_tokens}};
}

std::string item_id(const json& item, const std::string& response_id, std::size_t index) {
  std::string type = text_at(item, "type");
  const char* prefix = type == "message"         ? "msg_"
                       : type == "reasoning"     ? "rs_"
                       : type == "function_call" ? "fc_"
                                                 : "ctc_";
  return made_id(prefix, response_id + "/" + std::to_string(index));
}

}  // namespace responses

WireReply OpenAiResponses::write_response(const ModelRequest& request, const Reply& reply,
                                          Losses& losses) const {
  json response =
      responses::frame(request, reply_id("resp_", reply.id, request), reply.model, reply.created);
  json items = responses::output_items(reply.message, true, losses, "/message");
  std::string id = text_at(response, "id");
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (!items[i].contains("id")) items[i]["id"] = responses::item_id(items[i], id, i);
    if (reply.stop_reason == StopReason::refusal && text_at(items[i], "type") == "message")
      items[i]["content"][0] = {{"type", "refusal"},
                                {"refusal", text_at(items[i]["content"][0], "text")}};
  }
  response["output"] = std::move(items);
  responses::conclude(response, reply.stop_reason, reply.usage);
  if (reply.stop_reason == StopReason::pause) lose(losses, "/stop_reason", "that the turn pauses");
  if (reply.stop_reason == StopReason::stop_sequence)
    lose(losses, "/stop_sequence", "the word that ended the reply");
  return json_reply(200, response);
}

Result<Reply> OpenAiResponses::parse_response(std::string_view body) const {
  GYGES_TRY(json value, wire::parse_reply_json(body, "reply"));
  const json& output = at(value, "output");
  if (!output.is_array()) return bad("/output", "the reply has no output");
  if (output.size() > ReplyBuilder::max_blocks)
    return bad("/output",
               "more than " + std::to_string(ReplyBuilder::max_blocks) + " items in one reply");
  if (const json& error = at(value, "error"); error.is_object())
    return bad("/error", "the reply failed: " + text_at(error, "message"));
  Reply reply;
  reply.message.role = Role::assistant;
  bool refused = false;
  for (std::size_t i = 0; i < output.size(); ++i)
    GYGES_CHECK(responses::read_output_item(output[i], "/output/" + std::to_string(i),
                                            reply.message, refused));
  settle_positions(reply.message);
  reply.id = text_at(value, "id");
  reply.model = text_at(value, "model");
  reply.created = created_at(value, "created_at");
  reply.stop_reason = responses::stop_reason_of(value, !reply.message.tool_calls.empty(), refused);
  reply.usage = responses::usage_of(at(value, "usage"));
  return reply;
}

WireReply OpenAiResponses::write_error(const ModelError& error) const {
  return openai::write_error(error);
}

ModelError OpenAiResponses::parse_error(int status, std::string_view body) const {
  return openai::parse_error(status, body);
}

WireReply OpenAiResponses::write_count(std::uint64_t tokens) const {
  return json_reply(200, {{"object", "response.input_tokens"}, {"input_tokens", tokens}});
}

WireReply OpenAiResponses::write_models(const std::vector<std::string>& names) const {
  return openai::write_models(names);
}

const Dialect& openai_responses() {
  static const OpenAiResponses dialect;
  return dialect;
}

}  // namespace gyges::model::wire
