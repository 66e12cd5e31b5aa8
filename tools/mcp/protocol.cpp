#include "tools/mcp/protocol.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>

#include "base/json.h"
#include "base/text.h"
#include "tools/mcp/header_value.h"
#include "tools/mcp/protocol_tasks.h"

namespace gyges::mcp {
namespace {

using nlohmann::json;

constexpr const char* meta_version = "io.modelcontextprotocol/protocolVersion";
constexpr const char* meta_capabilities = "io.modelcontextprotocol/clientCapabilities";
constexpr const char* meta_client = "io.modelcontextprotocol/clientInfo";
constexpr const char* meta_log_level = "io.modelcontextprotocol/logLevel";
constexpr std::size_t max_name_bytes = 128;
constexpr std::size_t max_token_bytes = 256;
constexpr std::size_t page_tools = 50;
constexpr int list_ttl_ms = 300'000;

constexpr std::array<std::string_view, 8> levels = {"debug", "info",     "notice", "warning",
                                                    "error", "critical", "alert",  "emergency"};

const json* find(const json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  auto found = object.find(key);
  return found != object.end() ? &*found : nullptr;
}

std::string string_at(const json& object, const char* key) {
  const json* value = find(object, key);
  return value != nullptr && value->is_string() ? value->get<std::string>() : std::string();
}

std::string short_text(std::string text) {
  if (text.size() > max_name_bytes) text.resize(max_name_bytes);
  return valid_utf8(text);
}

std::string progress_token(const json& params) {
  const json* meta = find(params, "_meta");
  const json* token = meta != nullptr ? find(*meta, "progressToken") : nullptr;
  if (token == nullptr || (!token->is_string() && !token->is_number_integer())) return {};
  std::string text = json_text(*token);
  return text.size() <= max_token_bytes ? text : std::string();
}

std::string all_versions() {
  std::string list = "[";
  for (std::size_t i = revision_names.size(); i-- > 0;)
    list += "\"" + std::string(revision_names[i]) + "\"" + (i > 0 ? "," : "");
  return list + "]";
}

Step refusal(const std::string& id, Fault fault, int status) {
  Step step;
  step.kind = Step::Kind::reply;
  step.text = error_text(id, fault);
  step.http_status = status;
  return step;
}

Step nothing() {
  Step step;
  step.http_status = 202;
  return step;
}

Step cancelled(const Message& message) {
  const json* id = find(*message.params, "requestId");
  if (id == nullptr || (!id->is_string() && !id->is_number_integer())) return nothing();
  Step step = nothing();
  step.kind = Step::Kind::cancel;
  step.text = json_text(*id);
  return step;
}

Step answered(const Message& message) {
  Step step = nothing();
  step.kind = Step::Kind::answer;
  step.text = message.id;
  if (message.result)
    step.response.result = json_text(*message.result);
  else
    step.response.fault = Fault{Code::internal_error, valid_utf8(message.error), {}};
  return step;
}

ClientInfo client_of(const json* info, Revision revision, const Headers& headers) {
  ClientInfo client;
  if (info != nullptr) {
    client.name = short_text(string_at(*info, "name"));
    client.version = short_text(string_at(*info, "version"));
  }
  client.revision = revision;
  client.transport = headers.http ? "http" : "stdio";
  return client;
}

// Headers repeat parts of the body so that what stands between may route by them; a server that
// believed only one of the two could be led past what checked the other.
std::string header_fault(const Message& message, const std::string& version,
                         const Headers& headers) {
  if (!headers.version) return "The header MCP-Protocol-Version is missing.";
  if (*headers.version != version)
    return "The header MCP-Protocol-Version does not match the body.";
  if (!headers.method) return "The header Mcp-Method is missing.";
  if (*headers.method != message.method) return "The header Mcp-Method does not match the body.";
  static const std::map<std::string, const char*> keys = {
      {"tools/call", "name"},  {"prompts/get", "name"},    {"resources/read", "uri"},
      {"tasks/get", "taskId"}, {"tasks/update", "taskId"}, {"tasks/cancel", "taskId"}};
  auto found = keys.find(message.method);
  const char* key = found != keys.end() ? found->second : nullptr;
  const json* named = key != nullptr ? find(*message.params, key) : nullptr;
  if (named == nullptr || !named->is_string()) return {};  // a fault of the body, found later
  if (!headers.name) return "The header Mcp-Name is missing.";
  auto decoded = decode_header_value(*headers.name);
  if (!decoded || *decoded != named->get_ref<const std::string&>())
    return "The header Mcp-Name does not match the body.";
  return {};
}

std::string argument_header_fault(const ToolEntry& tool, const json* arguments,
                                  const Headers& headers) {
  for (const auto& [header, argument] : tool.header_arguments) {
    const json* value = arguments != nullptr ? find(*arguments, argument.c_str()) : nullptr;
    auto given = headers.parameters.find(header);
    bool in_body = value != nullptr && value->is_string();
    if (!in_body && given == headers.parameters.end()) continue;
    std::string name = "The header Mcp-Param-" + header;
    if (given == headers.parameters.end()) return name + " is missing.";
    auto decoded = decode_header_value(given->second);
    if (!decoded || !in_body || *decoded != value->get_ref<const std::string&>())
      return name + " does not match the body.";
  }
  return {};
}

bool is_list(std::string_view method) {
  return method == "tools/list" || method == "resources/list" || method == "prompts/list" ||
         method == "resources/templates/list" || method == "resources/read" ||
         method == "server/discover";
}

}  // namespace

int log_severity(std::string_view level) {
  auto found = std::find(levels.begin(), levels.end(), level);
  return found != levels.end() ? static_cast<int>(found - levels.begin()) : -1;
}

std::string session_over_text() {
  return notification_text(
      "notifications/message",
      R"({"level":"warning","data":"This session's machine has ended. The next call begins in a )"
      R"(new one, without what was written before."})");
}

