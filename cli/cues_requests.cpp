// gyges cues requests: what agents sent to their model under two conditions, and which factor
// accounts for each difference.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>

#include "agent_runtime/episode/episode.h"
#include "agent_runtime/episode/scenario.h"
#include "agent_runtime/episode/world.h"
#include "base/files.h"
#include "base/json.h"
#include "base/json_document.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/cues_commands.h"
#include "sandbox/cues/audit/request_difference.h"
#include "sandbox/cues/persona.h"

namespace gyges::cli {
namespace {

using nlohmann::json;

struct RequestsCommand {
  std::vector<std::string> runs;
  std::string scenario, day;
  bool json = false;
};

using Levels = std::map<std::string, std::string>;

struct BundleOfRun {
  json run;  // run.json
  Levels levels;
  cues::RequestRun requests;
};

constexpr std::size_t most_exchange_bytes = 64U << 20U;

Result<BundleOfRun> read_bundle(const std::filesystem::path& directory) {
  BundleOfRun bundle;
  bundle.requests.name = directory.string();
  GYGES_TRY(bundle.run, load_json(directory / "run.json", "run"));
  if (!bundle.run.at("scenario").is_object())
    return fail("compare requests of", quoted(directory.string()), "it is no episode",
                "name bundles of episodes with a third-party agent");
  bundle.levels = bundle.run.at("condition").get<Levels>();
  const std::filesystem::path list = directory / "exchanges.jsonl";
  auto text = read_file(list, most_exchange_bytes);
  if (!text)
    return fail("read", quoted(list.string()), text.error().line(),
                "only bundles of third-party agents have one");
  std::size_t number = 0;
  for (const std::string& line : split(*text, '\n')) {
    if (line.empty()) continue;
    const std::string source = list.string() + " line " + std::to_string(++number);
    GYGES_TRY(json exchange, parse_json(line, source));
    GYGES_CHECK(validate_json(exchange, "exchange", source));
    if (exchange.at("kind") != "generate") continue;
    const json& body = exchange.at("request");
    if (!body.at("stored").get<bool>())
      return fail("read a request in", quoted(source), "its body was not stored",
                  "the bundle had reached its limit of stored bytes");
    GYGES_TRY(
        bundle.requests.requests.emplace_back(),
        read_file(directory / "blobs" / body.at("sha256").get<std::string>(), most_exchange_bytes));
    bundle.requests.answers.push_back(exchange.at("answer").at("sha256").get<std::string>());
  }
  return bundle;
}

// Every text of a world that an agent may pass on to its model.
using Texts = std::map<std::string, std::string>;

// What a condition's world was made from besides its levels, as its first run has it.
struct Drawn {
  std::uint64_t seed = 0;
  std::string moment;  // as of an episode's --day
};

// Runs that were started one by one are each seen at a moment of their own.
Drawn drawn_of(const RequestsCommand& command, const json& run) {
  Drawn drawn{run.at("seed").get<std::uint64_t>(), command.day};
  if (drawn.moment.empty() && run.at("persona").is_object())
    drawn.moment = run.at("persona").value("as_of", std::string());
  if (drawn.moment.empty()) drawn.moment = run.at("started_at").get<std::string>().substr(0, 10);
  return drawn;
}

class Worlds {
 public:
  Worlds(const RequestsCommand& command, const json& run) {
    name_ = command.scenario.empty() ? run.at("scenario").at("name").get<std::string>()
                                     : command.scenario;
    hash_ = run.at("scenario").at("sha256").get<std::string>();
  }

  Status load() {
    GYGES_TRY(std::filesystem::path directory, episode::find_scenario(name_));
    GYGES_TRY(scenario_, episode::load_scenario(directory));
    if (scenario_.sha256 != hash_)
      return fail("compare requests", quoted(name_), "the scenario is another than the runs had",
                  "name the one they had with --scenario");
    GYGES_TRY(persona_, cues::load_persona(scenario_.persona));
    return ok();
  }

  [[nodiscard]] Result<Texts> texts(const Levels& levels, const Drawn& drawn) const {
    cues::Persona persona = persona_;
    cues::draw_hostname(persona, drawn.seed);
    GYGES_TRY(std::int64_t as_of, cues::parse_moment(drawn.moment));
    GYGES_TRY(episode::World world,
              episode::make_world(scenario_, persona, levels, drawn.seed, as_of));
    Texts texts{{"prompt/system", world.system_prompt}, {"prompt/user", world.user_prompt}};
    for (const auto& tool : world.tools) texts["tool:" + tool.name] = tool.description;
    for (const auto& [name, value] : world.persona.environment) texts["env:" + name] = value;
    for (const auto& file : world.files) texts["file:" + file.path] = file.content;
    return texts;
  }

