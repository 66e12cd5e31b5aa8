#include "tools/mcp/client.h"

#include <algorithm>
#include <csignal>

#include "base/json.h"
#include "base/text.h"
#include "sandbox/isolation/sandbox.h"
#include "tools/mcp/message.h"
#include "tools/output_window.h"

namespace gyges::mcp {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr std::size_t max_pages = 32;
constexpr std::size_t max_cursor_bytes = 4096;
constexpr std::size_t max_tool_name = 64;
constexpr std::size_t max_description = 8192;
constexpr std::size_t output_bound_without_limit = 1U << 20U;

bool usable_name(const std::string& name, std::size_t longest) {
  return !name.empty() && name.size() <= longest &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '_' || c == '-';
         });
}

class ServerTool final : public tools::Tool {
 public:
  ServerTool(ToolServer& server, std::string name, std::string own_name, std::string description,
             std::string parameters)
      : server_(server),
        name_(std::move(name)),
        own_name_(std::move(own_name)),
        description_(std::move(description)),
        parameters_(std::move(parameters)) {}
  [[nodiscard]] std::string_view name() const override { return name_; }
  [[nodiscard]] std::string_view description() const override { return description_; }
  [[nodiscard]] std::string_view parameters() const override { return parameters_; }
  tools::ToolResult run(const tools::ToolContext& context, const json& arguments) const override {
    return server_.call(own_name_, arguments, context);
  }

 private:
  ToolServer& server_;
  std::string name_;
  std::string own_name_;
  std::string description_;
  std::string parameters_;
};

std::string string_at(const json& object, const char* key) {
  auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// What a model can read of a piece of content.
std::string text_of(const json& piece) {
  if (!piece.is_object()) return {};
  std::string type = string_at(piece, "type");
  if (type == "text") return string_at(piece, "text");
  if (type == "resource" && piece.contains("resource") && piece.at("resource").is_object()) {
    std::string text = string_at(piece.at("resource"), "text");
    if (!text.empty()) return text;
  }
  if (type == "resource_link") return "[resource " + printable(string_at(piece, "uri")) + "]";
  return "[" + printable(type.substr(0, max_tool_name)) + ", " +
         std::to_string(string_at(piece, "data").size()) + " bytes as base64]";
}

}  // namespace

Result<std::unique_ptr<ToolServer>> ToolServer::start(isolation::Sandbox& sandbox,
                                                      const ServerDeclaration& declaration,
                                                      const std::vector<std::string>& environment,
                                                      const std::string& directory,
                                                      const ClientLimits& limits) {
  if (!usable_name(declaration.name, 32) || declaration.command.empty())
    return fail("start MCP server", quoted(declaration.name), "it has no usable name or no command",
                "name it with letters, digits and underscores, and say what to run");
  GYGES_TRY(Pipe in, make_pipe());
  GYGES_TRY(Pipe out, make_pipe());
  isolation::Command command;
  command.argv = declaration.command;
  command.environment = environment;
  command.directory = directory;
  command.standard_input = in.read.get();
  command.standard_output = out.write.get();
  std::unique_ptr<ToolServer> server(new ToolServer(sandbox, limits, declaration.name));
  GYGES_TRY(server->command_, sandbox.spawn(command));
  in.read.reset();
  out.write.reset();
  GYGES_TRY(server->peer_,
            PipePeer::create(std::move(in.write), std::move(out.read), limits.messages));
  auto begun = server->begin();
  if (!begun)
    return tl::unexpected<Error>(
        std::move(begun).with_context("start MCP server " + declaration.name).error());
  return server;
}

ToolServer::~ToolServer() {
  peer_.reset();  // the end of its input, as the protocol has it
  // Where the sandbox is gone the program is too. Its end is taken, so that none is left over.
  if (command_ != 0 && sandbox_.signal(command_, SIGKILL, true))
    static_cast<void>(sandbox_.wait(command_, Clock::now() + std::chrono::seconds(2)));
}

