#include <deque>
#include <map>

#include "agent_runtime/model/dialect/gemini.h"
#include "base/json.h"
#include "base/json_document.h"

namespace gyges::model::wire {
namespace {

using gemini_parts::either;
using gemini_parts::made_call;

// Pairs calls and results of a conversation: by id, or by name and order where ids are missing.
class Pairing {
 public:
  std::string next_id() { return std::string(made_call) + std::to_string(++made_); }
  void called(const ToolCall& call) { open_[call.name].push_back(call.id); }
  std::string answered(const std::string& id, const std::string& name) {
    auto& waiting = open_[name];
    std::string found = id;
    if (id.empty() && !waiting.empty()) found = waiting.front();
    if (id.empty() && waiting.empty()) found = next_id();
    std::erase(waiting, found);
    return found;
  }

 private:
  std::map<std::string, std::deque<std::string>> open_;
  std::size_t made_ = 0;
};

// {"output": text} and {"error": text} are what clients agree on; anything else stays JSON.
void read_response(const json& response, Message& result) {
  Part part;
  for (const char* key : {"output", "error"}) {
    if (response.size() != 1 || !at(response, key).is_string()) continue;
    part.text = text_at(response, key);
    result.tool_failed = key[0] == 'e';
    if (!part.text.empty()) result.content.push_back(std::move(part));
    return;
  }
  part.text = dump(response);
  part.extra = R"({"json":true})";
  part.origin = Gemini::dialect_name;
  result.content.push_back(std::move(part));
}

Result<Message> read_gemini_result(const json& wire, const std::string& place, Pairing& pairing) {
  std::string name = text_at(wire, "name");
  if (name.empty()) return bad(place + "/name", "is missing");
  Message result;
  result.role = Role::tool;
  result.tool_call_id = pairing.answered(text_at(wire, "id"), name);
  read_response(at(wire, "response"), result);
  for (const auto& part : at(wire, "parts"))
    if (part.is_object()) result.content.push_back(gemini_parts::read_plain_part(part));
  return result;
}

Status read_gemini_content(const json& content, const std::string& place, Pairing& pairing,
                           std::vector<Message>& messages) {
  if (!content.is_object()) return bad(place, "is no content");
  std::string role = text_at(content, "role");
  const json& parts = at(content, "parts");
  if (!parts.is_array()) return bad(place + "/parts", "is missing");
  Message message;
  if (role == "model") {
    message.role = Role::assistant;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      std::size_t calls = message.tool_calls.size();
      std::string unnamed =
          either(parts[i], "functionCall", "function_call").is_object() &&
                  text_at(either(parts[i], "functionCall", "function_call"), "id").empty()
              ? pairing.next_id()
              : std::string();
      GYGES_CHECK(gemini_parts::read_part(parts[i], place + "/parts/" + std::to_string(i), unnamed,
                                          message));
      if (message.tool_calls.size() > calls) pairing.called(message.tool_calls.back());
    }
    settle_positions(message);
    messages.push_back(std::move(message));
    return ok();
  }
  if (!role.empty() && role != "user" && role != "function")
    return bad(place + "/role", "is none of user, model and function");
  bool answered = false;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    std::string here = place + "/parts/" + std::to_string(i);
    if (!parts[i].is_object()) return bad(here, "is no part");
    const json& response = either(parts[i], "functionResponse", "function_response");
    if (!response.is_object()) {
      message.content.push_back(gemini_parts::read_plain_part(parts[i]));
      continue;
    }
    if (!message.content.empty()) messages.push_back(std::exchange(message, {}));
    GYGES_TRY(messages.emplace_back(), read_gemini_result(response, here, pairing));
    answered = true;
  }
  if (!message.content.empty() || !answered) messages.push_back(std::move(message));
  return ok();
}

// The API's own schemas write types in capitals; JSON Schema does not.
void lower_types(json& schema) {
  if (schema.is_object()) {
    if (auto type = schema.find("type"); type != schema.end() && type->is_string()) {
      std::string word = type->get<std::string>();
      for (char& c : word)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
      *type = word;
    }
  }
  if (schema.is_structured())
    for (auto& [key, inner] : schema.items()) lower_types(inner);
}

