#include "tools/mcp/message.h"

#include "base/json.h"
#include "base/text.h"

namespace gyges::mcp {
namespace {

using nlohmann::json;

tl::unexpected<BadMessage> bad(Code code, std::string message, std::string id = {}) {
  return tl::unexpected<BadMessage>(BadMessage{{code, std::move(message), {}}, std::move(id)});
}

// Why a text is not worth parsing; empty where it is.
std::string shape_fault(std::string_view text, const Bounds& bounds) {
  std::size_t depth = 0;
  std::size_t values = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (in_string) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        in_string = false;
      continue;
    }
    if (c == '"') in_string = true;
    if (c == '[' || c == '{') {
      if (++depth > bounds.depth)
        return "nested deeper than " + std::to_string(bounds.depth) + " levels";
    } else if ((c == ']' || c == '}') && depth > 0) {
      --depth;
    } else if ((c == ',' || c == ':') && ++values > bounds.values) {
      return "more than " + std::to_string(bounds.values) + " values";
    }
  }
  return {};
}

// The id as JSON text; empty where it is no id.
std::string id_of(const json& value, const Bounds& bounds) {
  if (!value.is_string() && !value.is_number_integer()) return {};
  std::string text = json_text(value);
  return text.size() <= bounds.id_bytes ? text : std::string();
}

tl::expected<Message, BadMessage> read_response(json& value, std::string id) {
  Message message;
  message.kind = Message::Kind::response;
  message.id = std::move(id);
  message.params = std::make_shared<const json>(json::object());
  auto result = value.find("result");
  auto error = value.find("error");
  if ((result == value.end()) == (error == value.end()))
    return bad(Code::invalid_request, "A response has either a result or an error.", message.id);
  if (result != value.end()) {
    if (message.id.empty() || !result->is_object())
      return bad(Code::invalid_request, "A result is an object and has an id.", message.id);
    message.result = std::make_shared<const json>(std::move(*result));
    return message;
  }
  message.error = "unknown error";
  if (error->is_object() && error->contains("message") && error->at("message").is_string())
    message.error = error->at("message").get<std::string>();
  return message;
}

}  // namespace

tl::expected<Message, BadMessage> read_message(std::string_view text, const Bounds& bounds) {
  if (text.size() > bounds.message_bytes)
    return bad(Code::invalid_request,
               "The message is longer than " + std::to_string(bounds.message_bytes) + " bytes.");
  if (std::string fault = shape_fault(text, bounds); !fault.empty())
    return bad(Code::invalid_request, "The message is " + fault + ".");
  json value = json::parse(text, nullptr, false);
  if (value.is_discarded()) return bad(Code::parse_error, "The message is not valid JSON.");
  if (value.is_array())
    return bad(Code::invalid_request, "Batches are not part of the protocol since 2025-06-18.");
  if (!value.is_object()) return bad(Code::invalid_request, "A message is a JSON object.");
  auto id_value = value.find("id");
  std::string id = id_value != value.end() ? id_of(*id_value, bounds) : std::string();
  auto version = value.find("jsonrpc");
  if (version == value.end() || *version != "2.0")
    return bad(Code::invalid_request, "A message has \"jsonrpc\":\"2.0\".", id);
  bool wrong_id = id_value != value.end() && id.empty();
  auto method = value.find("method");
  if (method == value.end()) {
    // An error may answer something of which the id could not be read.
    if (wrong_id && !id_value->is_null())
      return bad(Code::invalid_request, "An id is a string or an integer.");
    return read_response(value, std::move(id));
  }
  if (wrong_id) return bad(Code::invalid_request, "An id is a string or an integer.");
  if (!method->is_string() || method->get_ref<const std::string&>().empty() ||
      method->get_ref<const std::string&>().size() > bounds.method_bytes)
    return bad(Code::invalid_request, "A method is a short string.", id);
  Message message;
  message.kind = id.empty() ? Message::Kind::notification : Message::Kind::request;
  message.id = std::move(id);
  message.method = method->get<std::string>();
  auto params = value.find("params");
  if (params == value.end()) {
    message.params = std::make_shared<const json>(json::object());
    return message;
  }
  if (!params->is_object())
    return bad(Code::invalid_params, "Parameters are a JSON object.", message.id);
  message.params = std::make_shared<const json>(std::move(*params));
  return message;
}

std::string result_text(std::string_view id, std::string_view result) {
  std::string text = R"({"jsonrpc":"2.0","id":)";
  text.reserve(text.size() + id.size() + result.size() + 16);
  text.append(id.empty() ? "null" : id).append(R"(,"result":)").append(result).append("}");
  return text;
}

std::string error_text(std::string_view id, const Fault& fault) {
  std::string text = R"({"jsonrpc":"2.0",)";
  // Without an id where it could not be read: JSON-RPC says null, the protocol's own schema none.
  if (!id.empty()) text.append(R"("id":)").append(id).append(",");
  text += R"("error":{"code":)" + std::to_string(static_cast<int>(fault.code)) + R"(,"message":)" +
          json_string(fault.message);
  if (!fault.data.empty()) text += R"(,"data":)" + fault.data;
  return text + "}}";
}

std::string notification_text(std::string_view method, std::string_view params) {
  return R"({"jsonrpc":"2.0","method":)" + json_string(method) + R"(,"params":)" +
         std::string(params) + "}";
}

std::string request_text(std::string_view id, std::string_view method, std::string_view params) {
  return R"({"jsonrpc":"2.0","id":)" + std::string(id) + R"(,"method":)" + json_string(method) +
         R"(,"params":)" + std::string(params) + "}";
}

std::string json_string(std::string_view bytes) {
  return json(std::string(bytes)).dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string json_text(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace gyges::mcp
