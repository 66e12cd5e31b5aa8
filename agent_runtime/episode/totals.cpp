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

void add_usage(model::Usage& to, const model::Usage& used) {
  add_count(to.input_tokens, used.input_tokens);
  add_count(to.output_tokens, used.output_tokens);
  add_count(to.cached_tokens, used.cached_tokens);
  add_count(to.cache_written_tokens, used.cache_written_tokens);
  add_count(to.reasoning_tokens, used.reasoning_tokens);
}

void add_cost(double& to, double price) {
  if (std::isfinite(price) && price > 0) to += price;
}

nlohmann::json tokens_of(const model::Usage& usage) {
  return {{"input", usage.input_tokens},
          {"output", usage.output_tokens},
          {"cached", usage.cached_tokens},
          {"cache_written", usage.cache_written_tokens},
          {"reasoning", usage.reasoning_tokens}};
}

}  // namespace

void MonitorTotals::add(const model::Usage& used, double price) {
  add_usage(usage, used);
  add_cost(cost, price);
}

void MonitorTotals::add(const MonitorTotals& more) {
  add_count(requests, more.requests);
  add(more.usage, more.cost);
}

void Totals::add(const model::Usage& used, double price) {
  add_usage(usage, used);
  add_cost(cost, price);
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
  nlohmann::json said{{"requests", requests},
                      {"replies", replies},
                      {"tool_calls", tool_calls},
                      {"tokens", tokens_of(usage)},
                      {"cost", cost},
                      {"losses", {{"count", lost}, {"kinds", losses}}}};
  for (const auto& [name, used] : monitors)
    said["monitors"][name] = {
        {"requests", used.requests}, {"tokens", tokens_of(used.usage)}, {"cost", used.cost}};
  return said;
}

}  // namespace gyges::episode