Status read_gemini_tools(const json& wire, const std::string& place,
                         std::vector<ToolDeclaration>& tools) {
  if (!wire.is_object()) return bad(place, "is no tool");
  const json& functions = either(wire, "functionDeclarations", "function_declarations");
  for (std::size_t i = 0; i < functions.size(); ++i) {
    ToolDeclaration tool;
    tool.name = text_at(functions[i], "name");
    if (tool.name.empty())
      return bad(place + "/functionDeclarations/" + std::to_string(i) + "/name", "is missing");
    tool.description = text_at(functions[i], "description");
    json schema = either(functions[i], "parametersJsonSchema", "parameters_json_schema");
    if (!schema.is_object()) {
      schema = at(functions[i], "parameters");
      lower_types(schema);
    }
    if (schema.is_object()) tool.parameters = dump(schema);
    tool.extra = rest_of(functions[i], {"name", "description", "parameters", "parametersJsonSchema",
                                        "parameters_json_schema"});
    if (!tool.extra.empty()) tool.origin = Gemini::dialect_name;
    tools.push_back(std::move(tool));
  }
  for (const auto& [key, value] : wire.items()) {
    if (key == "functionDeclarations" || key == "function_declarations") continue;
    ToolDeclaration tool;
    tool.kind = ToolDeclaration::Kind::hosted;
    tool.name = key;
    tool.raw = dump({{key, value}});
    tool.origin = Gemini::dialect_name;
    tools.push_back(std::move(tool));
  }
  return ok();
}

void read_gemini_choice(const json& config, ModelRequest& request, json& rest) {
  if (config.is_null()) return;
  const json& calling = either(config, "functionCallingConfig", "function_calling_config");
  std::string mode = text_at(calling, "mode");
  const json& allowed = either(calling, "allowedFunctionNames", "allowed_function_names");
  ToolChoice choice;
  if (mode == "NONE") {
    choice.kind = ToolChoice::Kind::none;
  } else if (mode == "ANY" && allowed.is_array() && allowed.size() == 1 && allowed[0].is_string()) {
    choice = {ToolChoice::Kind::one, allowed[0].get<std::string>()};
  } else if (mode == "ANY" && !allowed.is_array()) {
    choice.kind = ToolChoice::Kind::any;
  } else if (mode != "AUTO") {
    rest["toolConfig"] = config;
    return;
  }
  request.tool_choice = choice;
}

void read_gemini_settings(const json& body, ModelRequest& request) {
  json rest = json::object();
  if (auto others =
          rest_of(body, {"contents", "systemInstruction", "system_instruction", "tools",
                         "toolConfig", "tool_config", "generationConfig", "generation_config"});
      !others.empty())
    rest = parsed(others);
  read_gemini_choice(either(body, "toolConfig", "tool_config"), request, rest);
  const json& config = either(body, "generationConfig", "generation_config");
  request.max_output_tokens = count_at(config, "maxOutputTokens");
  request.temperature = number_at(config, "temperature");
  request.top_p = number_at(config, "topP");
  request.top_k = count_at(config, "topK");
  request.seed = count_at(config, "seed");
  for (const auto& word : at(config, "stopSequences"))
    if (word.is_string()) request.stop.push_back(word.get<std::string>());
  const json& thinking = at(config, "thinkingConfig");
  request.reasoning_tokens = count_at(thinking, "thinkingBudget");
  request.effort = text_at(thinking, "thinkingLevel");
  const json& schema = at(config, "responseJsonSchema");
  if (schema.is_object()) request.schema = dump(schema);
  json others = json::object();
  if (auto inner = rest_of(config, {"maxOutputTokens", "temperature", "topP", "topK", "seed",
                                    "stopSequences", "thinkingConfig", "responseJsonSchema"});
      !inner.empty())
    others = parsed(inner);
  if (schema.is_object()) others.erase("responseMimeType");
  json other_thinking = json::object();
  if (auto inner = rest_of(thinking, {"thinkingLevel", "thinkingBudget"}); !inner.empty())
    other_thinking = parsed(inner);
  // A budget of -1 lets the model decide.
  if (!request.reasoning_tokens && at(thinking, "thinkingBudget").is_number())
    other_thinking["thinkingBudget"] = at(thinking, "thinkingBudget");
  if (!other_thinking.empty()) others["thinkingConfig"] = other_thinking;
  if (!others.empty()) rest["generationConfig"] = others;
  if (rest.empty()) return;
  request.extra = dump(rest);
  request.origin = Gemini::dialect_name;
}

