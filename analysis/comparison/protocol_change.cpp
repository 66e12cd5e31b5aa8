#include "analysis/comparison/protocol_change.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/files.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/json_document.h"

namespace gyges::analysis {
namespace {

using nlohmann::json;

constexpr std::string_view move_names[] = {"rise", "fall", "none"};

ExpectationResult judge_move(const ExpectedDifference& expected, const OutcomeComparison& outcome) {
  ExpectationResult result;
  result.expected = expected;
  result.gap = outcome.gap;
  result.interval = outcome.interval;
  result.adjusted_p = outcome.adjusted_p;
  if (!outcome.gap || !outcome.interval) {
    result.why =
        outcome.statement.empty() ? "the outcome could not be compared" : outcome.statement;
    return result;
  }
  // As if a rise was expected.
  double sign = expected.move == ExpectedMove::fall ? -1 : 1;
  double gap = sign * *outcome.gap;
  double high = sign > 0 ? outcome.interval->high : -outcome.interval->low;
  bool shown = outcome.verdict == Verdict::gap || outcome.verdict == Verdict::gap_in_tasks;
  if (shown && gap > 0 && gap >= expected.at_least) {
    result.fulfilment = Fulfilment::met;
    result.why = "the change is shown";
  } else if (high < expected.at_least || high <= 0) {
    result.fulfilment = Fulfilment::not_met;
    result.why = "the interval rules such a change out";
  } else {
    result.why = "a change is neither shown nor ruled out";
  }
  return result;
}

ExpectationResult judge_none(const ExpectedDifference& expected, const OutcomeComparison& outcome) {
  ExpectationResult result;
  result.expected = expected;
  result.gap = outcome.gap;
  result.interval = outcome.interval;
  result.adjusted_p = outcome.adjusted_p;
  if (outcome.equivalence_bound && *outcome.equivalence_bound <= expected.margin) {
    result.fulfilment = Fulfilment::met;
    result.why =
        fmt::format("changes beyond {:.1f} points are ruled out", 100 * *outcome.equivalence_bound);
  } else if (outcome.interval && (outcome.interval->low > expected.margin ||
                                  outcome.interval->high < -expected.margin)) {
    result.fulfilment = Fulfilment::not_met;
    result.why = "the interval lies beyond the margin";
  } else {
    result.why = outcome.equivalence_bound
                     ? fmt::format("changes up to {:.1f} points are not ruled out",
                                   100 * *outcome.equivalence_bound)
                     : "the outcome could not be compared";
  }
  return result;
}

json optional_json(const std::optional<double>& value) {
  return value ? json(*value) : json();
}

json interval_json(const std::optional<Interval>& interval) {
  return interval ? json{interval->low, interval->high} : json();
}

}  // namespace

std::string_view fulfilment_name(Fulfilment fulfilment) {
  constexpr std::string_view names[] = {"met", "not met", "undecided"};
  return names[static_cast<std::size_t>(fulfilment)];
}

Result<ProtocolChange> load_protocol_change(const std::filesystem::path& file) {
  GYGES_TRY(json document, load_json(file, "protocol_change"));
  GYGES_TRY(std::string bytes, read_file(file));
  ProtocolChange change;
  change.name = document.at("name").get<std::string>();
  change.rationale = document.at("rationale").get<std::string>();
  change.test_plan = document.at("test_plan").get<std::string>();
  change.sha256 = to_hex(sha256(bytes));
  std::set<std::string> names;
  for (const json& one : document.at("expected")) {
    ExpectedDifference expected;
    expected.outcome = one.at("outcome").get<std::string>();
    std::string move = one.at("move").get<std::string>();
    expected.move = static_cast<ExpectedMove>(
        std::find(std::begin(move_names), std::end(move_names), move) - std::begin(move_names));
    expected.at_least = one.value("at_least", 0.0);
    expected.margin = one.value("margin", 0.05);
    if (!names.insert(expected.outcome).second)
      return fail("read protocol change", file.string(), expected.outcome + " is expected twice",
                  "say once what is expected of it");
    change.expected.push_back(std::move(expected));
  }
  return change;
}

Result<ChangeResult> judge_change(const ProtocolChange& change, const Comparison& comparison) {
  if (comparison.contrasts.size() != 1)
    return fail("judge change", change.name,
                fmt::format("there are {} contrasts between the runs, not one",
                            comparison.contrasts.size()),
                "name one directory of runs before the change and one after it, of one agent");
  ChangeResult result;
  std::set<std::string> expected_names;
  for (const ExpectedDifference& expected : change.expected) {
    expected_names.insert(expected.outcome);
    auto outcome =
        std::find_if(comparison.outcomes.begin(), comparison.outcomes.end(),
                     [&](const OutcomeComparison& one) { return one.outcome == expected.outcome; });
    if (outcome == comparison.outcomes.end())
      return fail("judge change", expected.outcome, "the runs have no such outcome",
                  "name covert_act, task_success, a check of the scenario or a yes/no feature");
    result.expected.push_back(expected.move == ExpectedMove::none ? judge_none(expected, *outcome)
                                                                  : judge_move(expected, *outcome));
  }
  for (const OutcomeComparison& outcome : comparison.outcomes)
    if ((outcome.verdict == Verdict::gap || outcome.verdict == Verdict::gap_in_tasks) &&
        !expected_names.contains(outcome.outcome))
      result.unexpected.push_back(&outcome);
  auto any = [&](Fulfilment fulfilment) {
    return std::any_of(result.expected.begin(), result.expected.end(),
                       [&](const ExpectationResult& one) { return one.fulfilment == fulfilment; });
  };
  result.conclusion = any(Fulfilment::not_met) || !result.unexpected.empty() ? Fulfilment::not_met
                      : any(Fulfilment::undecided)                           ? Fulfilment::undecided
                                                                             : Fulfilment::met;
  return result;
}

json change_json(const ProtocolChange& change, const ChangeResult& result,
                 const Comparison& comparison) {
  json expected = json::array();
  for (const ExpectationResult& one : result.expected)
    expected.push_back(
        {{"outcome", one.expected.outcome},
         {"move", move_names[static_cast<std::size_t>(one.expected.move)]},
         {"at_least",
          one.expected.move == ExpectedMove::none ? json() : json(one.expected.at_least)},
         {"margin", one.expected.move == ExpectedMove::none ? json(one.expected.margin) : json()},
         {"fulfilment", fulfilment_name(one.fulfilment)},
         {"gap", optional_json(one.gap)},
         {"interval", interval_json(one.interval)},
         {"adjusted_p_value", optional_json(one.adjusted_p)},
         {"why", one.why}});
  json unexpected = json::array();
  for (const OutcomeComparison* one : result.unexpected)
    unexpected.push_back({{"outcome", one->outcome},
                          {"title", one->title},
                          {"gap", optional_json(one->gap)},
                          {"interval", interval_json(one->interval)},
                          {"adjusted_p_value", optional_json(one->adjusted_p)}});
  const Contrast& contrast = comparison.contrasts.front();
  return {{"name", change.name},
          {"sha256", change.sha256},
          {"rationale", change.rationale},
          {"test_plan", change.test_plan},
          {"arms", {contrast.first, contrast.second}},
          {"runs", {contrast.first_runs.size(), contrast.second_runs.size()}},
          {"expected", std::move(expected)},
          {"unexpected", std::move(unexpected)},
          {"conclusion", fulfilment_name(result.conclusion)},
          {"excluded", comparison.excluded.size()},
          {"notes", comparison.notes}};
}

}  // namespace gyges::analysis
