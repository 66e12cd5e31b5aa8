#include <algorithm>

#include "agent_runtime/model/dialect/gemini.h"
#include "base/json.h"
#include "base/json_document.h"

namespace gyges::model::wire {

namespace gemini_parts {
namespace {

struct ErrorWord {
  const char* word;
  ModelError::Kind kind;
};
// The first of a kind is the one written; INVALID_ARGUMENT says no more than the status.
constexpr ErrorWord error_words[] = {
    {"UNAUTHENTICATED", ModelError::Kind::authentication},
    {"PERMISSION_DENIED", ModelError::Kind::permission},
    {"NOT_FOUND", ModelError::Kind::not_found},
    {"RESOURCE_EXHAUSTED", ModelError::Kind::rate_limit},
    {"UNAVAILABLE", ModelError::Kind::overloaded},
    {"DEADLINE_EXCEEDED", ModelError::Kind::timeout},
    {"INTERNAL", ModelError::Kind::server},
};

// An INVALID_ARGUMENT among others: "The input token count (132478) exceeds the maximum number of
// tokens allowed (131072)."
constexpr std::string_view context_words[] = {"exceeds the maximum number of tokens"};

}  // namespace

std::string made_call_id(const std::string& response_id, std::size_t index, const json& part) {
  return made_id(made_call, response_id + "/" + std::to_string(index) + "/" + dump(part));
}

const json& either(const json& object, const char* camel, const char* snake) {
  const json& value = at(object, camel);
  return value.is_null() ? at(object, snake) : value;
}

Part read_plain_part(const json& wire) {
  Part part;
  const json& data = either(wire, "inlineData", "inline_data");
  const json& file = either(wire, "fileData", "file_data");
  const json& media = data.is_object() ? data : file;
  std::string type = text_at(media, "mimeType");
  if (type.empty()) type = text_at(media, "mime_type");
  if (at(wire, "text").is_string()) {
    part.text = text_at(wire, "text");
    if (flag_at(wire, "thought").value_or(false)) {
      part.kind = Part::Kind::reasoning;
      part.origin = Gemini::dialect_name;
    }
  } else if (type.starts_with("image/")) {
    part.kind = Part::Kind::image;
    part.media_type = type;
    part.data = text_at(data, "data");
    part.url = text_at(file, "fileUri");
  } else {
    part.kind = Part::Kind::opaque;
    part.text = dump(wire);
    part.origin = Gemini::dialect_name;
    return part;
  }
  part.signature = text_at(wire, "thoughtSignature");
  if (!part.signature.empty()) part.origin = Gemini::dialect_name;
  return part;
}

Status read_part(const json& wire, const std::string& place, const std::string& unnamed,
                 Message& message) {
  if (!wire.is_object()) return bad(place, "is no part");
  const json& function = either(wire, "functionCall", "function_call");
  if (!function.is_object()) {
    message.content.push_back(read_plain_part(wire));
    return ok();
  }
  ToolCall call;
  call.name = text_at(function, "name");
  if (call.name.empty()) return bad(place + "/functionCall/name", "a tool call without a name");
  call.id = text_at(function, "id");
  if (call.id.empty()) call.id = unnamed;
  const json& arguments = at(function, "args");
  set_arguments(call, arguments.is_null() ? "" : dump(arguments));
  call.signature = text_at(wire, "thoughtSignature");
  if (!call.signature.empty()) call.origin = Gemini::dialect_name;
  call.position = message.content.size();
  message.tool_calls.push_back(std::move(call));
  return ok();
}

json write_part(const Part& part, bool to_agent, Losses& losses, const std::string& place) {
  json wire;
  bool own = part.origin == Gemini::dialect_name;
  switch (part.kind) {
    case Part::Kind::text:
      if (part.text.empty() && (!own || part.signature.empty())) return {};
      wire = {{"text", part.text}};
      break;
    case Part::Kind::reasoning:
      if (!own && !to_agent) {
        lose(losses, place, "reasoning that another provider gave");
        return {};
      }
      if (part.text.empty() && !own) return {};
      wire = {{"text", part.text}, {"thought", true}};
      break;
    case Part::Kind::image: {
      std::string type = part.media_type.empty() ? "image/png" : part.media_type;
      if (!part.data.empty())
        wire = {{"inlineData", {{"mimeType", type}, {"data", part.data}}}};
      else
        wire = {{"fileData", {{"mimeType", type}, {"fileUri", part.url}}}};
      break;
    }
    case Part::Kind::opaque:
      if (own) return parsed(part.text);
      lose(losses, place, "block that only " + part.origin + " knows");
      return {};
  }
  lose_foreign(part, Gemini::dialect_name, losses, place);
  if (own && !part.signature.empty()) wire["thoughtSignature"] = part.signature;
  if (!part.extra.empty() && !own) {
    json nothing = json::object();
    put_extra(nothing, part.extra, part.origin, Gemini::dialect_name, losses, place);
  }
  return wire;
}

json write_call(const ToolCall& call, Losses& losses, const std::string& place) {
  json function{{"name", flat_name(call.space, call.name)},
                {"args", arguments_of(call, losses, place)}};
  if (!call.id.empty() && !call.id.starts_with(made_call)) function["id"] = call.id;
  lose_foreign(call, Gemini::dialect_name, losses, place);
  json wire{{"functionCall", std::move(function)}};
  if (call.origin == Gemini::dialect_name && !call.signature.empty())
    wire["thoughtSignature"] = call.signature;
  return wire;
}

json content_of(const Message& message, bool to_agent, Losses& losses, const std::string& place) {
  json parts = json::array();
  for (const auto& block : blocks_of(message)) {
    std::string index = std::to_string(block.index);
    json part = block.call != nullptr
                    ? write_call(*block.call, losses, place + "/tool_calls/" + index)
                    : write_part(*block.part, to_agent, losses, place + "/content/" + index);
    if (!part.is_null()) parts.push_back(std::move(part));
  }
  return parts;
}

Usage usage_of(const json& metadata) {
  Usage usage;
  usage.input_tokens = count_or_0(metadata, "promptTokenCount");
  usage.cached_tokens = count_or_0(metadata, "cachedContentTokenCount");
  usage.reasoning_tokens = count_or_0(metadata, "thoughtsTokenCount");
  usage.output_tokens = count_or_0(metadata, "candidatesTokenCount") + usage.reasoning_tokens;
  return usage;
}

json write_usage(const Usage& usage) {
  json wire{{"promptTokenCount", usage.input_tokens},
            {"candidatesTokenCount",
             usage.output_tokens - std::min(usage.output_tokens, usage.reasoning_tokens)},
            {"totalTokenCount", usage.input_tokens + usage.output_tokens}};
  if (usage.reasoning_tokens != 0) wire["thoughtsTokenCount"] = usage.reasoning_tokens;
  if (usage.cached_tokens != 0) wire["cachedContentTokenCount"] = usage.cached_tokens;
  return wire;
}

StopReason stop_reason_of(const std::string& word, bool has_calls) {
  if (word == "MAX_TOKENS") return StopReason::length;
  if (word == "SAFETY") return StopReason::refusal;
  if (!word.empty() && word != "STOP" && word != "FINISH_REASON_UNSPECIFIED")
    return StopReason::error;
  return has_calls ? StopReason::tool_use : StopReason::end;
}

const char* stop_word(StopReason reason) {
  switch (reason) {
    case StopReason::length:
      return "MAX_TOKENS";
    case StopReason::refusal:
      return "SAFETY";
    case StopReason::error:
      return "OTHER";
    default:
      return "STOP";
  }
}

ModelError error_of(const json& value, int status) {
  // Some replies wrap the object in a list.
  const json& outer = value.is_array() && !value.empty() ? value.front() : value;
  const json& inner = at(outer, "error");
  ModelError error;
  error.status = status;
  error.kind = error_kind_of(status);
  error.message = text_at(inner, "message");
  error.code = text_at(inner, "status");
  for (const auto& one : error_words)
    if (error.code == one.word) error.kind = one.kind;
  if (error.kind == ModelError::Kind::invalid_request && says_one_of(error.message, context_words))
    error.kind = ModelError::Kind::context_length;
  return error;
}

json error_body(const ModelError& error) {
  const char* word = "INVALID_ARGUMENT";
  for (const auto& one : error_words)
    if (one.kind == error.kind) word = one.word;
  int status = error.kind == ModelError::Kind::overloaded ? 503 : status_of(error.kind);
  // Agents know it by these words.
  std::string message = error.message;
  if (error.kind == ModelError::Kind::context_length && !says_one_of(message, context_words))
    message = "The input token count exceeds the maximum number of tokens allowed: " + message;
  return {{"error", {{"code", status}, {"message", message}, {"status", word}}}};
}

}  // namespace gemini_parts

WireReply Gemini::write_response(const ModelRequest& request, const Reply& reply,
                                 Losses& losses) const {
  json content{{"parts", gemini_parts::content_of(reply.message, true, losses, "/message")},
               {"role", "model"}};
  if (reply.stop_reason == StopReason::pause) lose(losses, "/stop_reason", "that the turn pauses");
  if (reply.stop_reason == StopReason::stop_sequence)
    lose(losses, "/stop_sequence", "the word that ended the reply");
  json candidate{{"content", std::move(content)},
                 {"finishReason", gemini_parts::stop_word(reply.stop_reason)},
                 {"index", 0}};
  return json_reply(200, {{"candidates", json::array({std::move(candidate)})},
                          {"usageMetadata", gemini_parts::write_usage(reply.usage)},
                          {"modelVersion", reply.model.empty() ? request.model : reply.model},
                          {"responseId", reply_id("", reply.id, request)}});
}

Result<Reply> Gemini::parse_response(std::string_view body) const {
  GYGES_TRY(json value, wire::parse_reply_json(body, "reply"));
  const json& candidates = at(value, "candidates");
  bool blocked = at(at(value, "promptFeedback"), "blockReason").is_string();
  if (!blocked && (!candidates.is_array() || candidates.empty() || !candidates[0].is_object()))
    return bad("/candidates", "the reply has no candidates");
  Reply reply;
  reply.message.role = Role::assistant;
  reply.id = text_at(value, "responseId");
  reply.model = text_at(value, "modelVersion");
  reply.usage = gemini_parts::usage_of(at(value, "usageMetadata"));
  reply.stop_reason = StopReason::refusal;
  if (!candidates.is_array() || candidates.empty()) return reply;
  const json& parts = at(at(candidates.front(), "content"), "parts");
  if (parts.size() > ReplyBuilder::max_blocks)
    return bad("/candidates/0/content/parts",
               "more than " + std::to_string(ReplyBuilder::max_blocks) + " parts in one reply");
  for (std::size_t i = 0; i < parts.size(); ++i)
    GYGES_CHECK(
        gemini_parts::read_part(parts[i], "/candidates/0/content/parts/" + std::to_string(i),
                                gemini_parts::made_call_id(reply.id, i, parts[i]), reply.message));
  settle_positions(reply.message);
  reply.stop_reason = gemini_parts::stop_reason_of(text_at(candidates.front(), "finishReason"),
                                                   !reply.message.tool_calls.empty());
  return reply;
}

WireReply Gemini::write_error(const ModelError& error) const {
  json body = gemini_parts::error_body(error);
  return json_reply(body["error"]["code"].get<int>(), body);
}

ModelError Gemini::parse_error(int status, std::string_view body) const {
  auto value = parse_json(body, "reply");
  ModelError error = gemini_parts::error_of(value ? *value : json(), status);
  if (error.message.empty()) error.message = body;
  return error;
}

WireReply Gemini::write_count(std::uint64_t tokens) const {
  return json_reply(200, {{"totalTokens", tokens}});
}

WireReply Gemini::write_models(const std::vector<std::string>& names) const {
  json list = json::array();
  for (const auto& name : names)
    list.push_back({{"name", "models/" + name},
                    {"displayName", name},
                    {"supportedGenerationMethods",
                     json::array({"generateContent", "streamGenerateContent", "countTokens"})}});
  return json_reply(200, {{"models", list}});
}

const Dialect& gemini() {
  static const Gemini dialect;
  return dialect;
}

}  // namespace gyges::model::wire