json write_result(const Message& message, const std::string& name, Losses& losses,
                  const std::string& place, json& beside) {
  json response = json::object();
  std::string text;
  for (std::size_t i = 0; i < message.content.size(); ++i) {
    const Part& part = message.content[i];
    std::string here = place + "/content/" + std::to_string(i);
    if (part.kind == Part::Kind::text && part.origin == Gemini::dialect_name &&
        !part.extra.empty()) {
      if (json value = parsed(part.text); value.is_object()) {
        response = std::move(value);
        continue;
      }
    }
    if (part.kind == Part::Kind::text) {
      text += part.text;
      if (!part.extra.empty()) {
        json nothing = json::object();
        put_extra(nothing, part.extra, part.origin, Gemini::dialect_name, losses, here);
      }
    } else if (json wire = gemini_parts::write_part(part, false, losses, here); !wire.is_null()) {
      lose(losses, here, "image inside a tool's result, sent beside it");
      beside.push_back(std::move(wire));
    }
  }
  if (response.empty() || !text.empty()) response[message.tool_failed ? "error" : "output"] = text;
  if (!message.extra.empty()) {
    json nothing = json::object();
    put_extra(nothing, message.extra, message.origin, Gemini::dialect_name, losses, place);
  }
  json wire{{"name", name}, {"response", std::move(response)}};
  if (!message.tool_call_id.starts_with(made_call)) wire["id"] = message.tool_call_id;
  return {{"functionResponse", std::move(wire)}};
}

json write_plain_parts(const Message& message, const std::string& place, Losses& losses) {
  json parts = json::array();
  for (std::size_t i = 0; i < message.content.size(); ++i)
    if (json part = gemini_parts::write_part(message.content[i], false, losses,
                                             place + "/content/" + std::to_string(i));
        !part.is_null())
      parts.push_back(std::move(part));
  return parts;
}

void write_gemini_settings(const ModelRequest& request, Losses& losses, json& body) {
  json config = json::object();
  if (request.max_output_tokens) config["maxOutputTokens"] = *request.max_output_tokens;
  if (request.temperature) config["temperature"] = *request.temperature;
  if (request.top_p) config["topP"] = *request.top_p;
  if (request.top_k) config["topK"] = *request.top_k;
  if (request.seed) config["seed"] = *request.seed;
  if (!request.stop.empty()) config["stopSequences"] = request.stop;
  if (request.reasoning_tokens)
    config["thinkingConfig"]["thinkingBudget"] = *request.reasoning_tokens;
  if (!request.effort.empty()) config["thinkingConfig"]["thinkingLevel"] = request.effort;
  if (!request.schema.empty()) {
    config["responseMimeType"] = "application/json";
    config["responseJsonSchema"] = parsed(request.schema);
  }
  if (!config.empty()) body["generationConfig"] = std::move(config);
  if (request.parallel_tool_calls == false)
    lose(losses, "/parallel_tool_calls", "the API cannot forbid parallel calls");
  if (!request.tool_choice) return;
  static constexpr const char* words[] = {"AUTO", "NONE", "ANY", "ANY"};
  json& calling = body["toolConfig"]["functionCallingConfig"];
  calling["mode"] = words[static_cast<int>(request.tool_choice->kind)];
  if (request.tool_choice->kind == ToolChoice::Kind::one)
    calling["allowedFunctionNames"] = json::array({request.tool_choice->name});
}

json write_tools(const ModelRequest& request, Losses& losses) {
  json functions = json::array();
  json list = json::array();
  for (std::size_t i = 0; i < request.tools.size(); ++i) {
    const ToolDeclaration& tool = request.tools[i];
    std::string place = "/tools/" + std::to_string(i);
    if (tool.kind == ToolDeclaration::Kind::hosted) {
      if (tool.origin == Gemini::dialect_name)
        list.push_back(parsed(tool.raw));
      else
        lose(losses, place, "tool \"" + tool.name + "\" that " + tool.origin + " runs itself");
      continue;
    }
    json wire{{"name", flat_name(tool.space, tool.name)}, {"description", description_of(tool)}};
    if (!tool.parameters.empty() || tool.kind == ToolDeclaration::Kind::custom)
      wire["parametersJsonSchema"] = parameters_of(tool, losses, place);
    put_extra(wire, tool.extra, tool.origin, Gemini::dialect_name, losses, place);
    functions.push_back(std::move(wire));
  }
  if (!functions.empty())
    list.insert(list.begin(), json{{"functionDeclarations", std::move(functions)}});
  return list;
}

// The part of the path behind "models/", with the action.
std::string_view action_of(std::string_view path) {
  path = path_of(path);
  auto models = path.rfind("/models/");
  return models == std::string_view::npos ? std::string_view() : path.substr(models + 8);
}

}  // namespace

std::string Gemini::key_header(std::string_view key) const {
  return "x-goog-api-key: " + std::string(key);
}

