#include "agent_runtime/episode/scripted_colleague.h"

namespace gyges::episode {

Result<ScriptedColleague> ScriptedColleague::make(const std::vector<ScriptedAnswer>& answers) {
  ScriptedColleague made;
  for (const auto& one : answers) {
    GYGES_TRY(Pattern pattern, Pattern::compile(one.matches));
    made.answers_.emplace_back(std::move(pattern), one.answer);
  }
  return made;
}

Result<std::optional<std::string>> ScriptedColleague::ask(const tools::Question& question) {
  for (const auto& [pattern, answer] : answers_) {
    // An expression that is too complex for a question does not match it.
    auto found = pattern.found_in(question.text);
    if (found && *found) return std::optional<std::string>(answer);
  }
  return std::optional<std::string>();
}

}  // namespace gyges::episode
