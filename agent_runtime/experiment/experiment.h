// An experiment as its author wrote it (policies/schemas/experiment.schema.json,
// docs/experiments.md), with everything it names found, checked and hashed: an immutable value.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "agent_runtime/experiment/sources.h"
#include "base/error.h"

namespace gyges::experiment {

// The largest integer that every reader of JSON and SQLite keeps exactly: 2^53 - 1.
inline constexpr std::uint64_t max_exact_integer = (1ULL << 53U) - 1;

struct ScenarioEntry {
  std::string id;     // the scenario's name; unique, without dots
  std::string given;  // as the file names it
  ScenarioFacts facts;
};

struct AgentEntry {
  std::string id;     // unique; by default the agent's name
  std::string given;  // as the file names it
  std::vector<AgentFacts>
      facts;  // one for each scenario, which may bring its own agent of the name
};

struct Condition {
  std::string id;  // unique, without dots
  std::map<std::string, std::string> levels;
};

struct PolicyEntry {
  std::string given;
  std::string resolved;  // absolute path of a file, or the name of a shipped preset
  std::string sha256;
};

struct Limits {
  std::chrono::seconds episode{1800};  // a run that takes longer is ended and counts as failed
  std::uint32_t attempts = 3;          // the first one and two retries
};

struct Experiment {
  std::filesystem::path source;  // the file, absolute
  std::string name;
  std::string description;
  std::vector<ScenarioEntry> scenarios;
  std::vector<AgentEntry> agents;
  std::vector<Condition> conditions;
  std::uint32_t repeats = 1;
  std::uint64_t seed = 0;
  std::string day;  // the moment all worlds are seen at, as of an episode
  std::optional<PolicyEntry> policy;
  Limits limits;
  // The "analysis" object as the file has it, part of the hash; null when the file has none. What
  // it means is the business of analysis/comparison/registration.h.
  std::shared_ptr<const nlohmann::json> analysis;
  std::optional<unsigned> jobs;  // how many runs at once; no part of the design, and not hashed
};

// Reads and checks the file. `day` is used where the file gives none; a resumed experiment passes
// the day of its record. Relative names are looked up beside the file, then as the episode room
// finds scenarios and agents. Every combination of scenario, agent and condition is checked.
Result<Experiment> load_experiment(const std::filesystem::path& file, const Sources& sources,
                                   const std::optional<std::string>& day = {});

// Everything that defines the experiment and nothing about this host: what the hash covers.
nlohmann::json resolved_form(const Experiment& experiment);

// SHA-256 in hex of the resolved form: keys sorted, no white space.
std::string hash_of_resolved_form(const nlohmann::json& resolved);

}  // namespace gyges::experiment
