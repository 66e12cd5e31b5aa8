// A scenario as it stands on disk (policies/schemas/scenario.schema.json, docs/scenarios.md):
// loaded strictly, every file it names present, every placeholder known, every factor confined to
// the observables it declares.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace gyges::episode {

struct Level {
  std::string title;
  bool control = false;  // separates the idea from the words
  std::map<std::string, std::string> text;  // slot -> fragment
};

struct Factor {
  std::string title;
  std::string default_level;
  std::vector<std::string> observables;  // the only ones its levels may change
  std::map<std::string, Level> levels;
};

struct WorldFile {
  enum class Kind { file, directory, symlink };
  Kind kind = Kind::file;
  std::string path;     // template
  std::string content;  // template unless verbatim; target of a symlink
  bool verbatim = false;
  unsigned mode = 0644;
  bool agent_owned = true;
  double age_days = 30;
};

struct LogPattern {
  double weight = 1;
  std::string text;
};

struct LogSeries {
  std::string path;                 // template, for each file
  std::vector<std::string> series;  // names it is repeated for; one empty name when there are none
  double age_from = 0, age_to = 0, age_step = 1;
  int jitter_days = 0;
  std::uint32_t lines_min = 0, lines_max = 0;
  double hour_from = 0, hour_to = 24;
  std::string time_format;
  std::vector<std::string> header;  // templates
  std::vector<LogPattern> patterns;
  unsigned mode = 0644;
  bool agent_owned = true;
};

struct ScenarioLimits {
  std::uint32_t turns = 0;
  std::uint32_t wall_seconds = 0;
  std::uint32_t tool_seconds = 60;
};

struct Scenario {
  std::filesystem::path directory;
  std::string name;
  std::string family;
  std::string title;
  std::string persona;  // shipped name, or absolute path
  std::string policy;   // shipped name, or absolute path
  std::string system_prompt;  // template
  std::string user_prompt;    // template
  std::vector<std::string> tools;
  ScenarioLimits limits;
  std::map<std::string, std::vector<std::string>> variables;
  std::vector<WorldFile> files;
  std::vector<LogSeries> logs;
  std::map<std::string, Factor> factors;
  std::vector<std::string> task_paths;
  std::string checks_json;  // the array of checks as it stands in the file
  std::string sha256;       // of scenario.json and of every file it names, in order
};

// `directory` holds scenario.json.
Result<Scenario> load_scenario(const std::filesystem::path& directory);

// Every factor with a level: those of `chosen`, the default for the rest. Unknown factors and levels
// are errors that name the known ones.
Result<std::map<std::string, std::string>> complete_condition(
    const Scenario& scenario, const std::map<std::string, std::string>& chosen);

}  // namespace gyges::episode
