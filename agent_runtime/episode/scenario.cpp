#include "agent_runtime/episode/scenario.h"

#include <set>

#include "base/files.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/json_document.h"
#include "base/pattern.h"
#include "base/text.h"

namespace gyges::episode {
namespace {

using nlohmann::json;

template <class Map>
std::string known_names(const Map& map) {
  std::vector<std::string> names;
  for (const auto& [name, ignored] : map) names.push_back(name);
  return join(names, ", ");
}

std::string text_of(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  std::vector<std::string> lines = value.get<std::vector<std::string>>();
  return join(lines, "\n");
}

Result<Factor> read_factor(const json& value, const std::string& place) {
  Factor factor;
  factor.title = value.at("title").get<std::string>();
  factor.default_level = value.at("default").get<std::string>();
  factor.observables = value.at("observables").get<std::vector<std::string>>();
  std::set<std::string> slots;
  for (const auto& [name, level] : value.at("levels").items()) {
    Level one{
        level.at("title").get<std::string>(), level.value("role", "treatment") == "control", {}};
    const json texts = level.value("text", json::object());
    for (const auto& [slot, text] : texts.items()) {
      one.text[slot] = text_of(text);
      slots.insert(slot);
    }
    factor.levels.emplace(name, std::move(one));
  }
  // A level without a slot shows nothing there.
  for (auto& [name, level] : factor.levels)
    for (const auto& slot : slots) level.text.try_emplace(slot);
  if (!factor.levels.contains(factor.default_level))
    return fail("check scenario", place + "/default",
                "is not a level: " + quoted(factor.default_level),
                "use one of " + known_names(factor.levels));
  return factor;
}

// An expression that does not compile would otherwise surface only after all runs are made.
Status check_expressions(const json& value, const std::string& place) {
  static const std::set<std::string> keys = {"matches", "argv_matches", "arguments_match",
                                             "report_matches"};
  if (value.is_array())
    for (std::size_t i = 0; i < value.size(); ++i)
      GYGES_CHECK(check_expressions(value[i], place + "/" + std::to_string(i)));
  if (!value.is_object()) return ok();
  for (const auto& [key, inside] : value.items()) {
    if (!keys.contains(key) || !inside.is_string()) {
      GYGES_CHECK(check_expressions(inside, place + "/" + key));
      continue;
    }
    auto compiled = Pattern::compile(inside.get<std::string>());
    if (!compiled)
      return fail("check scenario", place + "/" + key, compiled.error().reason,
                  compiled.error().cure);
  }
  return ok();
}

Status check_names(const json& checks, const std::string& source) {
  std::set<std::string> names;
  for (const auto& check : checks)
    if (!names.insert(check.at("name").get<std::string>()).second)
      return fail("check scenario", source + " at /checks",
                  "two checks are named " + check.at("name").get<std::string>(), "rename one");
  return ok();
}

// Shipped names stay; paths are relative to the scenario.
std::string resolved(const std::string& name, const std::filesystem::path& directory) {
  bool is_path = name.find('/') != std::string::npos || name.ends_with(".json");
  return is_path ? (directory / name).lexically_normal().string() : name;
}

Result<std::string> read_prompt(const Scenario& scenario, const std::string& name,
                                std::string& hashed) {
  auto text = read_file(scenario.directory / name, 1U << 20U);
  if (!text) return tl::unexpected<Error>(std::move(text).with_context("read scenario").error());
  hashed += name + '\0' + std::to_string(text->size()) + '\0' + *text;
  while (text->ends_with('\n')) text->pop_back();
  return std::move(*text);
}

}  // namespace

Result<Scenario> load_scenario(const std::filesystem::path& directory) {
  Scenario scenario;
  scenario.directory = directory.lexically_normal();
  if (!scenario.directory.has_filename()) scenario.directory = scenario.directory.parent_path();
  std::string source = (scenario.directory / "scenario.json").string();
  GYGES_TRY(std::string text, read_file(source));
  GYGES_TRY(json value, parse_json(text, source));
  GYGES_CHECK(validate_json(value, "scenario", source));
  std::string hashed = text;
  scenario.name = value.at("name").get<std::string>();
  scenario.family = value.at("family").get<std::string>();
  scenario.title = value.at("title").get<std::string>();
  scenario.persona = resolved(value.at("persona").get<std::string>(), scenario.directory);
  scenario.policy = resolved(value.value("policy", "episode"), scenario.directory);
  GYGES_TRY(scenario.system_prompt,
            read_prompt(scenario, value.at("prompt").at("system").get<std::string>(), hashed));
  GYGES_TRY(scenario.user_prompt,
            read_prompt(scenario, value.at("prompt").at("user").get<std::string>(), hashed));
  scenario.tools = value.at("tools").get<std::vector<std::string>>();
  const json& limits = value.at("limits");
  scenario.limits = {limits.at("turns").get<std::uint32_t>(),
                     limits.at("wall_seconds").get<std::uint32_t>(),
                     limits.value("tool_seconds", 60U)};
  scenario.variables = value.value("variables", std::map<std::string, std::vector<std::string>>{});
  json world = value.at("world");
  GYGES_TRY(scenario.files, cues::world_files_from_json(world.value("files", json::array()),
                                                        scenario.directory, source, hashed));
  GYGES_TRY(scenario.logs, cues::log_series_from_json(world.value("logs", json::array()), source));
  for (const auto& [name, factor] : value.at("factors").items()) {
    GYGES_TRY(Factor one, read_factor(factor, source + " at /factors/" + name));
    scenario.factors.emplace(name, std::move(one));
  }
  scenario.task_paths = value.at("task_paths").get<std::vector<std::string>>();
  const json& checks = value.at("checks");
  GYGES_CHECK(check_expressions(checks, source + " at /checks"));
  GYGES_CHECK(check_names(checks, source));
  scenario.checks = checks.dump();
  scenario.sha256 = to_hex(sha256(hashed));
  return scenario;
}

Result<std::map<std::string, std::string>> complete_condition(
    const Scenario& scenario, const std::map<std::string, std::string>& chosen) {
  for (const auto& [name, level] : chosen) {
    auto factor = scenario.factors.find(name);
    if (factor == scenario.factors.end())
      return fail(
          "choose condition", name, "the scenario " + scenario.name + " has no such factor",
          scenario.factors.empty() ? "name none" : "use one of " + known_names(scenario.factors));
    if (!factor->second.levels.contains(level))
      return fail("choose condition", name + "=" + printable(level), "the factor has no such level",
                  "use one of " + known_names(factor->second.levels));
  }
  std::map<std::string, std::string> condition = chosen;
  for (const auto& [name, factor] : scenario.factors)
    condition.try_emplace(name, factor.default_level);
  return condition;
}

}  // namespace gyges::episode
