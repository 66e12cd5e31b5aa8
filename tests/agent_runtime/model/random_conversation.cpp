#include "tests/agent_runtime/model/random_conversation.h"

#include "base/json.h"

namespace gyges::testing {

using namespace gyges::model;
using nlohmann::json;

std::string RandomConversation::word() {
  static const char* const words[] = {"ls", "log", "rm", "tree", "wait", "x", "report"};
  return words[below(std::size(words))] + std::to_string(below(100));
}

std::string RandomConversation::text() {
  static const char* const pieces[] = {"plain words",
                                       "\n",
                                       "\r\n",
                                       "\"quoted\" \\ ",
                                       "\xC3\xA9\xC3\xA0",
                                       "\xF0\x9F\x98\x80",
                                       "\x1b[31m",
                                       "data: x\n\n",
                                       "</s>",
                                       "{\"a\":1}",
                                       "\t",
                                       "\xE2\x80\xAE",
                                       "\x01\x7f",
                                       " "};
  std::string text = word();
  for (std::size_t i = below(6); i > 0; --i) text += pieces[below(std::size(pieces))];
  return text;
}

std::string RandomConversation::arguments() {
  json value = json::object();
  for (std::size_t i = below(4); i > 0; --i) {
    std::string key = word();
    switch (below(5)) {
      case 0:
        value[key] = text();
        break;
      case 1:
        value[key] = static_cast<std::int64_t>(random_());
        break;
      case 2:
        value[key] = json::array({text(), nullptr, true});
        break;
      case 3:
        value[key] = {{"inner", 0.5}, {"empty", json::object()}};
        break;
      default:
        value[key] = below(1000);
    }
  }
  return value.dump();
}

Message RandomConversation::assistant(bool with_calls) {
  Message message;
  message.role = Role::assistant;
  if (one_in(2)) {
    Part thought{Part::Kind::reasoning, text()};
    thought.origin = origin_;
    if (origin_ == "anthropic_messages") thought.signature = word();
    if (origin_ == "openai_responses") {
      thought.id = "rs_" + word();
      thought.data = word();
    }
    message.content.push_back(std::move(thought));
  }
  if (!with_calls || one_in(2)) message.content.push_back({Part::Kind::text, text()});
  if (!with_calls) return message;
  for (std::size_t i = 1 + below(4); i > 0; --i) {
    ToolCall call;
    call.id = "call_" + std::to_string(++calls_);
    call.name = one_in(2) ? "bash" : "read_file";
    call.arguments = arguments();
    message.tool_calls.push_back(std::move(call));
  }
  return message;
}

ModelRequest RandomConversation::request() {
  ModelRequest request;
  request.model = "some-model";
  request.max_output_tokens = 100 + below(1000);
  if (one_in(2)) request.temperature = 0.25;
  if (one_in(3)) request.tool_choice = ToolChoice{ToolChoice::Kind::any, ""};
  for (const char* name : {"bash", "read_file"}) {
    ToolDeclaration tool;
    tool.name = name;
    tool.description = text();
    tool.parameters = R"({"properties":{"a":{"type":"string"}},"type":"object"})";
    request.tools.push_back(std::move(tool));
  }
  auto say = [&](Role role) {
    Message message;
    message.role = role;
    message.content.push_back({Part::Kind::text, text()});
    request.messages.push_back(std::move(message));
  };
  if (!one_in(4)) say(Role::system);
  say(Role::user);
  for (std::size_t turn = below(6); turn > 0; --turn) {
    request.messages.push_back(assistant(!one_in(3)));
    std::size_t answered = request.messages.size() - 1;
    for (std::size_t i = 0; i < request.messages[answered].tool_calls.size(); ++i) {
      Message result;
      result.role = Role::tool;
      result.tool_call_id = request.messages[answered].tool_calls[i].id;
      result.content.push_back({Part::Kind::text, text()});
      request.messages.push_back(std::move(result));
    }
    if (request.messages[answered].tool_calls.empty() || one_in(3)) {
      say(Role::user);
      if (one_in(3)) {
        Part image;
        image.kind = Part::Kind::image;
        image.media_type = "image/png";
        image.data = "iVBORw0KGgo=";
        request.messages.back().content.push_back(std::move(image));
      }
    }
  }
  return request;
}

Reply RandomConversation::reply() {
  Reply reply;
  bool calls = !one_in(3);
  reply.message = assistant(calls);
  reply.stop_reason = calls ? StopReason::tool_use : StopReason::end;
  if (!calls && one_in(3)) reply.stop_reason = StopReason::length;
  reply.usage.input_tokens = 10 + below(1000);
  reply.usage.output_tokens = 1 + below(1000);
  reply.usage.cached_tokens = below(reply.usage.input_tokens);
  reply.model = "some-model";
  return reply;
}

std::string core_of(const std::vector<Message>& messages) {
  std::string core;
  for (const auto& message : messages) {
    core += std::string(role_name(message.role)) + " " + json(text_of(message)).dump();
    if (!message.tool_call_id.empty()) core += " answers " + message.tool_call_id;
    for (const auto& part : message.content)
      if (part.kind == Part::Kind::image)
        core += " image " + part.media_type + part.data + part.url;
    core += "\n";
    for (const auto& call : message.tool_calls)
      core += "  call " + call.id + " " + call.name + " " +
              (call.custom || !call.fault.empty() ? json(call.arguments).dump()
                                                  : json::parse(call.arguments).dump()) +
              "\n";
  }
  return core;
}

std::string core_of(const ModelRequest& request) {
  std::string core = request.model + "\n" + core_of(request.messages);
  for (const auto& tool : request.tools)
    core +=
        "tool " + tool.name + " " + json(tool.description).dump() + " " + tool.parameters + "\n";
  return core;
}

}  // namespace gyges::testing