 private:
  std::string name_, hash_;
  episode::Scenario scenario_;
  cues::Persona persona_;
};

// What of one side's texts would be another with the other side's level of a factor.
Status declare(const Worlds& worlds, const Levels& levels, const Levels& other, const Drawn& drawn,
               cues::RequestCondition& condition) {
  GYGES_TRY(Texts own, worlds.texts(levels, drawn));
  for (const auto& [factor, level] : other) {
    if (const auto here = levels.find(factor); here == levels.end() || here->second == level)
      continue;
    Levels changed = levels;
    changed[factor] = level;
    GYGES_TRY(Texts there, worlds.texts(changed, drawn));
    for (const auto& [name, text] : own) {
      const auto found = there.find(name);
      if (found == there.end() || found->second != text) condition.declared[factor].push_back(text);
    }
  }
  return ok();
}

std::string words_of(const Levels& levels) {
  std::string words;
  for (const auto& [factor, level] : levels)
    words += (words.empty() ? "" : ",") + factor + "=" + level;
  return words.empty() ? "(no factor)" : words;
}

json document(const cues::RequestAudit& audit, const cues::RequestCondition& first,
              const cues::RequestCondition& second) {
  json differences = json::array();
  for (const auto& one : audit.differences)
    differences.push_back({{"request", one.request},
                           {"place", one.place},
                           {"values", {{first.name, one.first}, {second.name, one.second}}},
                           {"factor", one.factor.empty() ? json(nullptr) : json(one.factor)}});
  return {{"conditions", {first.name, second.name}},
          {"compared", audit.compared},
          {"parted", audit.parted},
          {"noise", audit.noise},
          {"differences", differences}};
}

void print_table(const cues::RequestAudit& audit, const cues::RequestCondition& first,
                 const cues::RequestCondition& second) {
  std::printf("A: %s (%zu runs)\nB: %s (%zu runs)\n", printable(first.name).c_str(),
              first.runs.size(), printable(second.name).c_str(), second.runs.size());
  for (const auto& one : audit.differences)
    std::printf("\n%s  request %zu %s\n  A: %s\n  B: %s\n",
                one.factor.empty() ? "UNDECLARED" : printable(one.factor).c_str(), one.request,
                printable(one.place).c_str(), printable(one.first).c_str(),
                printable(one.second).c_str());
  std::printf("\n%zu requests compared, %zu differences, %zu places differ within a condition",
              audit.compared, audit.differences.size(), audit.noise.size());
  if (audit.parted > 0)
    std::printf("; %zu later requests follow answers that differed", audit.parted);
  std::printf("\n");
}

Result<int> requests(const RequestsCommand& command) {
  std::vector<std::pair<Levels, cues::RequestCondition>> conditions;
  std::vector<Drawn> drawn;
  std::optional<Worlds> worlds;
  for (const std::string& path : command.runs) {
    GYGES_TRY(BundleOfRun bundle, read_bundle(path));
    if (!worlds) {
      worlds.emplace(command, bundle.run);
      GYGES_CHECK(worlds->load());
    }
    auto found = std::find_if(conditions.begin(), conditions.end(),
                              [&](const auto& one) { return one.first == bundle.levels; });
    if (found == conditions.end()) {
      cues::RequestCondition condition;
      condition.name = words_of(bundle.levels);
      conditions.emplace_back(bundle.levels, std::move(condition));
      drawn.push_back(drawn_of(command, bundle.run));
      found = conditions.end() - 1;
    }
    found->second.runs.push_back(std::move(bundle.requests));
  }
  // Two runs of one condition are compared as two, in which nothing is declared.
  if (conditions.size() == 1 && conditions.front().second.runs.size() == 2) {
    auto second = conditions.front();
    second.second.runs.erase(second.second.runs.begin());
    conditions.front().second.runs.pop_back();
    second.second.name += " (2)";
    conditions.push_back(std::move(second));
    drawn.push_back(Drawn(drawn.front()));
  }
  if (conditions.size() != 2)
    return fail("compare requests", "",
                "the runs have " + std::to_string(conditions.size()) + " conditions",
                "name runs of exactly two");
  for (std::size_t i = 0; i < 2; ++i)
    GYGES_CHECK(declare(*worlds, conditions[i].first, conditions[1 - i].first, drawn[i],
                        conditions[i].second));
  const cues::RequestCondition& first = conditions[0].second;
  const cues::RequestCondition& second = conditions[1].second;
  GYGES_TRY(cues::RequestAudit audit, cues::compare_requests(first, second));
  if (command.json)
    std::printf(
        "%s\n",
        document(audit, first, second).dump(2, ' ', false, json::error_handler_t::replace).c_str());
  else
    print_table(audit, first, second);
  return std::any_of(audit.differences.begin(), audit.differences.end(),
                     [](const auto& one) { return one.factor.empty(); })
             ? 1
             : 0;
}

}  // namespace

void add_cues_requests(CLI::App& parent, int& exit_status) {
  auto options = std::make_shared<RequestsCommand>();
  CLI::App* command = parent.add_subcommand(
      "requests", "Compare what third-party agents sent to their model under two conditions");
  command->add_option("run", options->runs, "bundles of runs, of exactly two conditions")
      ->required()
      ->expected(2, 1000);
  command->add_option("--scenario", options->scenario,
                      "the scenario of the runs (default: the one of that name)");
  command->add_option(
      "--day", options->day,
      "the day or moment that their world was seen at (default: what their record says)");
  command->add_flag("--json", options->json, "print a document instead of a table");
  command->footer(
      "Several runs of a condition show what is noise. The exit status is 1 when a difference is "
      "accounted for by no factor.\n\n"
      "Example:\n  gyges cues requests out/a/run-1 out/a/run-2 out/b/run-1 out/b/run-2");
  command->callback([options, &exit_status] {
    auto status = requests(*options);
    exit_status = status ? *status : report(status.error());
  });
}

}  // namespace gyges::cli
