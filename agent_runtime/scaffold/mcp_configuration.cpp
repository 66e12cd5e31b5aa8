#include "agent_runtime/scaffold/mcp_configuration.h"

#include <algorithm>

#include "base/json.h"
#include "base/json_document.h"
#include "base/text.h"

namespace gyges::scaffold {
namespace {

using cues::TemplateContext;
using mcp::ServerDeclaration;
using nlohmann::json;

std::string text_of(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

json environment_of(const ServerDeclaration& server) {
  json variables = json::object();
  for (const std::string& one : server.environment) {
    auto equals = one.find('=');
    if (equals != std::string::npos) variables[one.substr(0, equals)] = one.substr(equals + 1);
  }
  return variables;
}

// What stands for a placeholder in the profile's form of a server; a discarded value where the
// member is to be left out.
json filled_in(const std::string& text, const ServerDeclaration& server) {
  const auto& command = server.command;
  if (text == "{{server.name}}") return server.name;
  if (text == "{{server.program}}") return command.front();
  if (text == "{{server.arguments}}")
    return std::vector<std::string>(command.begin() + 1, command.end());
  if (text == "{{server.command}}") return command;
  if (text == "{{server.environment}}") return environment_of(server);
  if (text == "{{server.tool_patterns}}")
    return server.tools.empty() ? std::vector<std::string>{"*"} : server.tools;
  if (text == "{{server.tools}}")
    return server.tools.empty() ? json(json::value_t::discarded) : json(server.tools);
  return text;
}

json entry_of(const json& form, const ServerDeclaration& server) {
  json entry = json::object();
  for (const auto& [name, value] : form.items()) {
    json filled = value.is_string() ? filled_in(value.get<std::string>(), server) : value;
    if (!filled.is_discarded()) entry[name] = std::move(filled);
  }
  return entry;
}

// Strings of JSON are strings of TOML, but for what JSON leaves unescaped.
std::string toml_string(const std::string& text) {
  std::string quoted = text_of(text);
  for (auto at = quoted.find('\x7f'); at != std::string::npos; at = quoted.find('\x7f', at))
    quoted.replace(at, 1, "\\u007f");
  return quoted;
}

std::string toml_value(const json& value) {
  if (value.is_string()) return toml_string(value.get<std::string>());
  if (!value.is_array()) return text_of(value);
  std::vector<std::string> items;
  for (const auto& item : value) items.push_back(toml_value(item));
  return "[" + join(items, ", ") + "]";
}

// A table, with those of its members that are objects as tables below it. Names are bare words, or
// quoted.
void add_toml_table(const std::string& name, const json& table, std::string& out) {
  out += "\n[" + name + "]\n";
  for (const auto& [key, value] : table.items())
    if (!value.is_object()) out += toml_string(key) + " = " + toml_value(value) + "\n";
  for (const auto& [key, value] : table.items())
    if (value.is_object()) add_toml_table(name + "." + toml_string(key), value, out);
}

isolation::SeedFile& file_at(const std::string& path, const TemplateContext& context,
                             Scaffold& scaffold) {
  auto found = std::find_if(scaffold.files.begin(), scaffold.files.end(),
                            [&](const auto& file) { return file.path == path; });
  if (found != scaffold.files.end()) return *found;
  isolation::SeedFile made;
  made.path = path;
  made.mtime = context.day - files_before;
  scaffold.files.push_back(std::move(made));
  return scaffold.files.back();
}

Status add_to_file(const ProfileMcp& mcp, const json& servers, isolation::SeedFile& file) {
  if (mcp.format == "toml") {
    for (const auto& [name, server] : servers.items())
      add_toml_table(join(mcp.members, ".") + "." + toml_string(name), server, file.content);
    return ok();
  }
  json value = servers;
  for (auto member = mcp.members.rbegin(); member != mcp.members.rend(); ++member)
    value = json{{*member, std::move(value)}};
  if (mcp.format == "yaml") {  // of which JSON is a part
    for (const auto& [name, member] : value.items())
      file.content += name + ": " + text_of(member) + "\n";
    return ok();
  }
  json document = json::object();
  if (!file.content.empty()) {
    GYGES_TRY(document, parse_json(file.content, file.path));
  }
  document.merge_patch(value);
  file.content = document.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
  return ok();
}

// The entries of all servers in the form that the profile says.
class Entries {
 public:
  Entries(const ProfileMcp& mcp, const TemplateContext& context, Scaffold& scaffold)
      : mcp_(mcp), context_(context), scaffold_(scaffold) {}

  Status add(McpServer server, json entry) {
    const std::string& agent = scaffold_.profile.name;
    for (const auto& other : scaffold_.servers)
      if (other.name == server.name)
        return fail("prepare agent", agent, "two MCP servers are named " + server.name,
                    "rename one of them, or the scenario's tool_host");
    TemplateContext inner = context_;
    inner.values["server.name"] = server.name;
    GYGES_TRY(server.wire_prefix, cues::render(mcp_.tool_prefix, inner, agent + " mcp"));
    if (server.wire_prefix.empty() && !scaffold_.servers.empty())
      return fail("prepare agent", agent,
                  "the scenario has several MCP servers, and this agent does not say which of them "
                  "a tool is of",
                  "use another agent, or a scenario with one server");
    server.own_tools = mcp_.own_tools;
    server.search = mcp_.search;
    if (mcp_.list)
      entries_.push_back(std::move(entry));
    else
      entries_[server.name] = std::move(entry);
    scaffold_.servers.push_back(std::move(server));
    return ok();
  }

  Status write() {
    const std::string place = scaffold_.profile.name + " mcp";
    GYGES_TRY(std::string path, cues::render(mcp_.file, context_, place));
    GYGES_CHECK(add_to_file(mcp_, entries_, file_at(path, context_, scaffold_)));
    for (const auto& argument : mcp_.argv) {
      GYGES_TRY(std::string rendered, cues::render(argument, context_, place));
      scaffold_.argv.push_back(std::move(rendered));
    }
    for (const auto& [name, text] : mcp_.environment) {
      GYGES_TRY(std::string rendered, cues::render(text, context_, place));
      scaffold_.environment.emplace_back(name, std::move(rendered));
    }
    return ok();
  }

 private:
  const ProfileMcp& mcp_;
  const TemplateContext& context_;
  Scaffold& scaffold_;
  json entries_ = mcp_.list ? json::array() : json::object();
};

json remote_entry(const json& form, const ToolHost& tools) {
  json entry = form;
  for (auto& value : entry)
    if (value == "{{server.name}}")
      value = tools.name;
    else if (value == "{{server.url}}")
      value = url_of(tools);
  return entry;
}

}  // namespace

bool is_for_people(const std::string& tool) {
  return tool == "ask_human" || tool == "notify";
}

std::string url_of(const ToolHost& tools) {
  std::string url = (tools.tls ? "https://" : "http://") + tools.host;
  if (tools.port != (tools.tls ? 443 : 80)) url += ":" + std::to_string(tools.port);
  return url + tools.path;
}

Status add_mcp_servers(const std::vector<ServerDeclaration>& servers, const ToolHost& tools,
                       const TemplateContext& context, Scaffold& scaffold) {
  const AgentProfile& profile = scaffold.profile;
  const bool remote = !tools.tools.empty() && profile.mcp && !profile.mcp->remote.empty();
  if (servers.empty() && !remote) return ok();
  if (!profile.mcp)
    return fail("prepare agent", profile.name,
                "the scenario has MCP servers, and the profile does not say how this agent is told "
                "of them",
                "use an agent that knows MCP servers, or a scenario without them");
  const ProfileMcp& mcp = *profile.mcp;
  const json form = json::parse(mcp.server);
  const bool chooses = mcp.server.find("{{server.tool") != std::string::npos;
  Entries entries(mcp, context, scaffold);
  for (const auto& server : servers) {
    if (!server.tools.empty() && !chooses)
      return fail("prepare agent", profile.name,
                  "the scenario offers only some tools of the MCP server " + server.name +
                      ", and this agent offers all that a server has",
                  "leave out `tools` of the server, or use another agent");
    GYGES_CHECK(
        entries.add({server.name, server.command, "", server.prefix}, entry_of(form, server)));
  }
  if (remote) {
    McpServer reached{tools.name, {}, "", ""};
    reached.tools = tools.tools;
    GYGES_CHECK(entries.add(std::move(reached), remote_entry(json::parse(mcp.remote), tools)));
    scaffold.tools = tools;
  }
  return entries.write();
}

const McpServer* server_of(const std::string& name, const std::string& space,
                           const std::vector<McpServer>& servers) {
  const std::string whole = name_on_the_wire(name, space);
  const McpServer* best = nullptr;
  auto is_own = [&](const McpServer& server) {
    return server.wire_prefix.empty() && std::find(server.own_tools.begin(), server.own_tools.end(),
                                                   whole) != server.own_tools.end();
  };
  for (const McpServer& server : servers)
    if (whole.starts_with(server.wire_prefix) && !is_own(server) &&
        (best == nullptr || server.wire_prefix.size() > best->wire_prefix.size()))
      best = &server;
  return best;
}

std::string name_on_the_wire(const std::string& name, const std::string& space) {
  return space.empty() ? name : space + (space.ends_with("__") ? "" : "__") + name;
}

}  // namespace gyges::scaffold
