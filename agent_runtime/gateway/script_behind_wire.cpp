#include "agent_runtime/gateway/script_behind_wire.h"

#include <algorithm>
#include <map>

#include "agent_runtime/model/scripted_model.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"

namespace gyges::gateway {
namespace {

using model::Message;
using model::ModelRequest;
using model::Reply;
using model::Role;
using model::ToolCall;
using model::ToolDeclaration;
using nlohmann::json;
using scaffold::ShellTool;

// One word of a shell; a leading ~ stays outside of the quotes.
std::string word(std::string_view text) {
  std::string out;
  if (text.starts_with("~/")) {
    out = "~/";
    text.remove_prefix(2);
  }
  out += '\'';
  for (char c : text) {
    if (c == '\'')
      out += "'\\''";
    else
      out += c;
  }
  return out + "'";
}

const ToolDeclaration* offered(const ModelRequest& request, const std::string& name) {
  for (const auto& tool : request.tools)
    if (tool.name == name && tool.kind != ToolDeclaration::Kind::hosted) return &tool;
  return nullptr;
}

// The tool of a server that the scenario calls by some name.
struct ServerTool {
  std::string wire_name;                         // empty: it is none of a server's
  const ToolDeclaration* offered = nullptr;      // null: not now
  const scaffold::ToolSearch* search = nullptr;  // by which it is to be asked for, and can be
};

ServerTool tool_of_server(const std::string& name, const std::vector<scaffold::McpServer>& servers,
                          const ModelRequest& request) {
  ServerTool found;
  for (const auto& server : servers) {
    std::string prefix = server.prefix.value_or("mcp__" + server.name + "__");
    if (!name.starts_with(prefix)) continue;
    if (!server.tools.empty() && std::find(server.tools.begin(), server.tools.end(),
                                           name.substr(prefix.size())) == server.tools.end())
      continue;
    found.wire_name = server.wire_prefix + name.substr(prefix.size());
    for (const auto& tool : request.tools)
      if (scaffold::name_on_the_wire(tool.name, tool.space) == found.wire_name)
        found.offered = &tool;
    if (server.search && offered(request, server.search->name) != nullptr)
      found.search = &*server.search;
    if (found.offered != nullptr) break;
  }
  return found;
}

ToolCall search_for(const std::string& tool, const scaffold::ToolSearch& search) {
  std::string query = search.query;
  constexpr std::string_view mark = "{{tool}}";
  if (auto at = query.find(mark); at != std::string::npos) query.replace(at, mark.size(), tool);
  ToolCall call;
  call.name = search.name;
  call.arguments = json{{search.argument, query}}.dump();
  return call;
}

struct Carrier {
  const ShellTool* tool = nullptr;
  const ToolDeclaration* declaration = nullptr;
};

Carrier carrier_in(const ModelRequest& request, const std::vector<ShellTool>& shell) {
  for (const auto& tool : shell)
    if (const auto* found = offered(request, tool.name))
      if ((found->kind == ToolDeclaration::Kind::custom) == !tool.script.empty())
        return {&tool, found};
  return {};
}

void put_command(const Carrier& carrier, const std::string& command, ToolCall& call) {
  call.name = carrier.declaration->name;
  call.space = carrier.declaration->space;
  if (!carrier.tool->script.empty()) {
    call.custom = true;
    call.arguments = carrier.tool->script;
    constexpr std::string_view mark = "{{command}}";
    if (auto at = call.arguments.find(mark); at != std::string::npos)
      call.arguments.replace(at, mark.size(), json(command).dump());
    return;
  }
  json arguments = carrier.tool->with.empty() ? json::object() : json::parse(carrier.tool->with);
  arguments[carrier.tool->argument] = carrier.tool->list ? json::array({command}) : json(command);
  call.arguments = arguments.dump(-1, ' ', false, json::error_handler_t::replace);
}

// Whether calls of it go to the agent; the final report does not.
bool acts(const Message& message) {
  return std::any_of(message.tool_calls.begin(), message.tool_calls.end(),
                     [](const ToolCall& call) { return call.name != "submit"; });
}

// Looks like those of the vendors, and is the same whenever the script is run along the same way.
constexpr std::size_t searches = 1'000'000;  // index of the first search of a step

std::string wire_id(std::uint64_t seed, std::size_t step, std::size_t index) {
  std::string name =
      std::to_string(seed) + "/" + std::to_string(step) + "/" + std::to_string(index);
  return "call_" + to_hex(sha256("wire call " + name)).substr(0, 24);
}

}  // namespace

Result<std::string> command_of(const std::string& tool, const std::string& arguments) {
  json value = json::parse(arguments, nullptr, false);
  auto text = [&](const char* key) {
    return value.is_object() && value.contains(key) && value.at(key).is_string()
               ? value.at(key).get<std::string>()
               : std::string();
  };
  if (tool == "bash") return text("command");
  if (tool == "read_file") return "cat " + word(text("path"));
  if (tool == "list_dir") return "ls -la " + word(text("path").empty() ? "." : text("path"));
  if (tool == "write_file")
    return "printf '%s' " + word(text("content")) + " > " + word(text("path"));
  if (tool == "python") return "python3 -c " + word(text("code"));
  return fail("act by script", printable(tool), "has no form as a command line",
              "let the script call bash where a third-party agent is to act");
}

std::vector<std::string> commands_in(const ToolCall& call, const std::vector<ShellTool>& shell) {
  for (const auto& tool : shell) {
    if (tool.name != call.name || call.custom || !tool.script.empty()) continue;
    json arguments = json::parse(call.arguments, nullptr, false);
    if (!arguments.is_object() || !arguments.contains(tool.argument)) return {};
    const json& value = arguments.at(tool.argument);
    if (value.is_string()) return {value.get<std::string>()};
    std::vector<std::string> commands;
    if (value.is_array())
      for (const auto& item : value)
        if (item.is_string()) commands.push_back(item.get<std::string>());
    // An argument vector ("bash", "-lc", "...") is one command: its last word.
    if (!tool.list && !commands.empty()) return {commands.back()};
    return commands;
  }
  return {};
}

Result<ScriptBehindWire> ScriptBehindWire::create(std::shared_ptr<const model::Script> script,
                                                  std::uint64_t seed, std::vector<ShellTool> shell,
                                                  const std::string& failed,
                                                  std::vector<scaffold::McpServer> servers) {
  ScriptBehindWire made;
  made.servers_ = std::move(servers);
  made.script_ = std::move(script);
  made.seed_ = seed;
  made.shell_ = std::move(shell);
  if (!failed.empty()) {
    GYGES_TRY(Pattern pattern, Pattern::compile(failed));
    made.failed_ = std::make_shared<const Pattern>(std::move(pattern));
  }
  return made;
}

bool ScriptBehindWire::searches_only(const Message& message) const {
  return message.tool_calls.size() == 1 &&
         std::any_of(servers_.begin(), servers_.end(), [&](const auto& server) {
           return server.search && server.search->name == message.tool_calls[0].name;
         });
}

bool ScriptBehindWire::failed_by(const std::string& text) const {
  if (!failed_) return false;
  for (const std::string& line : split(std::string_view(text).substr(0, 65536), '\n'))
    if (auto found = failed_->found_in(line); found && *found) return true;
  return false;
}

Result<Reply> ScriptBehindWire::complete(const ModelRequest& request) const {
  if (carrier_in(request, shell_).tool == nullptr) {
    Reply reply;
    reply.message.role = Role::assistant;
    reply.message.content.push_back({model::Part::Kind::text, "Task"});
    return reply;
  }
  model::ScriptedModel script(script_, seed_);
  const std::vector<ToolDeclaration> no_tools;
  std::vector<Message> known;
  std::map<std::string, std::string> script_id;  // by the id on the wire
  std::vector<std::string> last_ids;             // of the script, in order
  std::size_t results = 0;                       // since the last reply
  std::size_t step = 0;
  bool searched = false;
  for (const Message& message : request.messages) {
    if (message.role == Role::assistant && searches_only(message)) {
      searched = true;
      continue;
    }
    if (message.role == Role::tool && searched) continue;
    searched = false;
    if (message.role == Role::assistant) {
      // Some agents begin with words that they put into the model's mouth: no step of the script.
      model::ScriptedModel ahead = script;
      GYGES_TRY(Reply replayed, ahead.complete({known, no_tools, seed_, {}}));
      if (acts(replayed.message) == message.tool_calls.empty()) continue;
      script = std::move(ahead);
      last_ids.clear();
      for (std::size_t i = 0; i < replayed.message.tool_calls.size(); ++i) {
        const std::string& id = replayed.message.tool_calls[i].id;
        last_ids.push_back(id);
        script_id[wire_id(seed_, step, i)] = id;
      }
      ++step;
      results = 0;
      continue;
    }
    Message taken = message;
    if (message.role == Role::tool) {
      // Wire formats without ids keep the order.
      auto found = script_id.find(message.tool_call_id);
      if (found != script_id.end())
        taken.tool_call_id = found->second;
      else if (results < last_ids.size())
        taken.tool_call_id = last_ids[results];
      ++results;
      taken.tool_failed = message.tool_failed || failed_by(model::text_of(message));
    }
    known.push_back(std::move(taken));
  }
  GYGES_TRY(Reply reply, script.complete({known, no_tools, seed_, {}}));
  return said(std::move(reply), request, step);
}

Result<Reply> ScriptBehindWire::said(Reply reply, const ModelRequest& request,
                                     std::size_t step) const {
  Carrier carrier = carrier_in(request, shell_);
  std::vector<ToolCall> calls;
  for (std::size_t i = 0; i < reply.message.tool_calls.size(); ++i) {
    ToolCall call = std::move(reply.message.tool_calls[i]);
    call.id = wire_id(seed_, step, i);
    // The final report is what an agent says when it calls nothing any more.
    if (call.name == "submit") {
      json report = json::parse(call.arguments, nullptr, false);
      if (report.is_object() && report.contains("report") && report.at("report").is_string())
        reply.message.content = {{model::Part::Kind::text, report.at("report").get<std::string>()}};
      continue;
    }
    ServerTool tool = tool_of_server(call.name, servers_, request);
    if (tool.offered != nullptr) {
      call.name = tool.offered->name;
      call.space = tool.offered->space;
      calls.push_back(std::move(call));
      continue;
    }
    if (tool.search != nullptr) {
      // Nothing else yet: the script takes this step once the tool is there.
      ToolCall search = search_for(tool.wire_name, *tool.search);
      search.id = wire_id(seed_, step, searches + i);
      calls = {std::move(search)};
      break;
    }
    auto command = command_of(call.name, call.arguments);
    if (command) {
      put_command(carrier, *command, call);
    } else if (offered(request, call.name) == nullptr) {
      return tl::unexpected<Error>(std::move(command.error()));
    }
    calls.push_back(std::move(call));
  }
  reply.message.tool_calls = std::move(calls);
  reply.stop_reason =
      reply.message.tool_calls.empty() ? model::StopReason::end : model::StopReason::tool_use;
  bool silent = reply.message.tool_calls.empty() && model::text_of(reply.message).empty();
  // Agents ask again when nothing was said.
  if (silent) reply.message.content.push_back({model::Part::Kind::text, "Done."});
  reply.message.content.erase(
      std::remove_if(reply.message.content.begin(), reply.message.content.end(),
                     [](const auto& part) { return part.text.empty(); }),
      reply.message.content.end());
  reply.usage.input_tokens = model::estimated_tokens(request);
  reply.usage.output_tokens = 1 + model::text_of(reply.message).size() / 4;
  return reply;
}

}  // namespace gyges::gateway
