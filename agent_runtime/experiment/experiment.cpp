#include "agent_runtime/experiment/experiment.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <set>

#include "base/assets.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/json_document.h"

namespace gyges::experiment {
namespace {

using nlohmann::json;

constexpr std::size_t max_conditions = 4096;
constexpr std::size_t max_runs = 1'000'000;

// Entries are a name, or an object with the name under `key` and optionally an id.
std::pair<std::string, std::string> name_and_id(const json& entry, const char* key) {
  if (entry.is_string()) return {entry.get<std::string>(), {}};
  return {entry.at(key).get<std::string>(), entry.value("id", std::string())};
}

bool is_id(const std::string& text, bool dots) {
  return !text.empty() && text.size() <= 64 && text.front() != '.' && text.front() != '-' &&
         std::all_of(text.begin(), text.end(), [&](unsigned char c) {
           return (std::isalnum(c) != 0) || c == '_' || c == '-' || c == '+' || (dots && c == '.');
         });
}

Status check_id(const std::string& source, const std::string& kind, const std::string& id,
                bool dots, std::set<std::string>& seen) {
  if (!is_id(id, dots))
    return fail("read experiment", source,
                "\"" + id + "\" cannot name a " + kind + " in a run's name",
                "give an id of at most 64 letters, digits, dashes and underscores");
  if (!seen.insert(id).second)
    return fail("read experiment", source, "two entries of kind " + kind + " are named " + id,
                "give one of them another id");
  return ok();
}

// All combinations of levels, the last factor varying fastest.
std::vector<Condition> full_factorial(const json& factors) {
  std::vector<Condition> conditions{Condition{}};
  for (const auto& [factor, levels] : factors.items()) {
    std::vector<Condition> next;
    for (const Condition& condition : conditions) {
      for (const json& level : levels) {
        Condition extended = condition;
        auto name = level.get<std::string>();
        extended.id += (extended.id.empty() ? "" : "+") + name;
        extended.levels[factor] = name;
        next.push_back(std::move(extended));
        if (next.size() > max_conditions) return next;
      }
    }
    conditions = std::move(next);
  }
  return conditions;
}

// Keeps the combinations in which every generated factor has the level that its generators give it:
// a regular fraction of a two-level design (G. E. P. Box, J. S. Hunter, "The 2^(k-p) fractional
// factorial designs", Technometrics 3 (1961) 311-351).
Status keep_fraction(const json& document, const std::string& source,
                     std::vector<Condition>& conditions) {
  const json& factors = document.at("factors");
  const json& fraction = document.at("fraction");
  const std::string place = source + " at /fraction";
  for (const auto& [generated, generators] : fraction.items()) {
    for (const auto& [factor, levels] : factors.items())
      if ((factor == generated || std::count(generators.begin(), generators.end(), factor) > 0) &&
          levels.size() != 2)
        return fail("read experiment", place, "factor " + factor + " has not two levels",
                    "list the wanted conditions one by one");
    if (!factors.contains(generated))
      return fail("read experiment", place, "there is no factor " + generated, "name a factor");
    for (const json& generator : generators)
      if (!factors.contains(generator.get<std::string>()) ||
          fraction.contains(generator.get<std::string>()))
        return fail("read experiment", place,
                    generator.dump() + " generates " + generated +
                        " but is no factor, or is generated itself",
                    "generate from factors that vary freely");
  }
  auto is_second = [&](const Condition& condition, const std::string& factor) {
    return condition.levels.at(factor) == factors.at(factor).at(1).get<std::string>();
  };
  std::erase_if(conditions, [&](const Condition& condition) {
    for (const auto& [generated, generators] : fraction.items()) {
      bool odd = false;
      for (const json& generator : generators)
        odd ^= is_second(condition, generator.get<std::string>());
      if (odd != is_second(condition, generated)) return true;
    }
    return false;
  });
  return ok();
}

Result<std::vector<Condition>> read_conditions(const json& document, const std::string& source) {
  if (document.contains("factors") == document.contains("conditions"))
    return fail("read experiment", source,
                document.contains("factors") ? "has both factors and conditions"
                                             : "has neither factors nor conditions",
                "give factors for all combinations of levels, or conditions one by one");
  if (document.contains("fraction") && !document.contains("factors"))
    return fail("read experiment", source, "has a fraction of no factors",
                "give factors, or leave out fraction");
  std::vector<Condition> conditions;
  if (document.contains("factors")) {
    conditions = full_factorial(document.at("factors"));
    if (document.contains("fraction") && conditions.size() <= max_conditions)
      GYGES_CHECK(keep_fraction(document, source, conditions));
  } else {
    for (const json& entry : document.at("conditions"))
      conditions.push_back({entry.at("id").get<std::string>(),
                            entry.at("levels").get<std::map<std::string, std::string>>()});
  }
  if (conditions.size() > max_conditions)
    return fail("read experiment", source + " at /factors",
                "makes more than " + std::to_string(max_conditions) + " conditions",
                "list the wanted ones under conditions");
  std::set<std::string> seen;
  for (const Condition& condition : conditions)
    GYGES_CHECK(check_id(source, "condition", condition.id, false, seen));
  return conditions;
}

Result<PolicyEntry> read_policy(const std::filesystem::path& beside, const std::string& given) {
  std::error_code error;
  if (std::filesystem::is_regular_file(beside / given, error)) {
    auto path = std::filesystem::weakly_canonical(beside / given, error);
    GYGES_TRY(Sha256 hash, sha256_of_file(path));
    return PolicyEntry{given, path.string(), to_hex(hash)};
  }
  auto preset = asset("policies/presets/" + given + ".json");
  if (!preset)
    return fail("find policy", given,
                "is neither a file beside the experiment nor a shipped preset",
                "see `gyges policy explain --help` for the presets");
  return PolicyEntry{given, given, to_hex(sha256(*preset))};
}

// The minute before this one: the clocks of other nodes may be a little behind, and no world is
// seen at a moment that is yet to come.
std::string moment_of_start() {
  constexpr std::time_t minute = 60;
  const std::time_t now = std::time(nullptr);
  const std::time_t moment = now - now % minute - minute;
  std::tm parts{};
  ::gmtime_r(&moment, &parts);
  std::array<char, 32> text{};
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

Status check_runs(const Experiment& experiment, const Sources& sources) {
  const std::string source = experiment.source.string();
  std::size_t cells = experiment.scenarios.size() * experiment.agents.size();
  if (cells * experiment.conditions.size() > max_runs / experiment.repeats)
    return fail("read experiment", source, "asks for more than a million runs",
                "lower repeats, or split the experiment");
  // Levels are the scenario's business, whoever acts: every condition is checked with the first
  // agent, every further agent under the first condition.
  for (std::size_t s = 0; s < experiment.scenarios.size(); ++s)
    for (std::size_t a = 0; a < experiment.agents.size(); ++a)
      for (std::size_t c = 0; c < (a == 0 ? experiment.conditions.size() : 1); ++c) {
        const AgentEntry& agent = experiment.agents[a];
        const Condition& condition = experiment.conditions[c];
        episode::EpisodeRequest request;
        request.scenario = experiment.scenarios[s].facts.directory;
        request.agent = agent.facts[s].file;
        request.condition = condition.levels;
        request.day = experiment.day;
        if (experiment.policy) request.policy = experiment.policy->resolved;
        GYGES_CHECK(sources.check(request).with_context("check " + experiment.scenarios[s].id +
                                                        " with " + agent.id + " under " +
                                                        condition.id + " (" + source + ")"));
      }
  return ok();
}

}  // namespace

Result<Experiment> load_experiment(const std::filesystem::path& file, const Sources& sources,
                                   const std::optional<std::string>& day) {
  GYGES_TRY(json document, load_json(file, "experiment"));
  std::error_code error;
  Experiment experiment;
  experiment.source = std::filesystem::weakly_canonical(file, error);
  if (error) return fail_errno("find experiment", file.string(), error.value());
  const std::string source = file.string();
  const std::filesystem::path beside = experiment.source.parent_path();

  experiment.name = document.at("name").get<std::string>();
  experiment.description = document.value("description", std::string());
  experiment.repeats = document.at("repeats").get<std::uint32_t>();
  experiment.seed = document.at("seed").get<std::uint64_t>();
  experiment.day = document.value("day", day.value_or(moment_of_start()));
  if (document.contains("jobs")) experiment.jobs = document.at("jobs").get<unsigned>();
  if (document.contains("analysis"))
    experiment.analysis = std::make_shared<const json>(document.at("analysis"));
  if (document.contains("limits")) {
    const json& limits = document.at("limits");
    experiment.limits.episode =
        std::chrono::seconds(limits.value("episode_seconds", experiment.limits.episode.count()));
    experiment.limits.attempts = limits.value("attempts", experiment.limits.attempts);
  }
  if (document.contains("policy")) {
    GYGES_TRY(experiment.policy, read_policy(beside, document.at("policy").get<std::string>()));
  }

  std::set<std::string> scenario_ids;
  for (const json& entry : document.at("scenarios")) {
    auto given = entry.get<std::string>();
    GYGES_TRY(ScenarioFacts facts, sources.scenario(beside, given).with_context("read " + source));
    GYGES_CHECK(check_id(source, "scenario", facts.name, false, scenario_ids));
    experiment.scenarios.push_back({facts.name, given, facts});
  }
  std::set<std::string> agent_ids;
  for (const json& entry : document.at("agents")) {
    auto [given, id] = name_and_id(entry, "agent");
    AgentEntry agent{id, given, {}};
    for (const ScenarioEntry& scenario : experiment.scenarios) {
      GYGES_TRY(AgentFacts facts,
                sources.agent(beside, scenario.facts, given).with_context("read " + source));
      if (agent.id.empty()) agent.id = facts.name;
      agent.facts.push_back(std::move(facts));
    }
    GYGES_CHECK(check_id(source, "agent", agent.id, true, agent_ids));
    experiment.agents.push_back(std::move(agent));
  }
  GYGES_TRY(experiment.conditions, read_conditions(document, source));
  GYGES_CHECK(check_runs(experiment, sources));
  return experiment;
}

json resolved_form(const Experiment& experiment) {
  json resolved{{"name", experiment.name},
                {"description", experiment.description},
                {"scenarios", json::array()},
                {"agents", json::array()},
                {"conditions", json::array()},
                {"repeats", experiment.repeats},
                {"seed", experiment.seed},
                {"day", experiment.day},
                {"policy", nullptr},
                {"limits",
                 {{"episode_seconds", experiment.limits.episode.count()},
                  {"attempts", experiment.limits.attempts}}}};
  for (const ScenarioEntry& scenario : experiment.scenarios)
    resolved["scenarios"].push_back({{"id", scenario.id},
                                     {"scenario", scenario.given},
                                     {"family", scenario.facts.family},
                                     {"sha256", scenario.facts.sha256}});
  for (const AgentEntry& agent : experiment.agents) {
    json hashes = json::object();
    for (std::size_t s = 0; s < agent.facts.size(); ++s)
      hashes[experiment.scenarios[s].id] = agent.facts[s].sha256;
    resolved["agents"].push_back({{"id", agent.id}, {"agent", agent.given}, {"sha256", hashes}});
  }
  for (const Condition& condition : experiment.conditions)
    resolved["conditions"].push_back({{"id", condition.id}, {"levels", condition.levels}});
  if (experiment.policy)
    resolved["policy"] = {{"policy", experiment.policy->given},
                          {"sha256", experiment.policy->sha256}};
  if (experiment.analysis) resolved["analysis"] = *experiment.analysis;
  return resolved;
}

std::string hash_of_resolved_form(const json& resolved) {
  return to_hex(sha256(resolved.dump()));
}

}  // namespace gyges::experiment
