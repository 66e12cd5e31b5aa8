#include "analysis/report/design_json.h"

#include <algorithm>
#include <map>

#include "base/json.h"

namespace gyges::analysis {
namespace {

using Json = nlohmann::json;

Json or_null(const std::optional<double>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json to_json(const Registration& r) {
  Json json{{"directory", r.directory.string()},    {"name", r.name},     {"sha256", r.sha256},
            {"registered_at", r.registered_at},     {"intact", r.intact}, {"planned", r.planned},
            {"failed_attempts", r.failed_attempts}, {"analysis", nullptr}};
  if (r.plan)
    json["analysis"] = {{"hypothesis", r.plan->hypothesis},
                        {"primary", r.plan->primary},
                        {"baseline", r.plan->baseline},
                        {"margin", or_null(r.plan->margin)},
                        {"stopping", stopping_name(r.plan->stopping)},
                        {"exclusions", r.plan->exclusions},
                        {"arms", r.plan->arms ? Json{{"factor", r.plan->arms->factor},
                                                     {"tempted", r.plan->arms->tempted},
                                                     {"control", r.plan->arms->control}}
                                              : Json(nullptr)}};
  return json;
}

// The agents under one contrast and primary outcome, the widest gap first. Two agents whose
// intervals overlap are not told apart by their place.
Json rankings_json(const Comparison& comparison) {
  std::map<std::string, std::vector<const OutcomeComparison*>> groups;
  for (const OutcomeComparison& c : comparison.outcomes) {
    const Contrast& contrast = comparison.contrasts[c.contrast];
    if (c.role == Role::primary && c.gap)
      groups[c.outcome + "\n" + contrast.first + "\n" + contrast.second].push_back(&c);
  }
  Json rankings = Json::array();
  for (auto& [key, members] : groups) {
    if (members.size() < 2) continue;
    std::stable_sort(members.begin(), members.end(),
                     [](const auto* a, const auto* b) { return *a->gap > *b->gap; });
    const Contrast& contrast = comparison.contrasts[members[0]->contrast];
    Json agents = Json::array();
    for (const OutcomeComparison* c : members)
      agents.push_back(
          {{"agent", comparison.contrasts[c->contrast].agent},
           {"gap", *c->gap},
           {"interval", c->interval ? Json{c->interval->low, c->interval->high} : Json(nullptr)},
           {"verdict", verdict_name(c->verdict)}});
    rankings.push_back({{"outcome", members[0]->outcome},
                        {"arms", {contrast.first, contrast.second}},
                        {"agents", std::move(agents)}});
  }
  return rankings;
}

Json to_json(const FactorEffect& e) {
  Json json{{"agent", e.agent},
            {"outcome", e.outcome},
            {"effect_of", e.factor},
            {"interaction", e.interaction},
            {"runs", e.runs},
            {"families", e.families},
            {"clusters", e.families >= 2 ? "families" : "scenario and repeat"},
            {"effect", nullptr},
            {"interval", nullptr},
            {"p_value", nullptr},
            {"problem", e.problem}};
  if (!e.problem.empty()) return json;
  json["effect"] = e.effect.value;
  json["interval"] = {e.effect.interval.low, e.effect.interval.high};
  json["p_value"] = e.effect.p_value;
  return json;
}

Json to_json(const TemptationEffect& t, const Comparison& comparison) {
  const Contrast& tempted = comparison.contrasts[t.tempted];
  const Contrast& control = comparison.contrasts[t.control];
  Json json{{"agent", tempted.agent},
            {"outcome", t.outcome},
            {"tempted", {tempted.first, tempted.second}},
            {"control", {control.first, control.second}},
            {"method", t.method},
            {"families", t.families},
            {"difference", nullptr},
            {"interval", nullptr},
            {"p_value", nullptr}};
  if (!t.effect) return json;
  json["difference"] = t.effect->value;
  json["interval"] = {t.effect->interval.low, t.effect->interval.high};
  json["p_value"] = t.effect->p_value;
  return json;
}

Json to_json(const WholeRunComparison& w, const Contrast& contrast) {
  auto test = [](const std::optional<TraceTest>& t) {
    if (!t) return Json(nullptr);
    return Json{
        {"statistic", t->statistic}, {"p_value", t->p_value}, {"permutations", t->permutations}};
  };
  return {{"agent", contrast.agent},
          {"arms", {contrast.first, contrast.second}},
          {"runs", w.runs},
          {"blocks", w.blocks},
          {"energy", test(w.energy)},
          {"mmd", test(w.mmd)},
          {"classifier", test(w.classifier)},
          {"problem", w.problem}};
}

}  // namespace

Json design_json(const Comparison& comparison) {
  Json json{{"registrations", Json::array()},
            {"rankings", rankings_json(comparison)},
            {"factor_effects", Json::array()},
            {"temptation", Json::array()},
            {"whole_runs", Json::array()}};
  for (const Registration& registration : comparison.registered.experiments)
    json["registrations"].push_back(to_json(registration));
  for (const FactorEffect& effect : comparison.factor_effects)
    json["factor_effects"].push_back(to_json(effect));
  for (const TemptationEffect& effect : comparison.temptation)
    json["temptation"].push_back(to_json(effect, comparison));
  for (const WholeRunComparison& whole : comparison.whole_runs)
    json["whole_runs"].push_back(to_json(whole, comparison.contrasts[whole.contrast]));
  return json;
}

}  // namespace gyges::analysis
