#include "agent_runtime/scaffold/agent_profile.h"

#include <algorithm>

#include "base/assets.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/json_document.h"
#include "base/pattern.h"
#include "base/text.h"

namespace gyges::scaffold {
namespace {

using nlohmann::json;

constexpr std::string_view folder = "policies/agents/";

Variables variables_from(const json& object) {
  Variables variables;
  for (const auto& [name, value] : object.items())
    variables.emplace_back(name, value.get<std::string>());
  return variables;
}

ProfileProgram program_from(const json& value) {
  ProfileProgram program;
  program.package = value.at("package");
  program.version = value.at("version");
  program.modules = value.at("modules");
  program.executable = value.at("executable");
  program.command = value.value("command", "");
  program.needs = value.value("needs", std::vector<std::string>{});
  return program;
}

ProfileFile file_from(const json& value) {
  ProfileFile file;
  file.path = value.at("path");
  file.mode = static_cast<unsigned>(std::stoul(value.value("mode", "0644"), nullptr, 8));
  if (value.contains("json")) file.json = value.at("json").dump();
  if (!value.contains("text")) return file;
  const json& text = value.at("text");
  if (text.is_string()) {
    file.text = text;
  } else {
    for (const auto& line : text) file.text += line.get<std::string>() + "\n";
  }
  return file;
}

ProfileDialect dialect_from(const std::string& name, const json& value) {
  ProfileDialect dialect;
  dialect.name = name;
  const json& endpoint = value.at("endpoint");
  dialect.host = endpoint.at("host");
  dialect.tls = endpoint.value("tls", true);
  dialect.port = endpoint.value("port", static_cast<std::uint16_t>(dialect.tls ? 443 : 80));
  dialect.path = endpoint.value("path", "");
  dialect.argv = value.value("argv", std::vector<std::string>{});
  dialect.environment = variables_from(value.value("environment", json::object()));
  dialect.values = variables_from(value.value("values", json::object()));
  return dialect;
}

ShellTool tool_from(const json& value) {
  ShellTool tool;
  tool.name = value.at("name");
  tool.argument = value.at("argument");
  tool.list = value.value("list", false);
  tool.script = value.value("script", "");
  if (value.contains("with")) tool.with = value.at("with").dump();
  return tool;
}

ProfileMcp mcp_from(const json& value) {
  ProfileMcp mcp;
  mcp.file = value.at("file");
  mcp.format = value.value("format", mcp.format);
  mcp.members = value.at("members").get<std::vector<std::string>>();
  mcp.list = value.value("list", false);
  mcp.server = value.at("server").dump();
  if (value.contains("remote")) mcp.remote = value.at("remote").dump();
  mcp.argv = value.value("argv", std::vector<std::string>{});
  mcp.environment = variables_from(value.value("environment", json::object()));
  mcp.tool_prefix = value.at("tool_prefix");
  mcp.own_tools = value.value("own_tools", std::vector<std::string>{});
  if (value.contains("search")) {
    const json& search = value.at("search");
    mcp.search = ToolSearch{search.at("name"), search.at("argument"), search.at("query")};
  }
  return mcp;
}

Status read_dialects(const json& value, const std::string& source, AgentProfile& profile) {
  for (const auto& [name, dialect] : value.at("dialects").items())
    profile.dialects.push_back(dialect_from(name, dialect));
  auto order = value.value("dialect_order", std::vector<std::string>{});
  if (order.empty() && profile.dialects.size() > 1)
    return fail("check agent profile", source + " at /dialect_order",
                "is missing, and there are several dialects", "name them all, the usual one first");
  auto rank = [&](const ProfileDialect& dialect) {
    return std::find(order.begin(), order.end(), dialect.name) - order.begin();
  };
  for (const auto& name : order)
    if (!value.at("dialects").contains(name))
      return fail("check agent profile", source + " at /dialect_order",
                  quoted(name) + " is not among the dialects", "remove it, or add the dialect");
  std::stable_sort(profile.dialects.begin(), profile.dialects.end(),
                   [&](const auto& one, const auto& other) { return rank(one) < rank(other); });
  return ok();
}

Result<AgentProfile> profile_from(std::string_view text, const std::string& source) {
  GYGES_TRY(json value, parse_json(text, source));
  GYGES_CHECK(validate_json(value, "agent_profile", source));
  AgentProfile profile;
  profile.name = value.at("name");
  profile.title = value.at("title");
  profile.sha256 = to_hex(sha256(text));
  if (value.contains("program")) profile.program = program_from(value.at("program"));
  profile.argv = value.at("argv").get<std::vector<std::string>>();
  profile.environment = variables_from(value.value("environment", json::object()));
  profile.ca_variables = variables_from(value.value("ca_variables", json::object()));
  for (const auto& file : value.value("files", json::array())) {
    if (file.contains("json") == file.contains("text"))
      return fail("check agent profile", source + " at /files",
                  file.at("path").get<std::string>() + " has not one of text and json",
                  "give one of them");
    profile.files.push_back(file_from(file));
  }
  if (value.contains("key")) {
    profile.key_prefix = value.at("key").at("prefix");
    profile.key_length = value.at("key").at("length");
  }
  profile.model = value.value("model", profile.model);
  GYGES_CHECK(read_dialects(value, source, profile));
  const json& tools = value.at("tools");
  for (const auto& tool : tools.at("shell")) profile.shell.push_back(tool_from(tool));
  if (value.contains("mcp")) profile.mcp = mcp_from(value.at("mcp"));
  profile.failed = tools.value("failed", "");
  if (!profile.failed.empty()) {
    auto compiled = Pattern::compile(profile.failed);
    if (!compiled) return tl::unexpected<Error>(std::move(compiled.error()));
  }
  profile.joins_by_command = value.value("processes", "command_in_arguments") != "none";
  return profile;
}

}  // namespace

std::vector<std::string> profile_names() {
  std::vector<std::string> names;
  for (std::string_view file : assets_below(folder)) {
    file.remove_prefix(folder.size());
    names.emplace_back(file.substr(0, file.rfind('.')));
  }
  return names;
}

bool is_profile_name(std::string_view name) {
  return asset(std::string(folder) + std::string(name) + ".json").has_value();
}

Result<AgentProfile> load_profile(std::string_view name_or_path) {
  std::string name(name_or_path);
  std::string shipped = std::string(folder) + name + ".json";
  if (auto text = asset(shipped)) return profile_from(*text, shipped);
  if (name.find('/') == std::string::npos && !name.ends_with(".json"))
    return fail("find agent profile", printable(name), "is not a shipped profile",
                "use one of " + join(profile_names(), ", ") + ", or a path to a file");
  GYGES_TRY(std::string text, read_file(name));
  return profile_from(text, name);
}

}  // namespace gyges::scaffold
