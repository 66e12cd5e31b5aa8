#include <map>

#include "agent_runtime/model/dialect/openai_common.h"
#include "agent_runtime/model/dialect/openai_responses.h"
#include "base/json.h"
#include "base/json_document.h"

namespace gyges::model::wire {
namespace {

// Members of our own in `extra` of a tool: where it was declared, and its namespace's description.
constexpr const char* additional_mark = "gyges_additional";
constexpr const char* space_mark = "gyges_namespace";

Status read_responses_content(const json& content, const std::string& place,
                              std::vector<Part>& parts) {
  if (content.is_string()) {
    parts.push_back({Part::Kind::text, content.get<std::string>()});
    return ok();
  }
  if (!content.is_array()) return bad(place, "is neither text nor a list of parts");
  bool refused = false;
  for (std::size_t i = 0; i < content.size(); ++i) {
    if (!content[i].is_object()) return bad(place + "/" + std::to_string(i), "is no part");
    parts.push_back(responses::read_content_part(content[i], refused));
  }
  return ok();
}

Status read_responses_tools(const json& wire, const std::string& place, const std::string& space,
                            const std::string& mark, std::vector<ToolDeclaration>& tools);

Status read_responses_tool(const json& wire, const std::string& place, const std::string& space,
                           const std::string& mark, std::vector<ToolDeclaration>& tools) {
  std::string type = text_at(wire, "type");
  if (type.empty()) return bad(place + "/type", "is missing");
  if (type == "namespace") {
    std::string name = text_at(wire, "name");
    if (name.empty() || !space.empty()) return bad(place, "is no namespace with a name");
    json inner = mark.empty() ? json::object() : parsed(mark);
    if (auto rest = rest_of(wire, {"type", "name", "tools"}); !rest.empty())
      inner[space_mark] = parsed(rest);
    return read_responses_tools(at(wire, "tools"), place + "/tools", name,
                                inner.empty() ? "" : dump(inner), tools);
  }
  ToolDeclaration tool;
  tool.space = space;
  json extra = mark.empty() ? json::object() : parsed(mark);
  if (type == "function" || type == "custom") {
    tool.name = text_at(wire, "name");
    if (tool.name.empty()) return bad(place + "/name", "is missing");
    tool.description = text_at(wire, "description");
    if (const json& parameters = at(wire, "parameters"); parameters.is_object())
      tool.parameters = dump(parameters);
    if (const json& format = at(wire, "format"); type == "custom" && format.is_object())
      tool.format = dump(format);
    if (type == "custom") tool.kind = ToolDeclaration::Kind::custom;
    if (auto rest = rest_of(wire, {"type", "name", "description", "parameters", "format"});
        !rest.empty())
      extra.update(parsed(rest));
    if (flag_at(extra, "strict") == false) extra.erase("strict");
  } else {
    tool.kind = ToolDeclaration::Kind::hosted;
    tool.name = type;
    tool.raw = dump(wire);
  }
  if (!extra.empty()) tool.extra = dump(extra);
  if (!extra.empty() || tool.kind != ToolDeclaration::Kind::function)
    tool.origin = OpenAiResponses::dialect_name;
  tools.push_back(std::move(tool));
  return ok();
}

Status read_responses_tools(const json& wire, const std::string& place, const std::string& space,
                            const std::string& mark, std::vector<ToolDeclaration>& tools) {
  if (wire.is_null()) return ok();
  if (!wire.is_array()) return bad(place, "is no list");
  for (std::size_t i = 0; i < wire.size(); ++i)
    GYGES_CHECK(read_responses_tool(wire[i], place + "/" + std::to_string(i), space, mark, tools));
  return ok();
}

Status read_responses_message(const json& item, const std::string& place, ModelRequest& request) {
  std::string role = text_at(item, "role");
  Message message;
  if (role == "system" || role == "developer") {
    message.role = Role::system;
    if (role == "system") {
      message.extra = R"({"role":"system"})";
      message.origin = OpenAiResponses::dialect_name;
    }
  } else if (role != "user") {
    return bad(place + "/role", "is none of user, assistant, system and developer");
  }
  GYGES_CHECK(read_responses_content(at(item, "content"), place + "/content", message.content));
  request.messages.push_back(std::move(message));
  return ok();
}

Status read_item(const json& item, const std::string& place, ModelRequest& request) {
  if (!item.is_object()) return bad(place, "is no item");
  std::string type = text_at(item, "type");
  if (responses::is_output_item(item)) {
    if (request.messages.empty() || request.messages.back().role != Role::assistant) {
      request.messages.emplace_back();
      request.messages.back().role = Role::assistant;
    }
    bool refused = false;
    return responses::read_output_item(item, place, request.messages.back(), refused);
  }
  if (type == "message" || (type.empty() && item.contains("role")))
    return read_responses_message(item, place, request);
  if (type == "function_call_output" || type == "custom_tool_call_output") {
    Message result;
    result.role = Role::tool;
    result.tool_call_id = text_at(item, "call_id");
    if (result.tool_call_id.empty()) return bad(place + "/call_id", "is missing");
    GYGES_CHECK(read_responses_content(at(item, "output"), place + "/output", result.content));
    request.messages.push_back(std::move(result));
    return ok();
  }
  if (type == "additional_tools")
    return read_responses_tools(at(item, "tools"), place + "/tools", "",
                                dump({{additional_mark, true}}), request.tools);
  if (type.empty()) return bad(place + "/type", "is missing");
  Message other;
  Part part;
  part.kind = Part::Kind::opaque;
  part.text = dump(item);
  part.origin = OpenAiResponses::dialect_name;
  other.content.push_back(std::move(part));
  request.messages.push_back(std::move(other));
  return ok();
}

bool is_stateless(const json& body) {
  return flag_at(body, "store") == false &&
         at(body, "include") == json::array({"reasoning.encrypted_content"});
}

void read_responses_settings(const json& body, ModelRequest& request) {
  request.max_output_tokens = count_at(body, "max_output_tokens");
  request.temperature = number_at(body, "temperature");
  request.top_p = number_at(body, "top_p");
  request.parallel_tool_calls = flag_at(body, "parallel_tool_calls");
  request.stream = flag_at(body, "stream").value_or(false);
  request.stream_usage = request.stream;
  const json& reasoning = at(body, "reasoning");
  request.effort = text_at(reasoning, "effort");
  json rest = json::object();
  if (auto others = rest_of(
          body, {"model", "instructions", "input", "tools", "tool_choice", "parallel_tool_calls",
                 "max_output_tokens", "temperature", "top_p", "stream", "reasoning", "text"});
      !others.empty())
    rest = parsed(others);
  if (is_stateless(body)) {
    rest.erase("store");
    rest.erase("include");
  }
  if (auto others = rest_of(reasoning, {"effort"}); !others.empty())
    rest["reasoning"] = parsed(others);
  const json& text = at(body, "text");
  json other_text = json::object();
  if (auto others = rest_of(text, {"format"}); !others.empty()) other_text = parsed(others);
  const json& format = at(text, "format");
  if (at(format, "schema").is_object()) {
    request.schema = dump(at(format, "schema"));
    request.schema_name = text_at(format, "name");
  } else if (format.is_object() && text_at(format, "type") != "text") {
    other_text["format"] = format;
  }
  if (!other_text.empty()) rest["text"] = other_text;
  if (rest.empty()) return;
  request.extra = dump(rest);
  request.origin = OpenAiResponses::dialect_name;
}

json write_responses_content(const Message& message, Losses& losses, const std::string& place) {
  json parts = json::array();
  for (std::size_t i = 0; i < message.content.size(); ++i) {
    const Part& part = message.content[i];
    std::string here = place + "/content/" + std::to_string(i);
    lose_foreign(part, OpenAiResponses::dialect_name, losses, here);
    json wire;
    if (part.kind == Part::Kind::text) {
      if (part.text.empty()) continue;
      wire = {{"type", "input_text"}, {"text", part.text}};
    } else if (part.kind == Part::Kind::image) {
      wire = {{"type", "input_image"}, {"image_url", url_of_image(part)}};
    } else if (part.kind == Part::Kind::opaque && part.origin == OpenAiResponses::dialect_name) {
      wire = parsed(part.text);
    } else {
      lose(losses, here,
           part.kind == Part::Kind::reasoning ? "reasoning outside a reply"
                                              : "block that only " + part.origin + " knows");
      continue;
    }
    put_extra(wire, part.extra, part.origin, OpenAiResponses::dialect_name, losses, here);
    parts.push_back(std::move(wire));
  }
  return parts;
}

bool is_plain(const json& parts) {
  return parts.size() == 1 && parts[0].size() == 2 && text_at(parts[0], "type") == "input_text";
}

void write_result(const Message& message, bool custom, const std::string& place, Losses& losses,
                  json& input) {
  json output = write_responses_content(message, losses, place);
  if (is_plain(output)) output = text_at(output[0], "text");
  if (output.is_array() && output.empty()) output = "";
  if (message.tool_failed) lose(losses, place, "that the tool failed");
  if (!message.extra.empty()) {
    json nothing = json::object();
    put_extra(nothing, message.extra, message.origin, "", losses, place);
  }
  input.push_back({{"type", custom ? "custom_tool_call_output" : "function_call_output"},
                   {"call_id", message.tool_call_id},
                   {"output", std::move(output)}});
}

// A part without a name here stands between the items, not inside one, unless it is an input.
bool stands_alone(const json& part) {
  std::string type = text_at(part, "type");
  return !type.starts_with("input_");
}

void write_words(const Message& message, const std::string& place, Losses& losses, json& input) {
  json content = json::array();
  for (auto& part : write_responses_content(message, losses, place)) {
    if (stands_alone(part))
      input.push_back(std::move(part));
    else
      content.push_back(std::move(part));
  }
  if (content.empty()) return;
  std::string role = "user";
  if (message.role == Role::system)
    role = message.origin == OpenAiResponses::dialect_name && !message.extra.empty() ? "system"
                                                                                     : "developer";
  else if (!message.extra.empty()) {
    json nothing = json::object();
    put_extra(nothing, message.extra, message.origin, OpenAiResponses::dialect_name, losses, place);
  }
  input.push_back({{"type", "message"}, {"role", role}, {"content", std::move(content)}});
}

void write_responses_settings(const ModelRequest& request, Losses& losses, json& body) {
  if (request.max_output_tokens) body["max_output_tokens"] = *request.max_output_tokens;
  if (request.temperature) body["temperature"] = *request.temperature;
  if (request.top_p) body["top_p"] = *request.top_p;
  if (request.top_k) lose(losses, "/top_k", "the API takes no top_k");
  if (request.seed) lose(losses, "/seed", "the API takes no seed");
  if (!request.stop.empty()) lose(losses, "/stop", "the API takes no stop sequences");
  if (request.reasoning_tokens)
    lose(losses, "/reasoning_tokens", "the API takes no budget of reasoning");
  if (!request.effort.empty()) body["reasoning"]["effort"] = request.effort;
  if (!request.schema.empty())
    body["text"]["format"] = {{"type", "json_schema"},
                              {"name", request.schema_name.empty() ? "reply" : request.schema_name},
                              {"schema", parsed(request.schema)},
                              {"strict", true}};
  body["stream"] = request.stream;
  if (request.parallel_tool_calls) body["parallel_tool_calls"] = *request.parallel_tool_calls;
  if (!request.tool_choice) return;
  static constexpr const char* words[] = {"auto", "none", "required"};
  if (request.tool_choice->kind == ToolChoice::Kind::one)
    body["tool_choice"] = {{"type", "function"}, {"name", request.tool_choice->name}};
  else
    body["tool_choice"] = words[static_cast<int>(request.tool_choice->kind)];
}

json write_responses_tool(const ToolDeclaration& tool, const std::string& place, Losses& losses) {
  if (tool.kind == ToolDeclaration::Kind::hosted) {
    if (tool.origin == OpenAiResponses::dialect_name) return parsed(tool.raw);
    lose(losses, place, "tool \"" + tool.name + "\" that " + tool.origin + " runs itself");
    return {};
  }
  json wire{{"name", tool.name}, {"description", tool.description}};
  if (tool.kind == ToolDeclaration::Kind::custom) {
    wire["type"] = "custom";
    if (!tool.format.empty()) wire["format"] = parsed(tool.format);
  } else {
    wire["type"] = "function";
    wire["parameters"] = parameters_of(tool, losses, place);
  }
  put_extra(wire, tool.extra, tool.origin, OpenAiResponses::dialect_name, losses, place);
  // Unless told otherwise the API makes every optional argument a required one.
  if (tool.kind == ToolDeclaration::Kind::function && !wire.contains("strict"))
    wire["strict"] = false;
  wire.erase(additional_mark);
  wire.erase(space_mark);
  return wire;
}

bool is_additional(const ToolDeclaration& tool) {
  return tool.origin == OpenAiResponses::dialect_name && !tool.extra.empty() &&
         flag_at(parsed(tool.extra), additional_mark).value_or(false);
}

}  // namespace

json responses::write_tools(const std::vector<ToolDeclaration>& tools, bool additional,
                            Losses& losses) {
  json list = json::array();
  for (std::size_t i = 0; i < tools.size(); ++i) {
    const ToolDeclaration& tool = tools[i];
    if (is_additional(tool) != additional) continue;
    json wire = write_responses_tool(tool, "/tools/" + std::to_string(i), losses);
    if (wire.is_null()) continue;
    if (tool.space.empty()) {
      list.push_back(std::move(wire));
      continue;
    }
    // Neighbours of one namespace stand in it together.
    if (list.empty() || text_at(list.back(), "type") != "namespace" ||
        text_at(list.back(), "name") != tool.space) {
      json space{{"type", "namespace"}, {"name", tool.space}, {"tools", json::array()}};
      if (tool.origin == OpenAiResponses::dialect_name && !tool.extra.empty())
        if (json members = at(parsed(tool.extra), space_mark); members.is_object())
          space.update(members);
      list.push_back(std::move(space));
    }
    list.back()["tools"].push_back(std::move(wire));
  }
  return list;
}

std::string OpenAiResponses::key_header(std::string_view key) const {
  return openai::key_header(key);
}

Route OpenAiResponses::route(std::string_view path) const {
  path = path_of(path);
  Route route;
  if (path.ends_with("/responses")) route.kind = Route::Kind::generate;
  if (path.ends_with("/responses/input_tokens")) route.kind = Route::Kind::count_tokens;
  if (path.ends_with("/models")) route.kind = Route::Kind::models;
  return route;
}

Result<ModelRequest> OpenAiResponses::parse_request(std::string_view /*path*/,
                                                    std::string_view body) const {
  GYGES_TRY(json value, parse_json(body, "request"));
  if (!value.is_object()) return bad("", "the request is no object");
  ModelRequest request;
  request.model = text_at(value, "model");
  if (request.model.empty()) return bad("/model", "is missing");
  if (std::string words = text_at(value, "instructions"); !words.empty()) {
    Message message;
    message.role = Role::system;
    message.content.push_back({Part::Kind::text, std::move(words)});
    request.messages.push_back(std::move(message));
  }
  GYGES_CHECK(read_responses_tools(at(value, "tools"), "/tools", "", "", request.tools));
  const json& input = at(value, "input");
  if (input.is_string()) {
    request.messages.emplace_back().content.push_back({Part::Kind::text, input.get<std::string>()});
  } else if (input.is_array()) {
    for (std::size_t i = 0; i < input.size(); ++i)
      GYGES_CHECK(read_item(input[i], "/input/" + std::to_string(i), request));
  } else {
    return bad("/input", "is missing");
  }
  for (auto& message : request.messages) settle_positions(message);
  GYGES_CHECK(openai::read_choice(at(value, "tool_choice"), "", request));
  read_responses_settings(value, request);
  return request;
}

Result<WireRequest> OpenAiResponses::write_request(const ModelRequest& request,
                                                   Losses& losses) const {
  json body{{"model", request.model}, {"input", json::array()}};
  json& input = body["input"];
  if (json tools = responses::write_tools(request.tools, true, losses); !tools.empty())
    input.push_back({{"type", "additional_tools"}, {"tools", std::move(tools)}});
  if (json tools = responses::write_tools(request.tools, false, losses); !tools.empty())
    body["tools"] = std::move(tools);
  std::map<std::string, bool> custom_calls;
  for (std::size_t i = 0; i < request.messages.size(); ++i) {
    const Message& message = request.messages[i];
    std::string place = "/messages/" + std::to_string(i);
    if (message.role == Role::assistant) {
      for (auto& item : responses::output_items(message, false, losses, place))
        input.push_back(std::move(item));
      for (const auto& call : message.tool_calls) custom_calls[call.id] = call.custom;
    } else if (message.role == Role::tool) {
      write_result(message, custom_calls[message.tool_call_id], place, losses, input);
    } else if (i == 0 && message.role == Role::system && message.extra.empty() &&
               message.content.size() == 1 && message.content[0].extra.empty() &&
               message.content[0].kind == Part::Kind::text) {
      body["instructions"] = message.content[0].text;
    } else {
      write_words(message, place, losses, input);
    }
  }
  if (input.empty())
    return fail("write request", "/messages", "the conversation has no message but the system's",
                "add a message of the user");
  write_responses_settings(request, losses, body);
  put_extra(body, request.extra, request.origin, OpenAiResponses::dialect_name, losses, "");
  // Nothing is kept by the provider: what it needs of its reasoning comes back with the next
  // request.
  if (!body.contains("store") && !body.contains("include")) {
    body["store"] = false;
    body["include"] = json::array({"reasoning.encrypted_content"});
  }
  return WireRequest{"/responses", {}, dump(body)};
}

}  // namespace gyges::model::wire
