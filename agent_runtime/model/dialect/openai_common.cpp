#include "agent_runtime/model/dialect/openai_common.h"

#include "base/json.h"
#include "base/json_document.h"

namespace gyges::model::wire::openai {
namespace {

using Kind = ModelError::Kind;

struct ErrorWord {
  const char* type;
  const char* code;
  Kind kind;
};
// The first of a kind is the one written.
constexpr ErrorWord error_words[] = {
    {"invalid_request_error", "", Kind::invalid_request},
    {"invalid_request_error", "invalid_api_key", Kind::authentication},
    {"invalid_request_error", "unsupported_country_region_territory", Kind::permission},
    {"invalid_request_error", "model_not_found", Kind::not_found},
    {"invalid_request_error", "request_too_large", Kind::too_large},
    {"invalid_request_error", "context_length_exceeded", Kind::context_length},
    {"requests", "rate_limit_exceeded", Kind::rate_limit},
    {"server_error", "server_is_overloaded", Kind::overloaded},
    {"server_error", "timeout", Kind::timeout},
    {"server_error", "", Kind::server},
    {"insufficient_quota", "insufficient_quota", Kind::permission},
    {"tokens", "rate_limit_exceeded", Kind::rate_limit},
    {"server_error", "slow_down", Kind::overloaded},
    {"exceed_context_size_error", "exceed_context_size_error", Kind::context_length},  // llama.cpp
};

// Compatible servers that have no word for it say it in the message only: vLLM, llama.cpp,
// llama-cpp-python, SGLang.
constexpr std::string_view context_words[] = {"maximum context length",
                                              "maximum model length",
                                              "context size has been exceeded",
                                              "exceeds the available context size",
                                              "exceed context window",
                                              "exceeds the context window",
                                              "exceeds the model's context length",
                                              "longer than the model's context length"};

}  // namespace

std::string key_header(std::string_view key) {
  return "Authorization: Bearer " + std::string(key);
}

ModelError error_of(const json& value, int status) {
  ModelError error;
  error.status = status;
  error.kind = error_kind_of(status);
  const json& inner = at(value, "error");
  const json& object = inner.is_object() ? inner : value;
  error.message = inner.is_string() ? inner.get<std::string>() : text_at(object, "message");
  if (error.message.empty()) error.message = text_at(value, "detail");
  error.code = text_at(object, "code");
  if (error.code.empty()) error.code = text_at(object, "type");
  // Only the code says more than the status; a quota that is used up comes as 429 and will not
  // become better by waiting.
  for (const auto& one : error_words)
    if (*one.code != '\0' && error.code == one.code) {
      error.kind = one.kind;
      break;
    }
  // A 500 among them would otherwise be asked again and again.
  if ((error.kind == Kind::invalid_request || error.kind == Kind::server) &&
      says_one_of(error.message, context_words))
    error.kind = Kind::context_length;
  return error;
}

ModelError parse_error(int status, std::string_view body) {
  auto value = parse_json(body, "reply");
  ModelError error = error_of(value ? *value : json(), status);
  if (error.message.empty()) error.message = body;
  return error;
}

json error_body(const ModelError& error) {
  for (const auto& one : error_words)
    if (one.kind == error.kind)
      return {{"error",
               {{"message", error.message},
                {"type", one.type},
                {"param", nullptr},
                {"code", *one.code == '\0' ? json() : json(one.code)}}}};
  return {};
}

int error_status(const ModelError& error) {
  return error.kind == Kind::overloaded ? 503 : status_of(error.kind);
}

WireReply write_error(const ModelError& error) {
  return json_reply(error_status(error), error_body(error));
}

WireReply write_models(const std::vector<std::string>& names) {
  json list = json::array();
  for (const auto& name : names)
    list.push_back(
        {{"id", name}, {"object", "model"}, {"created", 1735689600}, {"owned_by", "system"}});
  return json_reply(200, {{"object", "list"}, {"data", list}});
}

Status read_choice(const json& wire, const char* inner, ModelRequest& request) {
  if (wire.is_null()) return ok();
  ToolChoice choice;
  if (wire.is_string()) {
    std::string word = wire.get<std::string>();
    if (word == "none")
      choice.kind = ToolChoice::Kind::none;
    else if (word == "required")
      choice.kind = ToolChoice::Kind::any;
    else if (word != "auto")
      return bad("/tool_choice", "is none of auto, none and required");
  } else {
    choice = {ToolChoice::Kind::one, text_at(*inner == '\0' ? wire : at(wire, inner), "name")};
    if (choice.name.empty() && *inner != '\0') choice.name = text_at(at(wire, "custom"), "name");
    if (choice.name.empty()) return bad("/tool_choice", "names no tool");
  }
  request.tool_choice = choice;
  return ok();
}

}  // namespace gyges::model::wire::openai
