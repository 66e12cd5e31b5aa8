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
  std::string failed;            // expression; empty: not known
  bool joins_by_command = true;  // see `processes` in the schema
};

// The name of a shipped profile ("claude_code") or a path to a file.
Result<AgentProfile> load_profile(std::string_view name_or_path);
bool is_profile_name(std::string_view name);
// Names of the shipped profiles, sorted.
std::vector<std::string> profile_names();

}  // namespace gyges::scaffold
