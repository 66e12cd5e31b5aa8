#include "agent_runtime/model/translator.h"

#include "base/hash.h"
#include "base/json.h"
#include "base/json_document.h"

namespace gyges::model {
namespace {

using nlohmann::json;

// Members of bodies that stand for something the provider keeps, or ask for what no other gives.
constexpr const char* untranslatable[] = {"previous_response_id", "conversation", "background",
                                          "prompt", "cachedContent"};

json object_of(const std::string& text) {
  if (text.empty()) return json::object();
  auto value = parse_json(text, "");
  return value && value->is_object() ? std::move(*value) : json::object();
}

std::string flat(const std::string& space, const std::string& name) {
  return space.empty() ? name : space + "__" + name;
}

// Dialects differ in the characters that ids may have.
std::string plain_id(std::string id) {
  for (char& c : id) {
    bool fits = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                c == '_' || c == '-';
    if (!fits) c = '_';
  }
  return id;
}

std::string key_of(const Message& message) {
  if (!message.tool_calls.empty()) return "call " + plain_id(message.tool_calls.front().id);
  return "text " + to_hex(sha256(text_of(message)));
}

bool has_proof(const Message& message) {
  for (const auto& part : message.content)
    if (part.kind == Part::Kind::reasoning || !part.signature.empty()) return true;
  for (const auto& call : message.tool_calls)
    if (!call.signature.empty()) return true;
  return false;
}

bool says_the_same(const Message& one, const Message& other) {
  if (text_of(one) != text_of(other) || one.tool_calls.size() != other.tool_calls.size())
    return false;
  for (std::size_t i = 0; i < one.tool_calls.size(); ++i) {
    const ToolCall& a = one.tool_calls[i];
    const ToolCall& b = other.tool_calls[i];
    if (plain_id(a.id) != plain_id(b.id) || flat(a.space, a.name) != flat(b.space, b.name))
      return false;
    if (!a.custom && !b.custom && object_of(a.arguments) != object_of(b.arguments)) return false;
  }
  return true;
}

// The free text inside {"input": "..."}.
void unwrap(ToolCall& call) {
  json value = object_of(call.arguments);
  auto input = value.find("input");
  if (input != value.end() && input->is_string()) call.arguments = input->get<std::string>();
  call.custom = true;
  call.fault.clear();
}

}  // namespace

Result<ModelRequest> Translator::request(const ModelRequest& asked) {
  ModelRequest request = asked;
  builder_ = {};
  held_.clear();
  tools_.clear();
  if (same()) return request;
  json extra = object_of(request.extra);
  for (const char* member : untranslatable)
    if (auto found = extra.find(member); found != extra.end() && *found != false)
      return fail("translate request", "/" + std::string(member),
                  "it stands for something that only the agent's provider has",
                  "give the agent a model of the dialect " + std::string(front_.name()));
  if (auto n = extra.find("n"); n != extra.end() && *n != 1)
    return fail("translate request", "/n", "more than one reply is asked for", "ask for one");
  for (const auto& tool : request.tools)
    if (!tool.space.empty() || tool.kind == ToolDeclaration::Kind::custom)
      tools_[flat(tool.space, tool.name)] = {tool.space, tool.name,
                                             tool.kind == ToolDeclaration::Kind::custom};
  for (auto& message : request.messages) {
    if (message.role != Role::assistant) continue;
    auto found = remembered_.find(key_of(message));
    if (found == remembered_.end() || !says_the_same(found->second, message)) continue;
    // As the model behind gave it, but with the ids that the results of the request name.
    Message original = found->second;
    for (std::size_t i = 0; i < original.tool_calls.size(); ++i)
      original.tool_calls[i].id = message.tool_calls[i].id;
    message = std::move(original);
  }
  return request;
}

void Translator::restore(ToolCall& call) const {
  auto found = tools_.find(flat(call.space, call.name));
  if (found == tools_.end()) return;
  call.space = found->second.space;
  call.name = found->second.name;
  if (found->second.custom && !call.custom) unwrap(call);
}

void Translator::remember(const Message& message) {
  if (same() || !has_proof(message)) return;
  std::string key = key_of(message);
  if (remembered_.insert_or_assign(key, message).second) order_.push_back(key);
  if (order_.size() <= max_remembered) return;
  remembered_.erase(order_.front());
  order_.pop_front();
}

Reply Translator::reply(Reply reply) {
  remember(reply.message);
  for (auto& call : reply.message.tool_calls) restore(call);
  return reply;
}

std::vector<Delta> Translator::delta(Delta delta) {
  if (same()) return {std::move(delta)};
  // What is out of order here is found out of order by whoever reads the reply, too.
  (void)builder_.add(delta);
  std::vector<Delta> ready;
  if (delta.kind == Delta::Kind::stop) remember(std::move(builder_).take().message);
  auto held = delta.is_call ? held_.find(delta.block) : held_.end();
  if (delta.is_call && delta.kind == Delta::Kind::open) {
    bool was_custom = delta.call.custom;
    restore(delta.call);
    if (delta.call.custom && !was_custom) held_.emplace(delta.block, ToolCall{});
  } else if (held != held_.end() && delta.kind == Delta::Kind::text) {
    held->second.arguments += delta.text;
    return ready;
  } else if (held != held_.end() && delta.kind == Delta::Kind::close) {
    unwrap(held->second);
    Delta text;
    text.kind = Delta::Kind::text;
    text.block = delta.block;
    text.is_call = true;
    text.text = std::move(held->second.arguments);
    held_.erase(held);
    if (!text.text.empty()) ready.push_back(std::move(text));
  }
  ready.push_back(std::move(delta));
  return ready;
}

}  // namespace gyges::model