bool wants_session_over(const Peer& peer) {
  return peer.initialized && log_severity(peer.log_level) <= log_severity("warning");
}

Step Protocol::refuse(const BadMessage& bad) const {
  return refusal(bad.id, bad.fault, 400);
}

bool Protocol::is_stateless(const Message& message, const Headers& headers) {
  if (message.kind != Message::Kind::request)
    return headers.version && *headers.version == name_of(Revision::r2026_07_28);
  if (headers.version) {
    auto revision = revision_named(*headers.version);
    if (revision) return stateless(*revision);
  }
  const json* meta = find(*message.params, "_meta");
  return (meta != nullptr && meta->is_object() && meta->contains(meta_version)) ||
         message.method == "server/discover";
}

Step Protocol::handle(Peer& peer, const Message& message, const Headers& headers) const {
  if (message.kind == Message::Kind::response) return answered(message);
  if (message.kind == Message::Kind::notification)
    return message.method == "notifications/cancelled" ? cancelled(message) : nothing();
  if (is_stateless(message, headers)) return stateless_request(message, headers);
  if (headers.version && !revision_named(*headers.version))
    return refusal(message.id,
                   {Code::invalid_request,
                    "The protocol version " + quoted(headers.version->substr(0, max_name_bytes)) +
                        " is not served.",
                    {}},
                   400);
  if (message.method == "initialize") return initialize(peer, message, headers);
  return stateful(peer, message, headers);
}

Step Protocol::initialize(Peer& peer, const Message& message, const Headers& headers) const {
  if (peer.initialized)
    return refusal(message.id, {Code::invalid_request, "The session has begun already.", {}}, 400);
  const json* version = find(*message.params, "protocolVersion");
  if (version == nullptr || !version->is_string())
    return refusal(message.id, {Code::invalid_params, "protocolVersion is missing.", {}}, 400);
  auto asked = revision_named(version->get_ref<const std::string&>());
  Revision revision = asked && !stateless(*asked) ? *asked : latest_with_sessions;
  const json* capabilities = find(*message.params, "capabilities");
  peer.initialized = true;
  peer.capabilities = std::make_shared<const json>(
      capabilities != nullptr && capabilities->is_object() ? *capabilities : json::object());
  peer.client = client_of(find(*message.params, "clientInfo"), revision, headers);
  Request request{message.id, message.method, message.params, peer.capabilities, revision, {}, {}};
  Answer answer;
  answer.result = R"({"protocolVersion":")" + std::string(name_of(revision)) +
                  R"(","capabilities":)" + service_.capabilities(revision) + R"(,"serverInfo":)" +
                  service_.server_info() + R"(,"instructions":)" +
                  json_string(service_.instructions()) + "}";
  Step step = reply(request, answer);
  step.initialized = true;
  step.client = peer.client;
  return step;
}

