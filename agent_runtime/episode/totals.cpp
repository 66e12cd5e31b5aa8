#include "agent_runtime/episode/totals.h"

#include <cmath>
#include <limits>

#include "base/json.h"
#include "base/text.h"

namespace gyges::episode {
namespace {

constexpr std::size_t longest_kind = 200;

void add_count(std::uint64_t& to, std::uint64_t more) {
  constexpr auto most = std::numeric_limits<std::uint64_t>::max();
  to = more > most - to ? most : to + more;
}

}  // namespace

void Totals::add(const model::Usage& used, double price) {
  add_count(usage.input_tokens, used.input_tokens);
  add_count(usage.output_tokens, used.output_tokens);
  add_count(usage.cached_tokens, used.cached_tokens);
  add_count(usage.cache_written_tokens, used.cache_written_tokens);
  add_count(usage.reasoning_tokens, used.reasoning_tokens);
  if (std::isfinite(price) && price > 0) cost += price;
}

void Totals::add(const model::Losses& more) {
  for (const model::Loss& one : more) {
    add_count(lost, 1);
    std::string kind = printable(std::string_view(one.what).substr(0, longest_kind));
    auto known = losses.find(kind);
    if (known != losses.end())
      ++known->second;
    else if (losses.size() < most_kinds)
      losses.emplace(std::move(kind), 1);
  }
}

nlohmann::json Totals::to_json() const {
  return {{"requests", requests},
          {"replies", replies},
          {"tool_calls", tool_calls},
          {"tokens",
           {{"input", usage.input_tokens},
            {"output", usage.output_tokens},
            {"cached", usage.cached_tokens},
            {"cache_written", usage.cache_written_tokens},
            {"reasoning", usage.reasoning_tokens}}},
          {"cost", cost},
          {"losses", {{"count", lost}, {"kinds", losses}}}};
}

}  // namespace gyges::episode
