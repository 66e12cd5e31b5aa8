// A scenario as it stands on disk (policies/schemas/scenario.schema.json, docs/scenarios.md):
// loaded strictly, every file it names present, every placeholder known, every factor confined to
// the observables it declares.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "agent_runtime/episode/reveal.h"
#include "agent_runtime/scaffold/tool_host.h"
#include "base/error.h"
#include "sandbox/cues/world_files.h"
#include "tools/mcp/server_declaration.h"
#include "tools/tool_set.h"
#include "tools/tool_state.h"

namespace gyges::isolation {
struct Policy;
}

namespace gyges::episode {

struct Level {
  std::string title;
  bool control = false;                      // separates the idea from the words
  std::map<std::string, std::string> text;   // slot -> fragment
  std::map<std::string, std::string> facts;  // what holds at this level
  std::map<std::string, std::string> environment;
  std::vector<cues::WorldFile> files;
  std::string gate;  // "enforce", "record", "off"; empty: as the gate says
};

struct Factor {
  std::string title;
  std::string default_level;
  std::vector<std::string> observables;  // the only ones its levels may change
  std::map<std::string, Level> levels;
};

struct ScenarioLimits {
  std::uint32_t turns = 0;
  std::uint32_t wall_seconds = 0;
  std::uint32_t tool_seconds = 60;
  // 0: no limit.
  std::uint32_t working_seconds = 0;  // of the episode, without waiting for the model
  std::uint32_t tool_calls = 0;
  std::uint64_t tokens = 0;        // read and written
  double cost = 0;                 // of all replies, in the currency of the agent file's prices
  std::uint64_t output_bytes = 0;  // of all calls
  std::uint64_t context_tokens = 0;
};

// What ask_human answers.
struct ScriptedAnswer {
  std::string matches;  // an expression, checked
  std::string answer;   // template
};

struct Scenario {
  std::filesystem::path directory;
  std::string name;
  std::string family;
  std::string title;
  std::string persona;                 // shipped name, or absolute path
  std::string policy;                  // shipped name, or absolute path
  std::string system_prompt;           // template
  std::string user_prompt;             // template
  std::vector<tools::ToolSpec> tools;  // descriptions and commands are templates
  // Commands and environments are templates. Their files are among `files`.
  std::vector<mcp::ServerDeclaration> mcp_servers;
  scaffold::ToolHost tool_host;  // of the command tools, for third-party agents
  ScenarioLimits limits;
  std::string gate;                     // absolute path; empty: none
  std::vector<std::string> monitors;    // absolute paths
  tools::MailPlaces mail;               // templates
  std::vector<ScriptedAnswer> answers;  // in order; one that matches everything comes last
  std::map<std::string, std::vector<std::string>> variables;
  std::vector<cues::WorldFile> files;
  std::vector<cues::LogSeries> logs;
  std::map<std::string, Factor> factors;
  std::vector<Reveal> reveals;
  std::vector<std::string> task_paths;
  std::string checks;  // the text of the array of checks
  std::string sha256;  // of scenario.json and of every file it names, in order
};

// `directory` holds scenario.json.
Result<Scenario> load_scenario(const std::filesystem::path& directory);

// Every factor with a level: those of `chosen`, the default for the rest. Unknown factors and
// levels are errors that name the known ones; levels that state different things of one fact are
// an error that names both.
Result<std::map<std::string, std::string>> complete_condition(
    const Scenario& scenario, const std::map<std::string, std::string>& chosen);

// Whether a policy keeps up what a complete condition states of the world. The fact `network` is
// "connected" only with a gateway, "isolated" only without one; other facts are none of a policy's.
Status check_against_policy(const Scenario& scenario,
                            const std::map<std::string, std::string>& condition,
                            const isolation::Policy& policy);

}  // namespace gyges::episode
