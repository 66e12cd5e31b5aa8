// run.json of an episode, put together from its parts.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "agent_runtime/episode/agent_loop.h"
#include "agent_runtime/episode/episode.h"
#include "agent_runtime/episode/observables.h"
#include "agent_runtime/episode/scenario.h"
#include "sandbox/isolation/sandbox.h"
#include "sandbox/recorder/format/coverage.h"

namespace gyges::model {
struct AgentFile;
}
namespace gyges::cues {
struct Persona;
}

namespace gyges::episode {

struct RunDocument {
  explicit RunDocument(const EpisodeRequest& request);

  std::string run_id;
  std::string started_at;
  std::uint32_t repeat = 0;
  std::uint64_t seed = 0;
  std::chrono::steady_clock::duration duration{};
  LoopEnd end;
  std::vector<isolation::LimitHit> limits_hit;
  isolation::Enforcement enforcement;
  std::optional<recorder::Coverage> coverage;
  std::vector<std::string> warnings;

  std::int64_t as_of = 0;  // what the world's dates count from, seconds since 1970

  [[nodiscard]] nlohmann::json to_json(const Scenario& scenario,
                                       const std::map<std::string, std::string>& condition,
                                       const model::AgentFile& agent, const cues::Persona& persona,
                                       const isolation::Policy& policy,
                                       const Observables& observables) const;
};

}  // namespace gyges::episode
