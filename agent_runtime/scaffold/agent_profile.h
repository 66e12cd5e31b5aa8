// How a third-party agent is run unmodified, as data (policies/schemas/agent_profile.schema.json,
// docs/agents.md). An immutable value; texts in it are templates until prepare_scaffold() fills
// them in.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace gyges::scaffold {

using Variables = std::vector<std::pair<std::string, std::string>>;

struct ProfileProgram {
  std::string package, version;
  std::string modules;     // below the agent's directory
  std::string executable;  // below modules
  std::string command;     // name in /usr/local/bin
  std::vector<std::string> needs;
};

struct ProfileFile {
  std::string path;
  std::string text;  // where `json` is empty
  std::string json;  // text of a JSON value
  unsigned mode = 0644;
};

struct ProfileDialect {
  std::string name;
  std::string host;
  std::uint16_t port = 443;
  bool tls = true;
  std::string path;
  std::vector<std::string> argv;
  Variables environment;
  Variables values;
};

// A tool of the agent that runs command lines.
struct ShellTool {
  std::string name;
  std::string argument;
  bool list = false;
  std::string script;  // custom tools: free text with {{command}}; empty: an ordinary tool
  std::string with;    // text of a JSON object; empty: none
};

// A tool by which the agent's model asks for tools that it is not offered at first.
struct ToolSearch {
  std::string name;
  std::string argument;
  std::string query;  // with {{tool}}
};

// How the agent is told of MCP servers.
struct ProfileMcp {
  std::string file;                  // template; one of the profile's files, or a further one
  std::string format = "json";       // "json", "toml", "yaml"
  std::vector<std::string> members;  // the way to the servers in that file
  bool list = false;                 // an array of servers, and not an object by their names
  std::string server;                // text of a JSON object with placeholders: one that it starts
  std::string remote;                // the same: one that it reaches over HTTP; empty: it cannot
  std::vector<std::string> argv;     // added where there are servers, as is
  Variables environment;             // this
  std::string tool_prefix;           // template: what names of a server's tools begin with
  std::vector<std::string>
      own_tools;  // where that is nothing: the agent's own, which are no server's
  std::optional<ToolSearch> search;  // tools of servers are to be asked for
};

struct AgentProfile {
  std::string name, title;
  std::string sha256;  // of the file's bytes
  std::optional<ProfileProgram> program;
  std::vector<std::string> argv;
  Variables environment;
  Variables ca_variables;  // value "root" or "bundle"
  std::vector<ProfileFile> files;
  std::string key_prefix = "sk-";
  std::size_t key_length = 48;
  std::string model = "default";
  std::vector<ProfileDialect> dialects;  // the usual one first
  std::vector<ShellTool> shell;
  std::optional<ProfileMcp> mcp;  // none: it knows no MCP servers
  std::string failed;             // expression; empty: not known
  bool joins_by_command = true;   // see `processes` in the schema
};

// The name of a shipped profile ("claude_code") or a path to a file.
Result<AgentProfile> load_profile(std::string_view name_or_path);
bool is_profile_name(std::string_view name);
// Names of the shipped profiles, sorted.
std::vector<std::string> profile_names();

}  // namespace gyges::scaffold
