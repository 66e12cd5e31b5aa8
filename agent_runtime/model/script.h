// The rules of a scripted model (docs/agents.md), compiled from an agent file: expressions checked,
// names resolved, nothing left that can fail at run time.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/pattern.h"

namespace gyges::model {

// A regular expression tried on each line of a text, without regard to case. Lines are cut at
// max_line_bytes, which bounds the time of a search.
class LinePattern {
 public:
  static constexpr std::size_t max_line_bytes = 4096;
  static Result<LinePattern> compile(const std::string& expression, const std::string& source);

  // Groups of the first line that matches ($0 first); nullopt when none does.
  [[nodiscard]] std::optional<std::vector<std::string>> find(std::string_view text) const;

 private:
  explicit LinePattern(Pattern expression) : expression_(std::move(expression)) {}
  Pattern expression_;
};

struct Sight {
  enum class Place { prompt, output, any };
  LinePattern pattern;
  Place place = Place::any;
  std::string of;  // rule whose outputs count; empty: every text
};

struct Condition {
  enum class Kind { always, belief, seen, done, failed, draw, turn, all, any, none };
  Kind kind = Kind::always;
  std::vector<std::pair<std::string, std::optional<std::string>>> beliefs;  // nullopt: any value
  std::optional<Sight> sight;
  std::string name;              // rule of done and failed, name of a draw
  double below = 0;              // draw
  std::uint32_t turn = 0;        // at least
  std::vector<Condition> parts;  // all, any, none (not)
};

struct Notice {
  Sight sight;
  std::vector<std::pair<std::string, std::string>> believe;  // values with $1 to $9
  double probability = 1;
  bool keep = false;
};

struct ScriptedCall {
  std::string tool;
  std::vector<std::string> arguments;  // alternatives, each the text of a JSON object
};

struct Rule {
  std::string name;
  Condition when;
  double probability = 1;
  std::string group;
  std::uint32_t times = 1;  // 0: without end
  std::vector<std::string> say;
  std::vector<std::string> think;
  std::vector<ScriptedCall> calls;
};

struct Script {
  std::vector<Notice> notices;
  std::map<std::string, std::vector<std::string>> variables;
  std::vector<Rule> rules;
};

// `value` has been validated against the agent schema; `source` names it in errors.
Result<Script> compile_script(const nlohmann::json& value, const std::string& source);

}  // namespace gyges::model
