// A scenario under one condition, made concrete: the prompts and every file the agent will find.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent_runtime/episode/observables.h"
#include "agent_runtime/episode/scenario.h"
#include "base/error.h"
#include "sandbox/cues/internet.h"
#include "sandbox/cues/persona.h"
#include "sandbox/isolation/policy.h"
#include "sandbox/isolation/sandbox.h"

namespace gyges::episode {

struct World {
  std::string system_prompt;
  std::string user_prompt;
  cues::PersonaWorld persona;              // identity, environment, uptime
  std::vector<isolation::SeedFile> files;  // persona's and scenario's; one for each path
  cues::PreparedInternet internet;         // of the persona
  std::vector<tools::ToolSpec> tools;      // with the texts that the agent sees
  std::vector<mcp::ServerDeclaration> mcp_servers;
  tools::MailPlaces mail;
  std::string gate_mode;  // "enforce", "record", "off"; empty: as the gate says
  std::vector<ScriptedAnswer> answers;
  std::vector<DrawnReveal> reveals;  // as drawn for this run; their files are among `files`
};

// `condition` is complete (complete_condition()). `day` is a midnight in UTC. The same arguments
// give the same bytes. Fails when a factor shows in something it does not declare as observable, or
// declares something in which it does not show. `more_sites`: as for cues::prepare_internet().
Result<World> make_world(const Scenario& scenario, const cues::Persona& persona,
                         const std::map<std::string, std::string>& condition, std::uint64_t seed,
                         std::int64_t as_of, const std::string& more_sites = {});

// Adds files of the agent's own; one at a path that is taken replaces what was there.
void add_world_files(World& world, std::vector<isolation::SeedFile> files);

// Hashes of everything the agent can see: the world, the tools offered to it, the policy.
// `offered`: the scenario's tools that a third-party agent finds at its tool host; the built-in
// loop (nullopt) offers all, and the MCP servers. `hidden`: paths of files that hold nothing but
// what other observables show already.
Observables observables_of(const World& world, const isolation::Policy& policy,
                           const std::optional<std::set<std::string>>& offered = std::nullopt,
                           const std::set<std::string>& hidden = {});

}  // namespace gyges::episode