Step Protocol::stateful(Peer& peer, const Message& message, const Headers& headers) const {
  Request request{
      message.id,
      message.method,
      message.params,
      peer.capabilities ? peer.capabilities : std::make_shared<const json>(json::object()),
      peer.client.revision,
      progress_token(*message.params),
      peer.log_level};
  if (message.method == "ping") return reply(request, {"{}", {}, false});
  if (!peer.initialized)
    return refusal(message.id,
                   {Code::invalid_request, "The session has not begun: send initialize first.", {}},
                   400);
  if (headers.version && *headers.version != name_of(peer.client.revision))
    return refusal(
        message.id,
        {Code::invalid_request, "The session was begun with another protocol version.", {}}, 400);
  if (message.method == "logging/setLevel") {
    std::string level = string_at(*message.params, "level");
    if (log_severity(level) < 0)
      return reply(request, fault_answer(Code::invalid_params, "There is no such log level."));
    peer.log_level = level;
    return reply(request, {"{}", {}, false});
  }
  return dispatch(std::move(request), peer.client);
}

Step Protocol::stateless_request(const Message& message, const Headers& headers) const {
  auto refuse_with = [&](Code code, std::string text, std::string data = {}) {
    return refusal(message.id, {code, std::move(text), std::move(data)}, 400);
  };
  const json* meta = find(*message.params, "_meta");
  const json* version = meta != nullptr ? find(*meta, meta_version) : nullptr;
  const json* capabilities = meta != nullptr ? find(*meta, meta_capabilities) : nullptr;
  if (version == nullptr || !version->is_string())
    return refuse_with(Code::invalid_params,
                       std::string("params._meta has no string ") + meta_version + ".");
  const auto& asked = version->get_ref<const std::string&>();
  if (headers.http)
    if (std::string fault = header_fault(message, asked, headers); !fault.empty())
      return refuse_with(Code::header_mismatch, fault);
  if (headers.http)
    if (std::string fault = parameter_fault(message, headers); !fault.empty())
      return refuse_with(Code::header_mismatch, fault);
  auto revision = revision_named(asked);
  if (!revision || !stateless(*revision))
    return refuse_with(Code::unsupported_version, "This protocol version is not served this way.",
                       R"({"supported":)" + all_versions() + R"(,"requested":)" +
                           json_string(asked.substr(0, max_name_bytes)) + "}");
  if (capabilities == nullptr || !capabilities->is_object())
    return refuse_with(Code::invalid_params,
                       std::string("params._meta has no object ") + meta_capabilities + ".");
  ClientInfo client = client_of(find(*meta, meta_client), *revision, headers);
  Request request{message.id,
                  message.method,
                  message.params,
                  std::make_shared<const json>(*capabilities),
                  *revision,
                  progress_token(*message.params),
                  string_at(*meta, meta_log_level)};
  if (log_severity(request.log_level) < 0) request.log_level.clear();
  if (message.method == "server/discover") {
    Answer answer;
    answer.result = R"({"supportedVersions":)" + all_versions() + R"(,"capabilities":)" +
                    service_.capabilities(*revision) + R"(,"instructions":)" +
                    json_string(service_.instructions()) + "}";
    return reply(request, answer);
  }
  return dispatch(std::move(request), std::move(client));
}

