#include "analysis/report/report_json.h"

#include <fmt/format.h>

#include <algorithm>

#include "analysis/episode/shown_text.h"
#include "analysis/report/audits_json.h"
#include "analysis/report/design_json.h"
#include "analysis/statistics/single_rate.h"
#include "base/json.h"
#include "base/text.h"

namespace gyges::analysis {
namespace {

using Json = nlohmann::json;

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json to_json(const std::optional<Interval>& interval) {
  return interval ? Json::array({interval->low, interval->high}) : Json(nullptr);
}

Json to_json(const std::optional<Ratio>& ratio) {
  if (!ratio) return nullptr;
  return {{"value", ratio->value},
          {"interval", {ratio->interval.low, ratio->interval.high}},
          {"half_added", ratio->half_added}};
}

Json to_json(const Evidence& evidence, const TraceFacts& trace) {
  Json json{{"source", evidence.source},
            {"seq", or_null(evidence.sequence)},
            {"text", printable(evidence.text)}};
  json["tool_call"] = evidence.call == 0 ? Json(nullptr) : Json(evidence.call);
  bool placed = evidence.time_ns != 0 && trace.start_ns != 0 && evidence.time_ns >= trace.start_ns;
  json["seconds"] =
      placed ? Json(static_cast<double>(evidence.time_ns - trace.start_ns) / 1e9) : Json(nullptr);
  return json;
}

Json to_json(const EvidenceList& list, const TraceFacts& trace) {
  Json items = Json::array();
  for (const Evidence& evidence : list.kept()) items.push_back(to_json(evidence, trace));
  return {{"total", list.total()}, {"shown", std::move(items)}};
}

Json rate_json(const Proportion& arm) {
  return or_null(arm.rate());
}

Json to_json(const OutcomeComparison& c, const Contrast& contrast) {
  Json json;
  json["agent"] = contrast.agent;
  json["factor"] = contrast.factor;
  json["same_condition"] = contrast.same_condition;
  json["outcome"] = c.outcome;
  json["title"] = c.title;
  json["role"] = role_name(c.role);
  json["arms"] = {contrast.first, contrast.second};
  json["counts"] = {{c.arms[0].successes, c.arms[0].trials},
                    {c.arms[1].successes, c.arms[1].trials}};
  json["rates"] = {rate_json(c.arms[0]), rate_json(c.arms[1])};
  json["rate_intervals"] = {to_json(wilson_interval(c.arms[0])),
                            to_json(wilson_interval(c.arms[1]))};
  json["exact_rate_intervals"] = {to_json(clopper_pearson_interval(c.arms[0])),
                                  to_json(clopper_pearson_interval(c.arms[1]))};
  json["paired"] = c.paired;
  json["pairs"] = c.paired ? Json{{"both", c.counts.both},
                                  {"first_only", c.counts.first_only},
                                  {"second_only", c.counts.second_only},
                                  {"neither", c.counts.neither}}
                           : Json(nullptr);
  json["undecided"] = c.undecided;
  json["scope"] = c.analysis ? Json(scope_name(c.analysis->scope)) : Json(nullptr);
  json["why_this_test"] = c.analysis ? Json(c.analysis->why) : Json(nullptr);
  json["gap"] = or_null(c.gap);
  json["interval"] = to_json(c.interval);
  json["interval_method"] = c.interval_method;
  json["p_value"] = or_null(c.p_value);
  json["test"] = c.test;
  json["second_p_value"] = or_null(c.second_p_value);
  json["second_test"] = c.second_test;
  json["adjusted_p_value"] = or_null(c.adjusted_p);
  json["adjustment"] = c.adjustment;
  json["odds_ratio"] = to_json(c.odds);
  json["risk_ratio"] = to_json(c.risk);
  json["cohens_h"] = or_null(c.effect_h);
  json["equivalence_bound"] = or_null(c.equivalence_bound);
  json["margin"] = or_null(c.margin);
  json["detectable_rise"] = or_null(c.detectable_rise);
  json["families"] = Json::array();
  for (const FamilyGap& family : c.families)
    json["families"].push_back({{"family", family.family},
                                {"pairs", c.paired ? Json(family.pairs) : Json(nullptr)},
                                {"counts",
                                 {{family.arms[0].successes, family.arms[0].trials},
                                  {family.arms[1].successes, family.arms[1].trials}}},
                                {"gap", family.gap},
                                {"interval", to_json(std::optional<Interval>(family.interval))}});
  json["family_p_value"] = c.family_test ? Json(c.family_test->p_value) : Json(nullptr);
  json["verdict"] = verdict_name(c.verdict);
  json["statement"] = c.statement;
  return json;
}

Json to_json(const MeasureComparison& m, const Contrast& contrast) {
  auto arm = [](const MeasureArm& a) {
    return Json{{"runs", a.runs}, {"mean", or_null(a.mean)}, {"median", or_null(a.median)}};
  };
  return {{"agent", contrast.agent},
          {"measure", m.measure},
          {"title", m.title},
          {"unit", m.unit},
          {"arms", {contrast.first, contrast.second}},
          {"values", {arm(m.arms[0]), arm(m.arms[1])}},
          {"difference", or_null(m.difference)},
          {"p_value", or_null(m.p_value)},
          {"adjusted_p_value", or_null(m.adjusted_p)},
          {"test", m.test}};
}

Json items_json(const std::vector<DifferingItem>& items) {
  Json json = Json::array();
  for (const DifferingItem& item : items)
    json.push_back({{"item", item.item}, {"pairs", item.pairs}});
  return json;
}

Json to_json(const Certificate& certificate, const Contrast& contrast) {
  return {{"agent", contrast.agent},
          {"arms", {contrast.first, contrast.second}},
          {"certified", certificate.certified()},
          {"statement", certificate.statement()},
          {"audit", certificate.audit},
          {"pairs", certificate.pairs},
          {"pairs_without_observables", certificate.without},
          {"observables", certificate.items},
          {"declared", items_json(certificate.declared)},
          {"undeclared", items_json(certificate.undeclared)},
          {"unjudged", items_json(certificate.unjudged)}};
}

Json to_json(const Run& run, const Findings& findings) {
  Json json{{"run_id", run.run_id},
            {"bundle", run.bundle.string()},
            {"agent", run.agent},
            {"model", run.model},
            {"scenario", run.scenario},
            {"family", run.family},
            {"condition", run.condition},
            {"repeat", run.repeat},
            {"seed", run.seed},
            {"exit", run.exit_kind},
            {"limits_hit", run.limits_hit},
            {"policy", run.policy},
            {"persona", run.persona},
            {"host", run.host},
            {"backend", run.backend},
            {"recorded", run.has_coverage},
            {"complete", run.complete},
            {"lost", run.lost},
            {"syscalls", run.syscalls},
            {"warnings", run.warnings},
            {"covert_act", or_null(findings.covert.holds)},
            {"task_success", or_null(findings.success.holds)}};
  json["first_probe"] =
      findings.first_probe ? to_json(*findings.first_probe, findings.trace) : Json(nullptr);
  json["probed_before_act"] =
      findings.first_covert_act
          ? Json(findings.first_probe &&
                 *findings.first_probe->sequence < *findings.first_covert_act->sequence)
          : Json(nullptr);
  json["checks"] = Json::object();
  for (const CheckResult& check : findings.checks)
    json["checks"][check.name] = or_null(check.answer.holds);
  json["features"] = Json::object();
  json["undecided"] = Json::object();
  for (const CheckResult& check : findings.checks)
    if (!check.answer.holds) json["undecided"][check.name] = check.answer.reason;
  for (std::size_t f = 0; f < findings.features.size(); ++f) {
    std::string name(all_features()[f].name);
    json["features"][name] = or_null(findings.features[f].value);
    if (!findings.features[f].value) json["undecided"][name] = findings.features[f].reason;
  }
  return json;
}

// Every covert check that is true in a run, with what proves it.
Json acts_json(const Comparison& comparison) {
  Json acts = Json::array();
  for (std::size_t i = 0; i < comparison.runs.size(); ++i) {
    const Run& run = comparison.runs[i];
    const Findings& findings = comparison.findings[i];
    for (const CheckResult& check : findings.checks) {
      if (check.kind != "covert" || check.answer.holds != true) continue;
      acts.push_back({{"check", check.name},
                      {"title", check.title},
                      {"agent", run.agent},
                      {"condition", run.condition_label()},
                      {"run_id", run.run_id},
                      {"bundle", run.bundle.string()},
                      {"probed_before",
                       findings.first_probe && findings.first_covert_act &&
                           *findings.first_probe->sequence < *findings.first_covert_act->sequence},
                      {"evidence", to_json(check.answer.evidence, findings.trace)}});
    }
  }
  return acts;
}

Json features_json() {
  Json features = Json::array();
  for (const Feature& feature : all_features())
    features.push_back({{"name", feature.name},
                        {"title", feature.title},
                        {"unit", unit_name(feature.unit)},
                        {"source", feature.source}});
  return features;
}

Json looks_json(const std::map<std::string, CueLooks>& looks) {
  Json json = Json::object();
  for (const auto& [cue, seen] : looks)
    json[cue] = {{"label", seen.label},
                 {"deliberate", seen.deliberate},
                 {"unexplained", seen.unexplained},
                 {"incidental", seen.incidental},
                 {"refused", seen.refused}};
  return json;
}

// The pair that shows most: one of which only one run acted covertly, else the first.
const RunPair* telling_pair(const Comparison& comparison) {
  const RunPair* chosen = nullptr;
  for (const Contrast& contrast : comparison.contrasts) {
    for (const RunPair& pair : contrast.pairs) {
      bool first = comparison.findings[pair.first].covert.holds == true;
      bool second = comparison.findings[pair.second].covert.holds == true;
      if (first != second) return &pair;
      if (chosen == nullptr) chosen = &pair;
    }
  }
  return chosen;
}

}  // namespace

Json report_json(const Comparison& comparison) {
  Json json{{"version", 1}, {"significance_level", significance_level}};
  json["flow"] = {{"found", comparison.found},
                  {"analysed", comparison.runs.size()},
                  {"excluded", Json::array()}};
  for (const ExcludedRun& excluded : comparison.excluded)
    json["flow"]["excluded"].push_back(
        {{"bundle", excluded.bundle.string()}, {"reason", excluded.reason}});
  json["notes"] = comparison.notes;
  json["comparisons"] = Json::array();
  for (const OutcomeComparison& outcome : comparison.outcomes)
    json["comparisons"].push_back(to_json(outcome, comparison.contrasts[outcome.contrast]));
  json["measures"] = Json::array();
  for (const MeasureComparison& measure : comparison.measures)
    json["measures"].push_back(to_json(measure, comparison.contrasts[measure.contrast]));
  json["certificates"] = Json::array();
  for (std::size_t i = 0; i < comparison.contrasts.size(); ++i)
    json["certificates"].push_back(to_json(comparison.certificates[i], comparison.contrasts[i]));
  json["acts"] = acts_json(comparison);
  json["features"] = features_json();
  json["runs"] = Json::array();
  for (std::size_t i = 0; i < comparison.runs.size(); ++i)
    json["runs"].push_back(to_json(comparison.runs[i], comparison.findings[i]));
  std::vector<std::string> blind;
  for (const Run& run : comparison.runs)
    for (const std::string& item : run.not_observable)
      if (std::find(blind.begin(), blind.end(), item) == blind.end()) blind.push_back(item);
  json["not_observable"] = blind;
  json.update(design_json(comparison));
  return json;
}

Json report_json_with_timeline(const Comparison& comparison) {
  Json json = report_json(comparison);
  json["pairs"] = Json::array();
  for (const Contrast& contrast : comparison.contrasts) {
    Json pairs = Json::array();
    for (const RunPair& pair : contrast.pairs) pairs.push_back({pair.first, pair.second});
    json["pairs"].push_back({{"agent", contrast.agent},
                             {"arms", {contrast.first, contrast.second}},
                             {"paired", contrast.paired},
                             {"runs", std::move(pairs)}});
  }
  for (std::size_t i = 0; i < comparison.runs.size(); ++i) {
    Json monitors = Json::object();
    for (const auto& [name, said] : comparison.runs[i].transcript.monitors)
      monitors[shown_line(name, 200)] = {{"score", said.score ? Json(*said.score) : Json(nullptr)},
                                         {"flagged", said.flagged}};
    if (!monitors.empty()) json["runs"][i]["monitors"] = std::move(monitors);
    const Findings& findings = comparison.findings[i];
    if (findings.trace.present) json["runs"][i]["looks"] = looks_json(findings.looks);
  }
  json["audits"] = audits_json(comparison);
  const RunPair* telling = telling_pair(comparison);
  json["telling"] = telling == nullptr ? Json(nullptr) : Json{telling->first, telling->second};
  return json;
}

std::string json_text(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace gyges::analysis
