
#include "agent_runtime/model/dialect/openai_chat.h"
#include "agent_runtime/model/dialect/openai_common.h"
#include "base/json.h"
#include "base/json_document.h"

namespace gyges::model::wire {
namespace {

Part read_chat_part(const json& wire) {
  Part part;
  std::string type = text_at(wire, "type");
  if (type == "text") {
    part.text = text_at(wire, "text");
    part.extra = rest_of(wire, {"type", "text"});
  } else if (type == "image_url" && at(wire, "image_url").is_object()) {
    part = image_of_url(text_at(at(wire, "image_url"), "url"));
    json rest = json::object();
    if (auto inner = rest_of(at(wire, "image_url"), {"url"}); !inner.empty())
      rest["image_url"] = parsed(inner);
    if (!rest.empty()) part.extra = dump(rest);
  } else {
    part.kind = Part::Kind::opaque;
    part.text = dump(wire);
    part.origin = OpenAiChat::dialect_name;
  }
  if (!part.extra.empty()) part.origin = OpenAiChat::dialect_name;
  return part;
}

Status read_chat_content(const json& content, const std::string& place, std::vector<Part>& parts) {
  if (content.is_null()) return ok();
  if (content.is_string()) {
    parts.push_back({Part::Kind::text, content.get<std::string>()});
    return ok();
  }
  if (!content.is_array()) return bad(place, "is neither text nor a list of parts");
  for (std::size_t i = 0; i < content.size(); ++i) {
    if (!content[i].is_object()) return bad(place + "/" + std::to_string(i), "is no part");
    parts.push_back(read_chat_part(content[i]));
  }
  return ok();
}

Result<Message> read_chat_message(const json& wire, const std::string& place) {
  std::string role = text_at(wire, "role");
  if (role == "assistant") {
    bool refused = false;
    return chat::read_assistant(wire, place, refused);
  }
  Message message;
  if (role == "tool") {
    message.role = Role::tool;
    message.tool_call_id = text_at(wire, "tool_call_id");
    if (message.tool_call_id.empty()) return bad(place + "/tool_call_id", "is missing");
  } else if (role == "system" || role == "developer") {
    message.role = Role::system;
  } else if (role != "user") {
    return bad(place + "/role", "is none of system, developer, user, assistant and tool");
  }
  GYGES_CHECK(read_chat_content(at(wire, "content"), place + "/content", message.content));
  message.extra = rest_of(wire, {"role", "content", "tool_call_id"});
  if (role == "developer") {
    json extra = message.extra.empty() ? json::object() : parsed(message.extra);
    extra["role"] = "developer";
    message.extra = dump(extra);
  }
  if (!message.extra.empty()) message.origin = OpenAiChat::dialect_name;
  return message;
}

Result<ToolDeclaration> read_chat_tool(const json& wire, const std::string& place) {
  ToolDeclaration tool;
  std::string type = text_at(wire, "type");
  if (type == "function" && at(wire, "function").is_object()) {
    const json& function = at(wire, "function");
    tool.name = text_at(function, "name");
    tool.description = text_at(function, "description");
    if (const json& parameters = at(function, "parameters"); parameters.is_object())
      tool.parameters = dump(parameters);
    tool.extra = rest_of(function, {"name", "description", "parameters"});
  } else if (type == "custom" && at(wire, "custom").is_object()) {
    const json& custom = at(wire, "custom");
    tool.kind = ToolDeclaration::Kind::custom;
    tool.name = text_at(custom, "name");
    tool.description = text_at(custom, "description");
    if (const json& format = at(custom, "format"); format.is_object()) {
      // Chat nests the grammar once more than responses do.
      const json& grammar = at(format, "grammar");
      json flat = grammar.is_object() ? grammar : json::object();
      flat["type"] = text_at(format, "type");
      tool.format = dump(flat);
    }
    tool.origin = OpenAiChat::dialect_name;
  } else if (!type.empty()) {
    tool.kind = ToolDeclaration::Kind::hosted;
    tool.name = type;
    tool.raw = dump(wire);
    tool.origin = OpenAiChat::dialect_name;
  }
  if (tool.name.empty()) return bad(place, "is no tool with a name");
  if (!tool.extra.empty()) tool.origin = OpenAiChat::dialect_name;
  return tool;
}

void read_chat_settings(const json& body, ModelRequest& request) {
  request.max_output_tokens = count_at(body, "max_completion_tokens");
  if (!request.max_output_tokens) request.max_output_tokens = count_at(body, "max_tokens");
  request.temperature = number_at(body, "temperature");
  request.top_p = number_at(body, "top_p");
  request.seed = count_at(body, "seed");
  request.effort = text_at(body, "reasoning_effort");
  request.parallel_tool_calls = flag_at(body, "parallel_tool_calls");
  request.stream = flag_at(body, "stream").value_or(false);
  request.stream_usage = flag_at(at(body, "stream_options"), "include_usage").value_or(false);
  const json& stop = at(body, "stop");
  if (stop.is_string()) request.stop.push_back(stop.get<std::string>());
  if (stop.is_array())
    for (const auto& word : stop)
      if (word.is_string()) request.stop.push_back(word.get<std::string>());
  request.extra =
      rest_of(body, {"model", "messages", "tools", "tool_choice", "parallel_tool_calls",
                     "max_tokens", "max_completion_tokens", "temperature", "top_p", "seed",
                     "reasoning_effort", "stream", "stream_options", "stop", "response_format"});
  const json& format = at(body, "response_format");
  const json& schema = at(format, "json_schema");
  if (at(schema, "schema").is_object()) {
    request.schema = dump(at(schema, "schema"));
    request.schema_name = text_at(schema, "name");
  } else if (!format.is_null()) {
    json extra = request.extra.empty() ? json::object() : parsed(request.extra);
    extra["response_format"] = format;
    request.extra = dump(extra);
  }
  if (!request.extra.empty()) request.origin = OpenAiChat::dialect_name;
}

json write_chat_part(const Part& part, Losses& losses, const std::string& place) {
  json wire;
  switch (part.kind) {
    case Part::Kind::text:
      wire = {{"type", "text"}, {"text", part.text}};
      break;
    case Part::Kind::image:
      wire = {{"type", "image_url"}, {"image_url", {{"url", url_of_image(part)}}}};
      break;
    case Part::Kind::opaque:
      if (part.origin == OpenAiChat::dialect_name) return parsed(part.text);
      lose(losses, place, "block that only " + part.origin + " knows");
      return {};
    case Part::Kind::reasoning:
      lose(losses, place, "reasoning outside a reply");
      return {};
  }
  lose_foreign(part, OpenAiChat::dialect_name, losses, place);
  put_extra(wire, part.extra, part.origin, OpenAiChat::dialect_name, losses, place);
  return wire;
}

// One text is sent as text: many servers know nothing else for system and tool.
json write_chat_content(const Message& message, Losses& losses, const std::string& place,
                        std::vector<const Part*>* images) {
  json parts = json::array();
  bool only_text = true;
  for (std::size_t i = 0; i < message.content.size(); ++i) {
    const Part& part = message.content[i];
    if (part.kind == Part::Kind::image && images != nullptr) {
      images->push_back(&part);
      continue;
    }
    json wire = write_chat_part(part, losses, place + "/content/" + std::to_string(i));
    if (wire.is_null()) continue;
    if (wire.value("type", "") == "text" && wire.at("text") == "") continue;
    only_text = only_text && wire.value("type", "") == "text" && wire.size() == 2;
    parts.push_back(std::move(wire));
  }
  if (!only_text || (message.role == Role::user && parts.size() > 1)) return parts;
  std::string text;
  for (const auto& part : parts) text += part.at("text").get_ref<const std::string&>();
  return text;
}

json write_chat_message(const Message& message, const std::string& place, Losses& losses,
                        std::vector<const Part*>& images) {
  if (message.role == Role::assistant) return chat::write_assistant(message, false, losses, place);
  bool result = message.role == Role::tool;
  json wire{{"role", role_name(message.role)}};
  std::size_t before = images.size();
  wire["content"] = write_chat_content(message, losses, place, result ? &images : nullptr);
  if (images.size() > before)
    lose(losses, place, "images of a tool's result, sent in a message of the user after it");
  if (result) {
    wire["tool_call_id"] = message.tool_call_id;
    if (message.tool_failed) lose(losses, place, "that the tool failed");
  }
  if (!message.extra.empty() && message.origin == OpenAiChat::dialect_name) {
    json extra = parsed(message.extra);
    if (text_at(extra, "role") == "developer") wire["role"] = "developer";
  }
  put_extra(wire, message.extra, message.origin, OpenAiChat::dialect_name, losses, place);
  return wire;
}

void flush_images(std::vector<const Part*>& images, Losses& losses, const std::string& place,
                  json& messages) {
  if (images.empty()) return;
  json parts = json::array();
  for (const Part* image : images) parts.push_back(write_chat_part(*image, losses, place));
  messages.push_back({{"role", "user"}, {"content", std::move(parts)}});
  images.clear();
}

json write_chat_tool(const ToolDeclaration& tool, const std::string& place, Losses& losses) {
  if (tool.kind == ToolDeclaration::Kind::hosted) {
    if (tool.origin == OpenAiChat::dialect_name) return parsed(tool.raw);
    lose(losses, place, "tool \"" + tool.name + "\" that " + tool.origin + " runs itself");
    return {};
  }
  if (tool.kind == ToolDeclaration::Kind::custom && tool.origin == OpenAiChat::dialect_name) {
    json custom{{"name", tool.name}, {"description", tool.description}};
    if (!tool.format.empty()) {
      json flat = parsed(tool.format);
      std::string type = text_at(flat, "type");
      flat.erase("type");
      custom["format"]["type"] = type;
      if (!flat.empty()) custom["format"]["grammar"] = flat;
    }
    return {{"type", "custom"}, {"custom", custom}};
  }
  json function{{"name", flat_name(tool.space, tool.name)},
                {"description", description_of(tool)},
                {"parameters", parameters_of(tool, losses, place)}};
  put_extra(function, tool.extra, tool.origin, OpenAiChat::dialect_name, losses, place);
  return {{"type", "function"}, {"function", function}};
}

void write_chat_settings(const ModelRequest& request, Losses& losses, json& body) {
  // Reasoning models of the vendor refuse the older name, many other servers the newer one.
  if (request.max_output_tokens)
    body[request.effort.empty() ? "max_tokens" : "max_completion_tokens"] =
        *request.max_output_tokens;
  if (request.temperature) body["temperature"] = *request.temperature;
  if (request.top_p) body["top_p"] = *request.top_p;
  if (request.top_k) lose(losses, "/top_k", "the API takes no top_k");
  if (request.seed) body["seed"] = *request.seed;
  if (!request.stop.empty()) body["stop"] = request.stop;
  if (!request.effort.empty()) body["reasoning_effort"] = request.effort;
  if (request.reasoning_tokens)
    lose(losses, "/reasoning_tokens", "the API takes no budget of reasoning");
  if (!request.schema.empty())
    body["response_format"] = {
        {"type", "json_schema"},
        {"json_schema",
         {{"name", request.schema_name.empty() ? "reply" : request.schema_name},
          {"schema", parsed(request.schema)},
          {"strict", true}}}};
  body["stream"] = request.stream;
  if (request.stream && request.stream_usage) body["stream_options"] = {{"include_usage", true}};
  if (request.parallel_tool_calls && !request.tools.empty())
    body["parallel_tool_calls"] = *request.parallel_tool_calls;
  if (!request.tool_choice) return;
  static constexpr const char* words[] = {"auto", "none", "required"};
  if (request.tool_choice->kind == ToolChoice::Kind::one)
    body["tool_choice"] = {{"type", "function"},
                           {"function", {{"name", request.tool_choice->name}}}};
  else
    body["tool_choice"] = words[static_cast<int>(request.tool_choice->kind)];
}

}  // namespace

std::string OpenAiChat::key_header(std::string_view key) const {
  return openai::key_header(key);
}

Route OpenAiChat::route(std::string_view path) const {
  path = path_of(path);
  Route route;
  if (path.ends_with("/chat/completions")) route.kind = Route::Kind::generate;
  if (path.ends_with("/models")) route.kind = Route::Kind::models;
  return route;
}

Result<ModelRequest> OpenAiChat::parse_request(std::string_view /*path*/,
                                               std::string_view body) const {
  GYGES_TRY(json value, parse_json(body, "request"));
  if (!value.is_object()) return bad("", "the request is no object");
  ModelRequest request;
  request.model = text_at(value, "model");
  if (request.model.empty()) return bad("/model", "is missing");
  const json& messages = at(value, "messages");
  if (!messages.is_array()) return bad("/messages", "is missing");
  for (std::size_t i = 0; i < messages.size(); ++i) {
    GYGES_TRY(request.messages.emplace_back(),
              read_chat_message(messages[i], "/messages/" + std::to_string(i)));
  }
  const json& tools = at(value, "tools");
  for (std::size_t i = 0; i < tools.size(); ++i) {
    GYGES_TRY(request.tools.emplace_back(),
              read_chat_tool(tools[i], "/tools/" + std::to_string(i)));
  }
  GYGES_CHECK(openai::read_choice(at(value, "tool_choice"), "function", request));
  read_chat_settings(value, request);
  return request;
}

Result<WireRequest> OpenAiChat::write_request(const ModelRequest& request, Losses& losses) const {
  json body{{"model", request.model}, {"messages", json::array()}};
  json& messages = body["messages"];
  std::vector<const Part*> images;
  for (std::size_t i = 0; i < request.messages.size(); ++i) {
    const Message& message = request.messages[i];
    std::string place = "/messages/" + std::to_string(i);
    if (message.role != Role::tool) flush_images(images, losses, place, messages);
    messages.push_back(write_chat_message(message, place, losses, images));
  }
  flush_images(images, losses, "", messages);
  if (messages.empty())
    return fail("write request", "/messages", "the conversation has no message",
                "add a message of the user");
  for (std::size_t i = 0; i < request.tools.size(); ++i)
    if (json tool = write_chat_tool(request.tools[i], "/tools/" + std::to_string(i), losses);
        !tool.is_null())
      body["tools"].push_back(std::move(tool));
  write_chat_settings(request, losses, body);
  put_extra(body, request.extra, request.origin, OpenAiChat::dialect_name, losses, "");
  return WireRequest{"/chat/completions", {}, dump(body)};
}

}  // namespace gyges::model::wire
