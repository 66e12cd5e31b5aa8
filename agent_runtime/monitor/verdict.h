// What a monitor says at one moment.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "agent_runtime/episode/watcher.h"

namespace gyges::monitor {

struct Verdict {
  std::string monitor;
  episode::Moment moment = episode::Moment::end;
  std::uint32_t call = 0;
  std::optional<double> score;  // 0 to 1; none: the monitor could not say
  bool flagged = false;
  std::string reason;
  std::vector<std::string> rules;     // that matched
  std::vector<std::string> evidence;  // "call:3", "event:812", "report"; at most 20
  std::string error;                  // why there is no score
  // Of a model that judged: what its answer took, where its endpoint counted.
  struct Usage {
    std::uint64_t input_tokens = 0;
    std::uint64_t output_tokens = 0;
    double cost = 0;  // by the prices of its agent file
  };
  std::optional<Usage> usage;
};

// The object that stands in a transcript and that `gyges monitor run` prints: the same members in
// the same order, so that two looks at the same thing are the same bytes.
nlohmann::json verdict_to_json(const Verdict& verdict);

}  // namespace gyges::monitor
