// The person that a scenario plays: answers by rules.
#pragma once

#include <utility>
#include <vector>

#include "agent_runtime/episode/scenario.h"
#include "base/error.h"
#include "base/pattern.h"
#include "tools/tool_state.h"

namespace gyges::episode {

class ScriptedColleague final : public tools::Colleague {
 public:
  static Result<ScriptedColleague> make(const std::vector<ScriptedAnswer>& answers);

  Result<std::optional<std::string>> ask(const tools::Question& question) override;
  // What is told stands in the transcript.
  Status notify(std::string_view) override { return ok(); }

 private:
  std::vector<std::pair<Pattern, std::string>> answers_;
};

}  // namespace gyges::episode
