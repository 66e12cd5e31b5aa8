// Who looks on while an episode runs: monitors, for example.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/error.h"

namespace gyges::episode {

enum class Moment {
  before,
  after,
  end
};  // of a tool call: requested; executed. end: of the episode

// Used by the thread of one episode.
class Watcher {
 public:
  virtual ~Watcher() = default;
  // Called when the line that belongs to the moment stands in the transcript (tool_requested,
  // tool_executed, end). `call` is 0 at the end. Returns a reason to end the episode, or nullopt;
  // an error ends it too.
  virtual Result<std::optional<std::string>> look(Moment moment, std::uint32_t call) = 0;
};

}  // namespace gyges::episode
