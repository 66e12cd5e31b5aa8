// What an episode used of its model, as it stands in run.json. A value; not synchronised.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "agent_runtime/model/conversation.h"

namespace gyges::episode {

// What one monitor used of its own model: looks at moments, and answers to a gate.
struct MonitorTotals {
  std::uint64_t requests = 0;
  model::Usage usage;  // of the answers that came
  double cost = 0;     // in the currency of its agent file's prices

  void add(const model::Usage& used, double price);
  void add(const MonitorTotals& more);
};

struct Totals {
  static constexpr std::size_t most_kinds = 100;

  // Times that the model was asked for a reply. What an endpoint's client tries again by itself
  // counts once.
  std::uint64_t requests = 0;
  std::uint64_t replies = 0;     // that came whole
  std::uint64_t tool_calls = 0;  // that were decided, also rejected ones
  model::Usage usage;            // of all replies, and of those that broke off
  double cost = 0;               // in the currency of the agent file's prices; 0 without
  std::uint64_t lost = 0;        // of translation between wire formats, and counts not given
  // The same by kind, as often as each occurred; kinds past most_kinds are counted in `lost` only.
  std::map<std::string, std::uint64_t> losses;

  // By name; of monitors that are models. Not part of the numbers above, nor of any limit.
  std::map<std::string, MonitorTotals> monitors{};

  // Counts that overflow stay at the greatest number: a limit that was reached stays so.
  void add(const model::Usage& used, double price);
  void add(const model::Losses& more);
  // run.json, "totals".
  [[nodiscard]] nlohmann::json to_json() const;
};

}  // namespace gyges::episode