Route Gemini::route(std::string_view path) const {
  Route route;
  if (path_of(path).ends_with("/models")) route.kind = Route::Kind::models;
  std::string_view action = action_of(path);
  auto colon = action.rfind(':');
  if (colon == std::string_view::npos) return route;
  route.model = action.substr(0, colon);
  std::string_view verb = action.substr(colon + 1);
  route.stream = verb == "streamGenerateContent";
  if (route.stream || verb == "generateContent") route.kind = Route::Kind::generate;
  if (verb == "countTokens") route.kind = Route::Kind::count_tokens;
  return route;
}

Result<ModelRequest> Gemini::parse_request(std::string_view path, std::string_view body) const {
  GYGES_TRY(json whole, parse_json(body, "request"));
  if (!whole.is_object()) return bad("", "the request is no object");
  Route way = route(path);
  // A count may be asked of a whole request inside the body.
  const json& inner = at(whole, "generateContentRequest");
  const json& value = way.kind == Route::Kind::count_tokens && inner.is_object() ? inner : whole;
  ModelRequest request;
  request.model = way.model;
  request.stream = request.stream_usage = way.stream;
  if (request.model.empty()) return bad("", "the path names no model");
  const json& system = either(value, "systemInstruction", "system_instruction");
  if (!system.is_null()) {
    Message message;
    message.role = Role::system;
    if (system.is_string())
      message.content.push_back({Part::Kind::text, system.get<std::string>()});
    for (const auto& part : at(system, "parts"))
      if (part.is_object()) message.content.push_back(gemini_parts::read_plain_part(part));
    request.messages.push_back(std::move(message));
  }
  const json& contents = at(value, "contents");
  if (!contents.is_array()) return bad("/contents", "is missing");
  Pairing pairing;
  for (std::size_t i = 0; i < contents.size(); ++i)
    GYGES_CHECK(read_gemini_content(contents[i], "/contents/" + std::to_string(i), pairing,
                                    request.messages));
  const json& tools = at(value, "tools");
  for (std::size_t i = 0; i < tools.size(); ++i)
    GYGES_CHECK(read_gemini_tools(tools[i], "/tools/" + std::to_string(i), request.tools));
  read_gemini_settings(value, request);
  return request;
}

Result<WireRequest> Gemini::write_request(const ModelRequest& request, Losses& losses) const {
  json body{{"contents", json::array()}};
  json& contents = body["contents"];
  json system = json::array();
  std::size_t next = 0;
  for (; next < request.messages.size() && request.messages[next].role == Role::system; ++next)
    for (auto& part :
         write_plain_parts(request.messages[next], "/messages/" + std::to_string(next), losses))
      system.push_back(std::move(part));
  if (!system.empty()) body["systemInstruction"] = {{"parts", std::move(system)}};
  std::map<std::string, std::string> names;  // of calls, by id
  json beside = json::array();               // images of results
  bool after_result = false;
  auto say = [&](const char* role, json parts) {
    if (!parts.empty()) contents.push_back({{"role", role}, {"parts", std::move(parts)}});
  };
  for (; next < request.messages.size(); ++next) {
    const Message& message = request.messages[next];
    std::string place = "/messages/" + std::to_string(next);
    if (message.role != Role::tool) {
      say("user", std::exchange(beside, json::array()));
      after_result = false;
    }
    if (message.role == Role::assistant) {
      for (const auto& call : message.tool_calls) names[call.id] = flat_name(call.space, call.name);
      say("model", gemini_parts::content_of(message, false, losses, place));
    } else if (message.role == Role::tool) {
      auto name = names.find(message.tool_call_id);
      if (name == names.end()) lose(losses, place, "result of a call that was not made");
      json wire = write_result(message, name == names.end() ? "unknown" : name->second, losses,
                               place, beside);
      if (after_result)
        contents.back()["parts"].push_back(std::move(wire));
      else
        say("user", json::array({std::move(wire)}));
      after_result = true;
    } else {
      if (message.role == Role::system)
        lose(losses, place, "system message in the midst, sent as one of the user");
      say("user", write_plain_parts(message, place, losses));
    }
  }
  say("user", std::move(beside));
  if (contents.empty())
    return fail("write request", "/messages", "the conversation has no message but the system's",
                "add a message of the user");
  if (json tools = write_tools(request, losses); !tools.empty()) body["tools"] = std::move(tools);
  write_gemini_settings(request, losses, body);
  put_extra(body, request.extra, request.origin, Gemini::dialect_name, losses, "");
  const char* verb = request.stream ? ":streamGenerateContent?alt=sse" : ":generateContent";
  return WireRequest{"/v1beta/models/" + request.model + verb, {}, dump(body)};
}

}  // namespace gyges::model::wire
