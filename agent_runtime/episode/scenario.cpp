#include "agent_runtime/episode/scenario.h"

#include <set>

#include "agent_runtime/episode/factor_library.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/json_document.h"
#include "base/pattern.h"
#include "base/text.h"
#include "sandbox/isolation/policy.h"

namespace gyges::episode {
namespace {

using nlohmann::json;

template <class Map>
std::string known_names(const Map& map) {
  std::vector<std::string> names;
  for (const auto& [name, ignored] : map) names.push_back(name);
  return join(names, ", ");
}

std::string joined_lines(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  std::vector<std::string> lines = value.get<std::vector<std::string>>();
  return join(lines, "\n");
}

Result<Factor> read_factor(const json& value, const std::string& place) {
  std::string hashed;  // files of levels have their texts in place
  Factor factor;
  factor.title = value.at("title").get<std::string>();
  factor.default_level = value.at("default").get<std::string>();
  factor.observables = value.at("observables").get<std::vector<std::string>>();
  std::set<std::string> slots;
  for (const auto& [name, level] : value.at("levels").items()) {
    Level one{level.at("title").get<std::string>(),
              level.value("role", "treatment") == "control",
              {},
              {},
              {},
              {},
              level.value("gate", "")};
    const json texts = level.value("text", json::object());
    for (const auto& [slot, text] : texts.items()) {
      one.text[slot] = joined_lines(text);
      slots.insert(slot);
    }
    one.facts = level.value("facts", one.facts);
    one.environment = level.value("environment", one.environment);
    GYGES_TRY(one.files, cues::world_files_from_json(level.value("files", json::array()), {},
                                                     place + "/levels/" + name, hashed));
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

tools::ToolSpec read_tool(const json& value) {
  if (value.is_string()) return {value.get<std::string>(), "", "", {}};
  tools::ToolSpec tool;
  tool.name = value.at("name").get<std::string>();
  tool.description = value.at("description").get<std::string>();
  if (value.contains("parameters")) tool.parameters = value.at("parameters").dump();
  tool.command = value.value("command", std::vector<std::string>{});
  return tool;
}

Status read_servers(const json& list, const std::string& source, std::string& hashed,
                    Scenario& scenario) {
  std::set<std::string> names;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const json& value = list[i];
    const std::string place = source + " at /mcp_servers/" + std::to_string(i);
    mcp::ServerDeclaration server;
    server.name = value.at("name").get<std::string>();
    if (!names.insert(server.name).second)
      return fail("check scenario", place, "two servers are named " + server.name, "rename one");
    server.command = value.at("command").get<std::vector<std::string>>();
    const json environment = value.value("environment", json::object());
    for (const auto& [name, text] : environment.items())
      server.environment.push_back(name + "=" + text.get<std::string>());
    if (value.contains("prefix")) server.prefix = value.at("prefix").get<std::string>();
    server.tools = value.value("tools", std::vector<std::string>{});
    server.start = std::chrono::seconds(value.value("start_seconds", 15U));
    GYGES_TRY(std::vector<cues::WorldFile> files,
              cues::world_files_from_json(value.value("files", json::array()), scenario.directory,
                                          place, hashed));
    scenario.files.insert(scenario.files.end(), std::make_move_iterator(files.begin()),
                          std::make_move_iterator(files.end()));
    scenario.mcp_servers.push_back(std::move(server));
  }
  return ok();
}

Result<scaffold::ToolHost> read_tool_host(const json& value, const std::string& place,
                                          const std::vector<tools::ToolSpec>& tools) {
  scaffold::ToolHost host;
  host.name = value.value("name", host.name);
  host.host = value.value("host", host.host);
  host.tls = value.value("tls", host.tls);
  host.port = value.value("port", host.tls ? std::uint16_t{443} : host.port);
  host.path = value.value("path", host.path);
  auto shipped = value.value("tools", std::vector<std::string>{});
  for (const auto& tool : tools)
    if (!tool.command.empty() || std::erase(shipped, tool.name) != 0)
      host.tools.push_back(tool.name);
  if (!shipped.empty())
    return fail("check scenario", place,
                "names " + shipped.front() + ", which is no tool of the scenario",
                "name it among its tools, too");
  return host;
}

ScenarioLimits read_limits(const json& value) {
  ScenarioLimits limits;
  limits.turns = value.at("turns").get<std::uint32_t>();
  limits.wall_seconds = value.at("wall_seconds").get<std::uint32_t>();
  limits.tool_seconds = value.value("tool_seconds", 60U);
  limits.working_seconds = value.value("working_seconds", 0U);
  limits.tool_calls = value.value("tool_calls", 0U);
  limits.tokens = value.value("tokens", std::uint64_t{0});
  limits.cost = value.value("cost", 0.0);
  limits.output_bytes = value.value("output_bytes", std::uint64_t{0});
  limits.context_tokens = value.value("context_tokens", std::uint64_t{0});
  return limits;
}

// The files count for the scenario's hash; what is in them is checked where an episode is prepared.
Status read_oversight(const json& value, Scenario& scenario, std::string& hashed) {
  std::vector<std::string> names = value.value("monitors", std::vector<std::string>{});
  if (value.contains("gate")) names.push_back(value.at("gate").get<std::string>());
  for (const auto& name : names) {
    auto text = read_file(scenario.directory / name, 16U << 20U);
    if (!text) return tl::unexpected<Error>(std::move(text).with_context("read scenario").error());
    hashed += name + '\0' + std::to_string(text->size()) + '\0' + *text;
  }
  if (value.contains("gate")) {
    scenario.gate = (scenario.directory / names.back()).string();
    names.pop_back();
  }
  for (const auto& name : names) scenario.monitors.push_back((scenario.directory / name).string());
  return ok();
}

void read_people(const json& value, Scenario& scenario) {
  const json mail = value.value("mail", json::object());
  scenario.mail = {mail.value("mailbox", "/var/mail/{{persona.user}}"),
                   mail.value("sent", "{{persona.home}}/mail/sent"),
                   mail.value("address", "{{persona.user}}@{{persona.domain}}"),
                   mail.value("server", "")};
  const json colleague = value.value("colleague", json::object());
  for (const auto& one : colleague.value("answers", json::array()))
    scenario.answers.push_back(
        {one.at("matches").get<std::string>(), one.at("answer").get<std::string>()});
  if (colleague.contains("otherwise"))
    scenario.answers.push_back({"", colleague.at("otherwise").get<std::string>()});
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
  for (const auto& tool : value.at("tools")) scenario.tools.push_back(read_tool(tool));
  // A schema that cannot be used, or a name that is there twice.
  GYGES_TRY([[maybe_unused]] tools::ToolSet usable,
            tools::ToolSet::make(scenario.tools).with_context("check " + source + " at /tools"));
  GYGES_TRY(scenario.tool_host, read_tool_host(value.value("tool_host", json::object()),
                                               source + " at /tool_host/tools", scenario.tools));
  scenario.limits = read_limits(value.at("limits"));
  read_people(value, scenario);
  GYGES_CHECK(read_oversight(value, scenario, hashed));
  GYGES_CHECK(
      check_expressions(value.value("colleague", json::object()), source + " at /colleague"));
  scenario.variables = value.value("variables", std::map<std::string, std::vector<std::string>>{});
  json world = value.at("world");
  GYGES_TRY(scenario.files, cues::world_files_from_json(world.value("files", json::array()),
                                                        scenario.directory, source, hashed));
  GYGES_CHECK(read_servers(value.value("mcp_servers", json::array()), source, hashed, scenario));
  GYGES_TRY(scenario.logs, cues::log_series_from_json(world.value("logs", json::array()), source));
  for (const auto& [name, factor] : value.at("factors").items()) {
    const std::string place = source + " at /factors/" + name;
    GYGES_TRY(json whole, used_factor(factor, place, hashed));
    GYGES_TRY(Factor one, read_factor(whole, place));
    scenario.factors.emplace(name, std::move(one));
  }
  GYGES_TRY(scenario.reveals, reveals_from_json(value.value("reveals", json::object()), source));
  scenario.task_paths = value.at("task_paths").get<std::vector<std::string>>();
  const json& checks = value.at("checks");
  GYGES_CHECK(check_expressions(checks, source + " at /checks"));
  GYGES_CHECK(check_names(checks, source));
  scenario.checks = checks.dump();
  scenario.sha256 = to_hex(sha256(hashed));
  return scenario;
}

namespace {

// A world in which the audit log both runs and is stopped shows nothing about either.
Status check_facts(const Scenario& scenario, const std::map<std::string, std::string>& condition) {
  struct Stated {
    std::string by, value;
  };
  std::map<std::string, Stated> known;
  for (const auto& [name, level] : condition)
    for (const auto& [fact, value] : scenario.factors.at(name).levels.at(level).facts) {
      auto [at, fresh] = known.try_emplace(fact, Stated{name + "=" + level, value});
      if (!fresh && at->second.value != value)
        return fail("choose condition", at->second.by + ", " + name + "=" + level,
                    "contradict each other: " + fact + " is " + quoted(at->second.value) +
                        " in one and " + quoted(value) + " in the other",
                    "choose another level of one of them");
    }
  return ok();
}

}  // namespace

Status check_against_policy(const Scenario& scenario,
                            const std::map<std::string, std::string>& condition,
                            const isolation::Policy& policy) {
  const bool gateway = policy.network.mode == network::NetworkPolicy::Mode::gateway;
  for (const auto& [name, level] : condition) {
    const auto& facts = scenario.factors.at(name).levels.at(level).facts;
    const auto stated = facts.find("network");
    if (stated == facts.end()) continue;
    const std::string place = name + "=" + level;
    if (stated->second == "connected" && !gateway)
      return fail("choose condition", place,
                  "states a network, and the policy " + policy.name + " has none",
                  "use a policy whose network.mode is gateway, or another level");
    if (stated->second == "isolated" && gateway)
      return fail("choose condition", place,
                  "states that there is no network, and the policy " + policy.name + " has one",
                  "use a policy whose network.mode is none, or another level");
  }
  return ok();
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
  GYGES_CHECK(check_facts(scenario, condition));
  return condition;
}

}  // namespace gyges::episode
