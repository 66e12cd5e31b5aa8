#include "tools/mcp/client.h"

#include <algorithm>
#include <array>
#include <csignal>

#include "base/json.h"
#include "base/text.h"
#include "sandbox/isolation/sandbox.h"
#include "tools/arguments.h"
#include "tools/mcp/message.h"
#include "tools/output_window.h"

namespace gyges::mcp {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr std::size_t max_pages = 32;
constexpr std::size_t max_cursor_bytes = 4096;
constexpr std::size_t max_tool_name = 64;
constexpr std::size_t max_offered_name = 96;
constexpr std::size_t max_description = 8192;
constexpr std::size_t output_bound_without_limit = 1U << 20U;
constexpr std::size_t max_title = 100;
// What a program that seems to be gone is given to end, so that its status is known.
constexpr std::chrono::milliseconds own_end{1000};
constexpr std::size_t max_examples = 16;
constexpr std::array<std::string_view, 4> known_revisions = {"2025-11-25", "2025-06-18",
                                                             "2025-03-26", "2024-11-05"};

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

std::string text_at(const json& object, const char* key) {
  auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// What a model can read of a piece of content.
std::string text_of(const json& piece) {
  if (!piece.is_object()) return {};
  std::string type = text_at(piece, "type");
  if (type == "text") return text_at(piece, "text");
  if (type == "resource" && piece.contains("resource") && piece.at("resource").is_object()) {
    std::string text = text_at(piece.at("resource"), "text");
    if (!text.empty()) return text;
  }
  if (type == "resource_link") return "[resource " + printable(text_at(piece, "uri")) + "]";
  return "[" + printable(type.substr(0, max_tool_name)) + ", " +
         std::to_string(text_at(piece, "data").size()) + " bytes as base64]";
}

}  // namespace

ToolServer::ToolServer(isolation::Sandbox& sandbox, const ServerDeclaration& declaration,
                       const ClientLimits& limits)
    : sandbox_(sandbox),
      limits_(limits),
      name_(declaration.name),
      prefix_(declaration.prefix.value_or("mcp__" + declaration.name + "__")),
      wanted_(declaration.tools) {}

Result<std::unique_ptr<ToolServer>> ToolServer::start(isolation::Sandbox& sandbox,
                                                      const ServerDeclaration& declaration,
                                                      const std::vector<std::string>& environment,
                                                      const std::string& directory,
                                                      const ClientLimits& limits) {
  std::string step = "start MCP server " + printable(declaration.name.substr(0, max_tool_name));
  if (!usable_name(declaration.name, 32) || declaration.command.empty())
    return fail(step, "", "it has no usable name or no command",
                "name it with letters, digits and underscores, and say what to run");
  std::unique_ptr<ToolServer> server(new ToolServer(sandbox, declaration, limits));
  auto deadline = Clock::now() + declaration.start;
  Status started = server->spawn(declaration, environment, directory);
  if (started) started = server->begin(deadline);
  if (started) started = server->list_tools(deadline);
  if (started) return server;
  Error error = std::move(started.error());
  server->end(error.reason);
  return fail(step, join(declaration.command, " "), server->ended_,
              error.cure.empty() ? "see that it speaks MCP over its standard streams" : error.cure);
}

Status ToolServer::spawn(const ServerDeclaration& declaration,
                         const std::vector<std::string>& environment,
                         const std::string& directory) {
  GYGES_TRY(Pipe in, make_pipe());
  GYGES_TRY(Pipe out, make_pipe());
  GYGES_TRY(Pipe errors, make_pipe());
  isolation::Command command;
  command.argv = declaration.command;
  command.environment = environment;
  for (const std::string& variable : declaration.environment) {
    std::string name = variable.substr(0, variable.find('=') + 1);
    std::erase_if(command.environment,
                  [&](const std::string& other) { return other.starts_with(name); });
    command.environment.push_back(variable);
  }
  command.directory = directory;
  command.standard_input = in.read.get();
  command.standard_output = out.write.get();
  command.standard_error = errors.write.get();
  command.relabelled = true;
  GYGES_TRY(command_, sandbox_.spawn(command));
  in.read.reset();
  out.write.reset();
  errors.write.reset();
  GYGES_TRY(peer_, PipePeer::create(std::move(in.write), std::move(out.read),
                                    std::move(errors.read), limits_.messages));
  return ok();
}

ToolServer::~ToolServer() {
  if (peer_) end("it was ended with the episode", false);
}

// Ends the program, where it has not ended itself, and says what is known of its end.
void ToolServer::end(const std::string& reason, bool by_itself) {
  ended_ = printable(reason);
  std::string words;
  if (peer_) words = peer_->last_words();
  peer_.reset();  // the end of its input, as the protocol has it
  if (command_ != 0) {
    // Where the sandbox is gone the program is too. Its end is taken, so that none is left over.
    auto own = sandbox_.wait(command_, Clock::now() + (by_itself ? own_end : Clock::duration{}));
    if (own && *own) {
      const isolation::CommandEnd& how = **own;
      if (!how.start_error.empty())
        ended_ += ": " + printable(how.start_error);
      else if (how.signal != 0)
        ended_ += " (signal " + std::to_string(how.signal) + ")";
      else
        ended_ += " (exit status " + std::to_string(how.exit_code) + ")";
    } else if (own && sandbox_.signal(command_, SIGKILL, true)) {
      static_cast<void>(sandbox_.wait(command_, Clock::now() + std::chrono::seconds(2)));
    }
    command_ = 0;
  }
  if (!words.empty()) ended_ += "; it last wrote to standard error: " + quoted(words);
}

Status ToolServer::begin(Clock::time_point deadline) {
  GYGES_TRY(PipePeer::Reply reply,
            peer_->request("initialize",
                           R"({"protocolVersion":"2025-11-25","capabilities":{},)"
                           R"("clientInfo":{"name":"client","version":"1.0"}})",
                           deadline, -1));
  if (!reply.result)
    return fail("initialize", "", printable(reply.error), "see that it speaks MCP 2025-11-25");
  std::string revision = text_at(*reply.result, "protocolVersion");
  if (std::find(known_revisions.begin(), known_revisions.end(), revision) == known_revisions.end())
    return fail("initialize", "",
                "it speaks protocol version " + quoted(revision.substr(0, max_title)),
                "use a server of one of " + std::string(known_revisions.front()) + " to " +
                    std::string(known_revisions.back()));
  auto info = reply.result->find("serverInfo");
  if (info != reply.result->end() && info->is_object())
    title_ = printable((text_at(*info, "name").substr(0, max_title) + " " +
                        text_at(*info, "version").substr(0, max_title)));
  return peer_->notify("notifications/initialized", "{}");
}

Status ToolServer::list_tools(Clock::time_point deadline) {
  std::string params = "{}";
  for (std::size_t page = 0; page < max_pages; ++page) {
    GYGES_TRY(PipePeer::Reply reply, peer_->request("tools/list", params, deadline, -1));
    if (!reply.result) return fail("list tools", "", printable(reply.error), "");
    auto list = reply.result->find("tools");
    if (list == reply.result->end() || !list->is_array())
      return fail("list tools", "", "the answer has no list of tools", "");
    for (const json& tool : *list)
      if (std::string reason = add_tool(tool); !reason.empty())
        leave_out(tool.is_object() ? text_at(tool, "name") : "", std::move(reason));
    std::string cursor = text_at(*reply.result, "nextCursor");
    if (cursor.empty() || cursor.size() > max_cursor_bytes) break;
    params = R"({"cursor":)" + json_string(cursor) + "}";
  }
  for (const std::string& name : wanted_)
    if (std::none_of(tools_.begin(), tools_.end(),
                     [&](const auto& tool) { return tool->name() == prefix_ + name; }))
      return fail("list tools", "",
                  "it has no usable tool named " + quoted(name) +
                      (examples_.empty() ? ""
                                         : "; " + quoted(examples_[0].tool) +
                                               " is left out: " + examples_[0].reason),
                  "take it out of the list of tools, or mend the server");
  std::sort(tools_.begin(), tools_.end(),
            [](const auto& a, const auto& b) { return a->name() < b->name(); });
  return ok();
}

void ToolServer::leave_out(std::string tool, std::string reason) {
  ++left_out_;
  if (examples_.size() < max_examples)
    examples_.push_back(
        {printable(tool.substr(0, max_tool_name)), printable(reason.substr(0, 500))});
}

// Empty, or why the tool is left out. Which tools are offered is the scenario's choice and no
// fault.
std::string ToolServer::add_tool(const json& declaration) {
  if (!declaration.is_object()) return "it is not declared by an object";
  std::string own = text_at(declaration, "name");
  if (!wanted_.empty() && std::find(wanted_.begin(), wanted_.end(), own) == wanted_.end())
    return {};
  std::string name = prefix_ + own;
  if (!usable_name(own, max_tool_name) || !usable_name(name, max_offered_name))
    return "its name is not made of letters, digits, underscores and dashes, or too long";
  for (const auto& other : tools_)
    if (other->name() == name) return "there are two of this name";
  if (tools_.size() >= limits_.tools)
    return "the server has more than " + std::to_string(limits_.tools) + " tools";
  auto schema = declaration.find("inputSchema");
  if (schema == declaration.end() || !schema->is_object()) return "it has no inputSchema";
  std::string parameters = json_text(*schema);
  std::string description =
      valid_utf8(text_at(declaration, "description").substr(0, max_description));
  std::size_t bytes = parameters.size() + description.size();
  if (bytes > limits_.tool_bytes || tools_bytes_ + bytes > limits_.tools_bytes)
    return "its declaration, or all of the server's together, is too large";
  if (auto usable = tools::ArgumentSchema::compile(name, parameters); !usable)
    return usable.error().object + ": " + usable.error().reason;
  if (description.empty()) description = own;
  tools_bytes_ += bytes;
  tools_.push_back(std::make_unique<ServerTool>(*this, std::move(name), std::move(own),
                                                std::move(description), std::move(parameters)));
  return {};
}

tools::ToolResult ToolServer::call(const std::string& tool, const json& arguments,
                                   const tools::ToolContext& context) {
  auto gone = [&] {
    tools::ToolResult failed = tools::error_result(
        "server", "The server of this tool has ended and is not started again: " + ended_ + ".");
    failed.sandbox_lost = !sandbox_.alive();
    return failed;
  };
  if (!ended_.empty()) return gone();
  if (auto labelled = sandbox_.relabel(command_, context.call); !labelled) {
    end(labelled.error().reason);
    return gone();
  }
  auto deadline = std::min(Clock::now() + context.timeout, context.deadline);
  std::string params =
      R"({"name":)" + json_string(tool) + R"(,"arguments":)" + json_text(arguments) + "}";
  auto reply = peer_->request("tools/call", params, deadline, context.cancel_fd);
  if (!reply && reply.error().code == ECANCELED) {
    // It goes on under the call's label; what it may still answer has the number of this request.
    static_cast<void>(peer_->notify("notifications/cancelled", peer_->last_request()));
    bool late = Clock::now() >= deadline;
    return tools::error_result(late ? "timeout" : "cancelled",
                               late ? "The server of this tool did not answer within " +
                                          std::to_string(context.timeout.count()) + " seconds."
                                    : "The call was cancelled.");
  }
  if (!reply) {
    end(reply.error().reason);
    return gone();
  }
  // What it does on its own from here on belongs to no call.
  if (auto labelled = sandbox_.relabel(command_, 0); !labelled) end(labelled.error().reason);
  if (!reply->result)
    return tools::error_result("server",
                               "The server answers with an error: " + printable(reply->error));
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