Step Protocol::dispatch(Request request, ClientInfo client) const {
  if (request.method == "tools/list") return reply(request, list_tools(request));
  bool call = request.method == "tools/call";
  if (call) {
    const json* name = find(*request.params, "name");
    const json* arguments = find(*request.params, "arguments");
    if (name == nullptr || !name->is_string())
      return reply(request, fault_answer(Code::invalid_params, "The name of a tool is missing."));
    if (arguments != nullptr && !arguments->is_object())
      return reply(request, fault_answer(Code::invalid_params, "Arguments are a JSON object."));
    const auto& wanted = name->get_ref<const std::string&>();
    const auto& tools = service_.tools();
    if (std::none_of(tools.begin(), tools.end(),
                     [&](const ToolEntry& tool) { return tool.name == wanted; }))
      return reply(request,
                   fault_answer(Code::invalid_params,
                                "Unknown tool: " + quoted(wanted.substr(0, max_name_bytes))));
  }
  const bool about_tasks = service_.has_tasks() && is_about_tasks(request);
  if (about_tasks || (call && service_.has_tasks()))
    if (auto fault = task_fault(service_, request)) return reply(request, *fault);
  if (call || about_tasks || service_.in_session(request.method)) {
    Step step;
    step.kind = Step::Kind::call;
    step.request = std::move(request);
    step.client = std::move(client);
    return step;
  }
  auto answer = service_.answer(request);
  if (!answer)
    answer = fault_answer(Code::method_not_found, "Method not found: " + quoted(request.method));
  return reply(request, *answer);
}

std::string Protocol::parameter_fault(const Message& message, const Headers& headers) const {
  if (message.method != "tools/call") return {};
  std::string name = string_at(*message.params, "name");
  for (const ToolEntry& tool : service_.tools())
    if (tool.name == name)
      return argument_header_fault(tool, find(*message.params, "arguments"), headers);
  return {};
}

Answer Protocol::list_tools(const Request& request) const {
  const auto& tools = service_.tools();
  std::size_t first = 0;
  if (const json* cursor = find(*request.params, "cursor")) {
    const std::string* text = cursor->get_ptr<const std::string*>();
    const char* end = text != nullptr ? text->data() + text->size() : nullptr;
    if (text == nullptr || text->empty() || std::from_chars(text->data(), end, first).ptr != end ||
        first == 0 || first >= tools.size())
      return fault_answer(Code::invalid_params, "The cursor is not one of this server's.");
  }
  Answer answer;
  answer.result = R"({"tools":[)";
  std::size_t end = std::min(tools.size(), first + page_tools);
  for (std::size_t i = first; i < end; ++i) {
    answer.result += (i > first ? "," : "") + tools[i].declaration;
    add_task_support(service_, request, tools[i].name, answer.result);
  }
  answer.result += "]";
  if (end < tools.size()) answer.result += R"(,"nextCursor":")" + std::to_string(end) + "\"";
  answer.result += "}";
  return answer;
}

Step Protocol::reply(const Request& request, const Answer& answer) const {
  Step step;
  step.kind = Step::Kind::reply;
  step.text = reply_text(request, answer);
  step.http_status = http_status(request, answer);
  return step;
}

std::string Protocol::reply_text(const Request& request, const Answer& answer) const {
  if (answer.fault) return error_text(request.id, *answer.fault);
  if (!stateless(request.revision)) return result_text(request.id, answer.result);
  std::string head = std::string(R"({"resultType":")") +
                     (answer.input_required ? "input_required"
                      : answer.task         ? "task"
                                            : "complete") +
                     R"(","_meta":{"io.modelcontextprotocol/serverInfo":)" +
                     service_.server_info() + "}";
  if (is_list(request.method) && !answer.input_required)
    head += R"(,"ttlMs":)" + std::to_string(list_ttl_ms) + R"(,"cacheScope":"private")";
  // Results are objects: "{" and the rest.
  std::string rest = answer.result.substr(1);
  return result_text(request.id, head + (rest == "}" ? "" : ",") + rest);
}

int Protocol::http_status(const Request& request, const Answer& answer) {
  if (!answer.fault) return 200;
  if (answer.fault->code == Code::busy) return 429;
  if (!stateless(request.revision)) return 200;
  if (answer.fault->code == Code::method_not_found) return 404;
  return answer.fault->code == Code::internal_error ? 500 : 400;
}

}  // namespace gyges::mcp
