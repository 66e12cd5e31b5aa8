#include <algorithm>

#include "agent_runtime/model/dialect/anthropic_messages.h"
#include "base/json.h"
#include "base/json_document.h"

namespace gyges::model::wire {
namespace {

using anthropic::wire_id;

constexpr std::uint64_t default_max_tokens = 8192;  // the API demands one

Part opaque(const json& block) {
  Part part;
  part.kind = Part::Kind::opaque;
  part.text = dump(block);
  part.origin = AnthropicMessages::dialect_name;
  return part;
}

// text, image; everything else is opaque.
Part read_part(const json& block) {
  std::string type = text_at(block, "type");
  Part part;
  if (type == "text" && at(block, "text").is_string()) {
    part.text = text_at(block, "text");
    part.extra = rest_of(block, {"type", "text"});
  } else if (type == "image") {
    const json& source = at(block, "source");
    std::string kind = text_at(source, "type");
    if (kind != "base64" && kind != "url") return opaque(block);
    part.kind = Part::Kind::image;
    part.media_type = text_at(source, "media_type");
    part.data = text_at(source, "data");
    part.url = text_at(source, "url");
    part.extra = rest_of(block, {"type", "source"});
  } else {
    return opaque(block);
  }
  if (!part.extra.empty()) part.origin = AnthropicMessages::dialect_name;
  return part;
}

Status read_parts(const json& content, const std::string& place, std::vector<Part>& parts) {
  if (content.is_string()) {
    parts.push_back({Part::Kind::text, content.get<std::string>()});
    return ok();
  }
  if (!content.is_array()) return bad(place, "is neither text nor a list of blocks");
  for (std::size_t i = 0; i < content.size(); ++i) {
    if (!content[i].is_object()) return bad(place + "/" + std::to_string(i), "is no block");
    parts.push_back(read_part(content[i]));
  }
  return ok();
}

Result<Message> read_result(const json& block, const std::string& place) {
  Message result;
  result.role = Role::tool;
  result.tool_call_id = text_at(block, "tool_use_id");
  if (result.tool_call_id.empty()) return bad(place + "/tool_use_id", "Field required");
  result.tool_failed = flag_at(block, "is_error").value_or(false);
  result.extra = rest_of(block, {"type", "tool_use_id", "is_error", "content"});
  if (!result.extra.empty()) result.origin = AnthropicMessages::dialect_name;
  const json& content = at(block, "content");
  if (!content.is_null()) GYGES_CHECK(read_parts(content, place + "/content", result.content));
  return result;
}

// A user's message may answer calls and say something too: each answer is a message of its own.
Status read_user(const json& content, const std::string& place, std::vector<Message>& messages) {
  Message words;
  bool answered = false;
  if (!content.is_array()) {
    GYGES_CHECK(read_parts(content, place, words.content));
    messages.push_back(std::move(words));
    return ok();
  }
  for (std::size_t i = 0; i < content.size(); ++i) {
    std::string here = place + "/" + std::to_string(i);
    if (!content[i].is_object()) return bad(here, "is no block");
    if (text_at(content[i], "type") != "tool_result") {
      words.content.push_back(read_part(content[i]));
      continue;
    }
    if (!words.content.empty()) messages.push_back(std::exchange(words, {}));
    GYGES_TRY(messages.emplace_back(), read_result(content[i], here));
    answered = true;
  }
  if (!words.content.empty() || !answered) messages.push_back(std::move(words));
  return ok();
}

Status read_message(const json& wire, const std::string& place, std::vector<Message>& messages) {
  std::string role = text_at(wire, "role");
  const json& content = at(wire, "content");
  if (content.is_null()) return bad(place + "/content", "Field required");
  if (role == "user") return read_user(content, place + "/content", messages);
  Message message;
  if (role == "system") {
    message.role = Role::system;
    message.origin = AnthropicMessages::dialect_name;
    GYGES_CHECK(read_parts(content, place + "/content", message.content));
  } else if (role == "assistant") {
    message.role = Role::assistant;
    if (content.is_string()) {
      message.content.push_back({Part::Kind::text, content.get<std::string>()});
    } else if (content.is_array()) {
      for (std::size_t i = 0; i < content.size(); ++i)
        GYGES_CHECK(
            anthropic::read_block(content[i], place + "/content/" + std::to_string(i), message));
    } else {
      return bad(place + "/content", "is neither text nor a list of blocks");
    }
  } else {
    return bad(place + "/role", "is none of user, assistant and system");
  }
  settle_positions(message);
  messages.push_back(std::move(message));
  return ok();
}

Result<ToolDeclaration> read_tool(const json& wire, const std::string& place) {
  if (!wire.is_object()) return bad(place, "is no tool");
  ToolDeclaration tool;
  std::string type = text_at(wire, "type");
  if (!type.empty() && type != "custom") {
    tool.kind = ToolDeclaration::Kind::hosted;
    tool.name = type;
    tool.raw = dump(wire);
    tool.origin = AnthropicMessages::dialect_name;
    return tool;
  }
  tool.name = text_at(wire, "name");
  if (tool.name.empty()) return bad(place + "/name", "Field required");
  if (!at(wire, "input_schema").is_object()) return bad(place + "/input_schema", "Field required");
  tool.description = text_at(wire, "description");
  tool.parameters = dump(at(wire, "input_schema"));
  tool.extra = rest_of(wire, {"type", "name", "description", "input_schema"});
  if (!tool.extra.empty()) tool.origin = AnthropicMessages::dialect_name;
  return tool;
}

Status read_choice(const json& wire, ModelRequest& request) {
  if (wire.is_null()) return ok();
  std::string type = text_at(wire, "type");
  ToolChoice choice;
  if (type == "auto")
    choice.kind = ToolChoice::Kind::automatic;
  else if (type == "none")
    choice.kind = ToolChoice::Kind::none;
  else if (type == "any")
    choice.kind = ToolChoice::Kind::any;
  else if (type == "tool")
    choice = {ToolChoice::Kind::one, text_at(wire, "name")};
  else
    return bad("/tool_choice/type", "is none of auto, any, tool and none");
  request.tool_choice = choice;
  if (auto off = flag_at(wire, "disable_parallel_tool_use")) request.parallel_tool_calls = !*off;
  return ok();
}

void read_anthropic_settings(const json& body, ModelRequest& request) {
  request.max_output_tokens = count_at(body, "max_tokens");
  request.temperature = number_at(body, "temperature");
  request.top_p = number_at(body, "top_p");
  request.top_k = count_at(body, "top_k");
  request.stream = flag_at(body, "stream").value_or(false);
  request.stream_usage = request.stream;
  for (const auto& word : at(body, "stop_sequences"))
    if (word.is_string()) request.stop.push_back(word.get<std::string>());
  json rest = json::object();
  if (auto text = rest_of(
          body, {"model", "system", "messages", "tools", "tool_choice", "max_tokens", "temperature",
                 "top_p", "top_k", "stream", "stop_sequences", "thinking", "output_config"});
      !text.empty())
    rest = parsed(text);
  const json& thinking = at(body, "thinking");
  request.reasoning_tokens = count_at(thinking, "budget_tokens");
  if (!thinking.is_null() &&
      !(text_at(thinking, "type") == "enabled" && request.reasoning_tokens && thinking.size() == 2))
    rest["thinking"] = thinking;
  const json& output = at(body, "output_config");
  request.effort = text_at(output, "effort");
  if (const json& format = at(output, "format");
      text_at(format, "type") == "json_schema" && at(format, "schema").is_object())
    request.schema = dump(at(format, "schema"));
  if (auto others = rest_of(output, {"effort", "format"}); !others.empty())
    rest["output_config"] = parsed(others);
  if (rest.empty()) return;
  request.extra = dump(rest);
  request.origin = AnthropicMessages::dialect_name;
}

json write_part(const Part& part, Losses& losses, const std::string& place) {
  json block;
  switch (part.kind) {
    case Part::Kind::text:
      if (part.text.empty()) return {};
      block = {{"type", "text"}, {"text", part.text}};
      break;
    case Part::Kind::image:
      if (!part.data.empty())
        block = {{"type", "image"},
                 {"source",
                  {{"type", "base64"},
                   {"media_type", part.media_type.empty() ? "image/png" : part.media_type},
                   {"data", part.data}}}};
      else
        block = {{"type", "image"}, {"source", {{"type", "url"}, {"url", part.url}}}};
      break;
    case Part::Kind::opaque:
      if (part.origin == AnthropicMessages::dialect_name) return parsed(part.text);
      lose(losses, place, "block that only " + part.origin + " knows");
      return {};
    case Part::Kind::reasoning:
      lose(losses, place, "reasoning outside a reply");
      return {};
  }
  put_extra(block, part.extra, part.origin, AnthropicMessages::dialect_name, losses, place);
  return block;
}

json write_parts(const Message& message, Losses& losses, const std::string& place) {
  json blocks = json::array();
  for (std::size_t i = 0; i < message.content.size(); ++i)
    if (json block =
            write_part(message.content[i], losses, place + "/content/" + std::to_string(i));
        !block.is_null())
      blocks.push_back(std::move(block));
  return blocks;
}

// A single text without further members is sent as text.
json plain_where_possible(json blocks) {
  if (blocks.size() == 1 && blocks[0].size() == 2 && blocks[0].value("type", "") == "text")
    return blocks[0].at("text");
  return blocks;
}

json write_result(const Message& message, Losses& losses, const std::string& place) {
  json block{{"type", "tool_result"}, {"tool_use_id", wire_id(message.tool_call_id)}};
  json content = plain_where_possible(write_parts(message, losses, place));
  if (!content.empty()) block["content"] = std::move(content);
  if (message.tool_failed) block["is_error"] = true;
  put_extra(block, message.extra, message.origin, AnthropicMessages::dialect_name, losses, place);
  return block;
}

void write_message(const Message& message, const std::string& place, bool after_result,
                   Losses& losses, json& list) {
  if (message.role == Role::assistant) {
    json content = anthropic::content_of(message, false, losses, place);
    if (!content.empty()) list.push_back({{"role", "assistant"}, {"content", content}});
    return;
  }
  if (message.role == Role::tool) {
    json block = write_result(message, losses, place);
    if (after_result)
      list.back()["content"].push_back(std::move(block));
    else
      list.push_back({{"role", "user"}, {"content", json::array({std::move(block)})}});
    return;
  }
  json blocks = write_parts(message, losses, place);
  bool as_system =
      message.role == Role::system && message.origin == AnthropicMessages::dialect_name;
  if (message.role == Role::system && !as_system)
    lose(losses, place, "system message in the midst, sent as one of the user");
  if (!as_system && after_result) {
    for (auto& block : blocks) list.back()["content"].push_back(std::move(block));
    return;
  }
  if (blocks.empty()) return;
  list.push_back({{"role", as_system ? "system" : "user"},
                  {"content", plain_where_possible(std::move(blocks))}});
}

json write_anthropic_tool(const ToolDeclaration& tool, const std::string& place, Losses& losses) {
  if (tool.kind == ToolDeclaration::Kind::hosted) {
    if (tool.origin == AnthropicMessages::dialect_name) return parsed(tool.raw);
    lose(losses, place, "tool \"" + tool.name + "\" that " + tool.origin + " runs itself");
    return {};
  }
  json wire{{"name", flat_name(tool.space, tool.name)},
            {"input_schema", parameters_of(tool, losses, place)}};
  std::string description = description_of(tool);
  if (!description.empty()) wire["description"] = description;
  put_extra(wire, tool.extra, tool.origin, AnthropicMessages::dialect_name, losses, place);
  return wire;
}

void write_anthropic_settings(const ModelRequest& request, Losses& losses, json& body) {
  body["max_tokens"] = request.max_output_tokens.value_or(default_max_tokens);
  if (request.temperature) body["temperature"] = *request.temperature;
  if (request.top_p) body["top_p"] = *request.top_p;
  if (request.top_k) body["top_k"] = *request.top_k;
  if (request.seed) lose(losses, "/seed", "the API takes no seed");
  if (!request.stop.empty()) body["stop_sequences"] = request.stop;
  if (request.stream) body["stream"] = true;
  if (request.reasoning_tokens)
    body["thinking"] = {{"type", "enabled"}, {"budget_tokens", *request.reasoning_tokens}};
  if (!request.effort.empty()) body["output_config"]["effort"] = request.effort;
  if (!request.schema.empty())
    body["output_config"]["format"] = {{"type", "json_schema"}, {"schema", parsed(request.schema)}};
  if (!request.tool_choice && !request.parallel_tool_calls) return;
  ToolChoice choice = request.tool_choice.value_or(ToolChoice{});
  static constexpr const char* words[] = {"auto", "none", "any", "tool"};
  json& wire = body["tool_choice"] = {{"type", words[static_cast<int>(choice.kind)]}};
  if (choice.kind == ToolChoice::Kind::one) wire["name"] = choice.name;
  if (request.parallel_tool_calls && choice.kind != ToolChoice::Kind::none)
    wire["disable_parallel_tool_use"] = !*request.parallel_tool_calls;
}

}  // namespace

std::string AnthropicMessages::key_header(std::string_view key) const {
  return "x-api-key: " + std::string(key);
}

Route AnthropicMessages::route(std::string_view path) const {
  path = path_of(path);
  Route route;
  if (path.ends_with("/messages")) route.kind = Route::Kind::generate;
  if (path.ends_with("/messages/count_tokens")) route.kind = Route::Kind::count_tokens;
  if (path.ends_with("/models")) route.kind = Route::Kind::models;
  return route;
}

Result<ModelRequest> AnthropicMessages::parse_request(std::string_view /*path*/,
                                                      std::string_view body) const {
  GYGES_TRY(json value, parse_json(body, "request"));
  if (!value.is_object()) return bad("", "the request is no object");
  ModelRequest request;
  request.model = text_at(value, "model");
  if (request.model.empty()) return bad("/model", "Field required");
  if (const json& system = at(value, "system"); !system.is_null()) {
    Message message;
    message.role = Role::system;
    GYGES_CHECK(read_parts(system, "/system", message.content));
    request.messages.push_back(std::move(message));
  }
  const json& messages = at(value, "messages");
  if (!messages.is_array()) return bad("/messages", "Field required");
  for (std::size_t i = 0; i < messages.size(); ++i)
    GYGES_CHECK(read_message(messages[i], "/messages/" + std::to_string(i), request.messages));
  const json& tools = at(value, "tools");
  for (std::size_t i = 0; i < tools.size(); ++i) {
    GYGES_TRY(request.tools.emplace_back(), read_tool(tools[i], "/tools/" + std::to_string(i)));
  }
  GYGES_CHECK(read_choice(at(value, "tool_choice"), request));
  read_anthropic_settings(value, request);
  return request;
}

Result<WireRequest> AnthropicMessages::write_request(const ModelRequest& request,
                                                     Losses& losses) const {
  json body{{"model", request.model}, {"messages", json::array()}};
  write_anthropic_settings(request, losses, body);
  json system = json::array();
  std::size_t next = 0;
  for (; next < request.messages.size() && request.messages[next].role == Role::system; ++next)
    for (auto& block :
         write_parts(request.messages[next], losses, "/messages/" + std::to_string(next)))
      system.push_back(std::move(block));
  if (!system.empty()) body["system"] = plain_where_possible(std::move(system));
  bool after_result = false;
  for (; next < request.messages.size(); ++next) {
    const Message& message = request.messages[next];
    write_message(message, "/messages/" + std::to_string(next), after_result, losses,
                  body["messages"]);
    after_result = message.role == Role::tool;
  }
  if (body["messages"].empty())
    return fail("write request", "/messages", "the conversation has no message but the system's",
                "add a message of the user");
  for (std::size_t i = 0; i < request.tools.size(); ++i)
    if (json tool = write_anthropic_tool(request.tools[i], "/tools/" + std::to_string(i), losses);
        !tool.is_null())
      body["tools"].push_back(std::move(tool));
  put_extra(body, request.extra, request.origin, AnthropicMessages::dialect_name, losses, "");
  return WireRequest{"/v1/messages", {"anthropic-version: 2023-06-01"}, dump(body)};
}

}  // namespace gyges::model::wire
