// What the experiment room asks of the episode room: where scenarios and agents are, what they are,
// whether a run could start. A value of functions, so that plans and execution can be tested
// without scenarios and sandboxes.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "agent_runtime/episode/episode.h"
#include "base/error.h"

namespace gyges::experiment {

struct ScenarioFacts {
  std::filesystem::path directory;
  std::string name;
  std::string family;
  std::string sha256;
};

struct AgentFacts {
  std::filesystem::path file;
  std::string name;
  std::string sha256;
};

struct Sources {
  // `beside` is the directory of the experiment file, where names are looked up first.
  std::function<Result<ScenarioFacts>(const std::filesystem::path& beside, const std::string& name)>
      scenario;
  std::function<Result<AgentFacts>(const std::filesystem::path& beside,
                                   const ScenarioFacts& scenario, const std::string& name)>
      agent;
  std::function<Status(const episode::EpisodeRequest&)> check;
};

// The real ones.
Sources episode_sources();

}  // namespace gyges::experiment
