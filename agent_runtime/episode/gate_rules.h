// The rules of a gate (policies/schemas/gate.schema.json, docs/gate.md), read from a file and
// checked: expressions compiled, nothing left that can fail while an episode runs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "agent_runtime/episode/approval.h"
#include "agent_runtime/episode/call_facts.h"
#include "base/error.h"
#include "base/pattern.h"

namespace gyges::episode {

struct GateCondition {
  std::vector<std::string> tools;  // globs
  std::vector<std::pair<std::string, Pattern>> arguments;
  std::optional<Pattern> text;
  std::vector<std::string> paths;  // globs
  std::vector<std::string> hosts;  // globs
  std::optional<Pattern> rationale;
  std::map<std::string, double> over;
  std::optional<double> share;
  std::vector<GateCondition> any;
  std::vector<GateCondition> none;  // "not": at most one
};

struct GateAction {
  enum class Kind { approve, reject, modify, terminate, escalate };
  Kind kind = Kind::approve;
  std::string reason;
  bool show_reason = true;
  std::string arguments;  // modify: the text of a JSON object that is merged into the call's
  std::string to;         // escalate: "person", "http", "monitor"
  std::string url;
  std::string monitor;
  bool show_rationale = true;
  std::uint32_t timeout_seconds = 60;
  bool terminate_on_timeout = false;
};

struct GateRule {
  std::string name;
  GateCondition when;
  std::uint32_t at_most = 0;  // 0: any number of times
  GateAction then;
};

struct GateRules {
  std::string name;
  std::string sha256;  // of the file
  bool record_only = false;
  GateAction::Kind otherwise = GateAction::Kind::approve;
  std::vector<GateRule> rules;
};

Result<GateRules> load_gate(const std::filesystem::path& file);

// What a condition is held against.
struct CallInQuestion {
  const PendingCall& pending;
  const nlohmann::json& arguments;  // an object
  const CallFacts& facts;
  std::uint64_t seed = 0;
};

// An expression that is too complex for a text counts as found: a text made to defeat the search
// must not pass.
bool holds(const GateCondition& condition, const std::string& rule, const CallInQuestion& call);

}  // namespace gyges::episode
