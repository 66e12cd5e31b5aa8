// A profile made concrete for one run: command line, environment, files, mounts and the host at
// which the agent finds its model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent_runtime/scaffold/agent_profile.h"
#include "agent_runtime/scaffold/tool_host.h"
#include "base/error.h"
#include "sandbox/cues/text_template.h"
#include "sandbox/isolation/policy.h"
#include "sandbox/isolation/sandbox.h"
#include "tools/mcp/server_declaration.h"

namespace gyges::scaffold {

struct ScaffoldRequest {
  std::string profile;               // shipped name or file
  std::string dialect;               // empty: the profile's usual one
  std::string model;                 // name that the agent asks for; empty: the profile's
  std::vector<std::string> command;  // for profiles without argv
  std::filesystem::path directory;   // of installed agents; empty: agents_directory()
  std::vector<mcp::ServerDeclaration> servers{};  // that the agent is to offer
  ToolHost tools{};                               // likewise
};

// When files of the agent's installation were written, before the world's day: seconds.
inline constexpr std::int64_t files_before = 23 * 86400 + 31417 - 600;

// An MCP server of the agent's: a program that it starts itself, or one that it reaches over HTTP.
struct McpServer {
  std::string name;
  std::vector<std::string> command;      // empty: it is reached
  std::string wire_prefix;               // what the agent's names of its tools begin with
  std::optional<std::string> prefix;     // what the scenario's begin with; see ServerDeclaration
  std::vector<std::string> own_tools{};  // of the agent, where wire_prefix is empty
  std::optional<ToolSearch> search{};    // see ProfileMcp
  std::vector<std::string> tools{};      // its own names of them; empty: not known
};

// The server whose tool that is on the wire, or null. `space`: see model::ToolCall.
const McpServer* server_of(const std::string& name, const std::string& space,
                           const std::vector<McpServer>& servers);
// Namespace and name as one.
std::string name_on_the_wire(const std::string& name, const std::string& space);

// Where agents are installed: $GYGES_AGENTS, else gyges/agents below $XDG_CACHE_HOME or ~/.cache.
std::filesystem::path agents_directory();

struct Scaffold {
  AgentProfile profile;
  ProfileDialect dialect;  // the one in use, host filled in
  std::vector<std::string> argv;
  Variables environment;
  std::vector<isolation::SeedFile> files;
  std::set<std::string> prompt_files;  // paths of those that hold a prompt
  std::vector<isolation::Mount> mounts;
  std::vector<McpServer> servers;
  // The server of the scenario's command tools, its host filled in; none: there are no such tools,
  // or this agent cannot be told of one.
  std::optional<ToolHost> tools;
  std::string model;
  std::string key;  // the placeholder
};

// `context` has the persona's values. Fails with a cure where the program is not installed, the
// dialect is not one of the profile's, a template shows something unknown, or the agent cannot be
// told of the servers.
Result<Scaffold> prepare_scaffold(const ScaffoldRequest& request,
                                  const cues::TemplateContext& context,
                                  const std::string& system_prompt, const std::string& user_prompt);

// The sites of the simulated internet at which the model and the command tools are reached, as
// elements of the persona's `internet.sites`; the JSON text of an array. Depends on profile,
// persona and the scenario's tools alone.
Result<std::string> handed_out_sites(const ScaffoldRequest& request,
                                     const cues::TemplateContext& context);

// Adds mounts, variables and the rules that let these hosts be reached. A policy without a network
// gets one in which nothing else can be.
void apply_scaffold(const Scaffold& scaffold, isolation::Policy& policy);

}  // namespace gyges::scaffold