Status ToolServer::begin() {
  auto deadline = Clock::now() + limits_.start;
  GYGES_TRY(PipePeer::Reply reply,
            peer_->request("initialize",
                           R"({"protocolVersion":"2025-11-25","capabilities":{},)"
                           R"("clientInfo":{"name":"client","version":"1.0"}})",
                           deadline, -1));
  if (!reply.result)
    return fail("initialize", "", printable(reply.error), "see that it speaks MCP 2025-11-25");
  GYGES_CHECK(peer_->notify("notifications/initialized", "{}"));
  return list_tools(deadline);
}

Status ToolServer::list_tools(Clock::time_point deadline) {
  std::string params = "{}";
  for (std::size_t page = 0; page < max_pages; ++page) {
    GYGES_TRY(PipePeer::Reply reply, peer_->request("tools/list", params, deadline, -1));
    if (!reply.result) return fail("list tools", "", printable(reply.error), "");
    auto list = reply.result->find("tools");
    if (list == reply.result->end() || !list->is_array())
      return fail("list tools", "", "the answer has no list of tools", "");
    for (const json& tool : *list) add_tool(tool);
    std::string cursor = string_at(*reply.result, "nextCursor");
    if (cursor.empty() || cursor.size() > max_cursor_bytes) break;
    params = R"({"cursor":)" + json_string(cursor) + "}";
  }
  std::sort(tools_.begin(), tools_.end(),
            [](const auto& a, const auto& b) { return a->name() < b->name(); });
  return ok();
}

void ToolServer::add_tool(const json& declaration) {
  std::string own = declaration.is_object() ? string_at(declaration, "name") : std::string();
  auto schema = declaration.is_object() ? declaration.find("inputSchema") : declaration.end();
  std::string name = "mcp__" + name_ + "__" + own;
  bool known = std::any_of(tools_.begin(), tools_.end(),
                           [&](const auto& tool) { return tool->name() == name; });
  if (!usable_name(own, max_tool_name) || known || tools_.size() >= limits_.tools ||
      schema == declaration.end() || !schema->is_object()) {
    ++left_out_;
    return;
  }
  std::string parameters = json_text(*schema);
  if (parameters.size() > limits_.tool_bytes) {
    ++left_out_;
    return;
  }
  std::string description = string_at(declaration, "description").substr(0, max_description);
  tools_.push_back(std::make_unique<ServerTool>(*this, std::move(name), std::move(own),
                                                valid_utf8(description), std::move(parameters)));
}

tools::ToolResult ToolServer::call(const std::string& tool, const json& arguments,
                                   const tools::ToolContext& context) {
  auto deadline = std::min(Clock::now() + context.timeout, context.deadline);
  std::string params =
      R"({"name":)" + json_string(tool) + R"(,"arguments":)" + json_text(arguments) + "}";
  auto reply = peer_->request("tools/call", params, deadline, context.cancel_fd);
  if (!reply) {
    bool late = Clock::now() >= deadline;
    tools::ToolResult failed =
        tools::error_result(late ? "timeout" : "server",
                            "The server of this tool failed: " + printable(reply.error().reason));
    failed.sandbox_lost = !sandbox_.alive();
    return failed;
  }
  if (!reply->result) return tools::error_result("server", printable(reply->error));
  tools::OutputWindow window(context.output_bytes != 0 ? context.output_bytes
                                                       : output_bound_without_limit);
  auto content = reply->result->find("content");
  if (content != reply->result->end() && content->is_array())
    for (const json& piece : *content) {
      if (window.total() > 0) window.append("\n");
      window.append(text_of(piece));
    }
  tools::ToolResult result;
  result.output = window.text();
  result.truncated = window.truncated();
  auto failed = reply->result->find("isError");
  if (failed != reply->result->end() && *failed == json(true))
    result.error = tools::ToolError{"tool", "the tool says that it failed"};
  return result;
}

}  // namespace gyges::mcp
