#include "agent_runtime/episode/world.h"

#include <algorithm>
#include <set>

#include "base/json.h"
#include "base/text.h"
#include "sandbox/cues/seeded_stream.h"

namespace gyges::episode {
namespace {

using isolation::SeedFile;

// The factors among the placeholders that a text has shown.
std::set<std::string> factors_in(const std::set<std::string>& used) {
  static constexpr std::string_view prefix = "factor.";
  std::set<std::string> names;
  for (const auto& name : used)
    if (name.starts_with(prefix))
      names.insert(name.substr(prefix.size(), name.find('.', prefix.size()) - prefix.size()));
  return names;
}

// A prompt of which the last paragraph is empty in this condition does not end in empty lines.
void trim_end(std::string& text) {
  while (text.ends_with('\n')) text.pop_back();
}

// Which observables each factor shows in, collected while the world is made.
class Shown {
 public:
  void add(const std::string& observable, const std::set<std::string>& used) {
    for (const auto& factor : factors_in(used)) shown_[factor].insert(observable);
  }

  void add_gate(const std::string& factor, const Scenario& scenario) {
    for (const auto& [name, level] : scenario.factors.at(factor).levels)
      if (!level.gate.empty()) shown_[factor].insert("gate");
  }

  [[nodiscard]] Status check(const Scenario& scenario) const {
    for (const auto& [name, factor] : scenario.factors) {
      std::set<std::string> declared(factor.observables.begin(), factor.observables.end());
      auto found = shown_.find(name);
      std::set<std::string> shown = found == shown_.end() ? std::set<std::string>{} : found->second;
      std::string place =
          (scenario.directory / "scenario.json").string() + " at /factors/" + name + "/observables";
      for (const auto& item : shown)
        if (!declared.contains(item))
          return fail("make world", place,
                      "the factor shows in " + item + ", which is not declared",
                      "add it to the observables, or take the placeholder out");
      for (const auto& item : declared)
        if (!shown.contains(item))
          return fail("make world", place, item + " is declared but the factor does not show there",
                      "show it there, or take it out of the list");
    }
    return ok();
  }

 private:
  std::map<std::string, std::set<std::string>> shown_;
};

Status add_values(const Scenario& scenario, const cues::Persona& persona,
                  const std::map<std::string, std::string>& condition,
                  cues::TemplateContext& context) {
  cues::add_persona_values(persona, context);
  for (const auto& [name, alternatives] : scenario.variables)
    context.values["var." + name] =
        alternatives[cues::SeededStream(context.seed, "var/" + name).below(alternatives.size())];
  cues::TemplateContext plain = context;
  for (const auto& [name, level_name] : condition) {
    const Level& level = scenario.factors.at(name).levels.at(level_name);
    for (const auto& [slot, text] : level.text) {
      GYGES_TRY(
          std::string rendered,
          cues::render(text, plain, scenario.name + " " + name + "=" + level_name + "/" + slot));
      context.values["factor." + name + "." + slot] = std::move(rendered);
    }
  }
  return ok();
}

// What the chosen levels bring along. A variable or file of any level is an observable of its
// factor at every level: that it is absent is what the others show.
Status add_levels(const Scenario& scenario, const std::map<std::string, std::string>& condition,
                  const cues::TemplateContext& context, World& world, Shown& shown) {
  for (const auto& [name, chosen] : condition) {
    const Factor& factor = scenario.factors.at(name);
    const std::set<std::string> mark = {"factor." + name + "."};
    for (const auto& [level_name, level] : factor.levels) {
      for (const auto& [variable, value] : level.environment) {
        shown.add("env:" + variable, mark);
        if (level_name != chosen) continue;
        GYGES_TRY(std::string text,
                  cues::render(value, context,
                               scenario.name + " " + name + "=" + level_name + "/" + variable));
        auto& set = world.persona.environment;
        std::erase_if(set, [&](const auto& pair) { return pair.first == variable; });
        set.emplace_back(variable, std::move(text));
      }
      for (const auto& file : level.files) {
        GYGES_TRY(SeedFile seeded, cues::make_seed_file(file, context, nullptr));
        shown.add("file:" + seeded.path, mark);
        if (level_name == chosen) world.files.push_back(std::move(seeded));
      }
    }
  }
  return ok();
}

// What this run's cues say, should somebody read them. A path of theirs is no other file's: the
// record of who read it would be about that one.
Status add_reveals(const Scenario& scenario, const cues::TemplateContext& context, World& world) {
  std::set<std::string> taken;
  for (const auto& file : scenario.files) {
    GYGES_TRY(std::string path, cues::render(file.path, context, file.source));
    taken.insert(std::move(path));
  }
  for (const auto& [name, factor] : scenario.factors)
    for (const std::string& observable : factor.observables)
      if (observable.starts_with("file:")) taken.insert(observable.substr(5));
  for (const Reveal& reveal : scenario.reveals) {
    const RevealLevel& level = draw(reveal, context.seed);
    // Of all, so that whether a scenario can be used is no matter of the seed.
    for (const RevealLevel& one : reveal.levels) {
      std::set<std::string> used;
      GYGES_TRY([[maybe_unused]] SeedFile made, cues::make_seed_file(one.file, context, &used));
      if (!factors_in(used).empty())
        return fail("make world", one.file.source, "its text depends on a factor",
                    "what is drawn must not differ between conditions: take the placeholder out");
    }
    GYGES_TRY(SeedFile file, cues::make_seed_file(level.file, context, nullptr));
    if (!taken.insert(file.path).second)
      return fail("make world", level.file.source,
                  "another file of the scenario is at " + file.path, "give it a path of its own");
    world.reveals.push_back({reveal.name, level.name, file.path});
    world.files.push_back(std::move(file));
  }
  return ok();
}

// The texts of the tools, which may show factors, and what the agent does not see as text.
Status add_tools(const Scenario& scenario, const cues::TemplateContext& context, World& world,
                 Shown& shown) {
  std::set<std::string> used;
  std::vector<tools::ToolSpec> specs = scenario.tools;
  for (auto& tool : specs) {
    std::string place = scenario.name + " tool " + tool.name;
    used.clear();
    GYGES_TRY(tool.description, cues::render(tool.description, context, place, &used));
    shown.add("tool:" + tool.name, used);
    for (auto& word : tool.command) {
      GYGES_TRY(word, cues::render(word, context, place));
    }
  }
  GYGES_TRY(tools::ToolSet set, tools::ToolSet::make(std::move(specs)));
  world.tools = set.specs();
  world.mail = scenario.mail;
  for (auto* text :
       {&world.mail.mailbox, &world.mail.sent, &world.mail.address, &world.mail.server}) {
    GYGES_TRY(*text, cues::render(*text, context, scenario.name + " mail"));
  }
  world.answers = scenario.answers;
  for (auto& one : world.answers) {
    GYGES_TRY(one.answer, cues::render(one.answer, context, scenario.name + " colleague"));
  }
  return ok();
}

// A factor shows in files of a server's, where an observable names it, not in how it is started.
Status add_servers(const Scenario& scenario, const cues::TemplateContext& context, World& world) {
  world.mcp_servers = scenario.mcp_servers;
  for (auto& server : world.mcp_servers) {
    std::set<std::string> used;
    const std::string place = scenario.name + " MCP server " + server.name;
    for (auto* texts : {&server.command, &server.environment})
      for (auto& text : *texts) {
        GYGES_TRY(text, cues::render(text, context, place, &used));
      }
    if (!factors_in(used).empty())
      return fail("make world", place, "its command or environment depends on a factor",
                  "let the content of one of its files depend on it");
  }
  return ok();
}

Status refuse_factor_in_path(const cues::WorldFile& file, const cues::TemplateContext& context) {
  std::set<std::string> used;
  GYGES_TRY([[maybe_unused]] std::string path,
            cues::render(file.path, context, file.source, &used));
  if (!factors_in(used).empty())
    return fail("make world", file.source, "a path depends on a factor",
                "let the content depend on it, not the path");
  return ok();
}

// A later file takes the place of an earlier one at the same path; order otherwise stays.
void keep_last_of_each_path(std::vector<SeedFile>& files) {
  std::set<std::string> seen;
  std::vector<SeedFile> kept;
  for (auto file = files.rbegin(); file != files.rend(); ++file)
    if (seen.insert(file->path).second) kept.push_back(std::move(*file));
  std::reverse(kept.begin(), kept.end());
  files = std::move(kept);
}

// Directories that only stand in the paths of files get an entry of their own, as old as the newest
// thing in them: made by the sandbox at its start they would all carry the time of the start.
void add_directories(std::vector<SeedFile>& files) {
  std::map<std::string, SeedFile> made;
  std::set<std::string> present;
  for (const auto& file : files) present.insert(file.path);
  for (const auto& file : files) {
    std::string parent = file.path;
    for (auto slash = parent.rfind('/'); slash != 0; slash = parent.rfind('/')) {
      parent.resize(slash);
      if (parent.find('/', 1) == std::string::npos || present.contains(parent)) continue;
      auto [at, fresh] = made.try_emplace(parent);
      SeedFile& directory = at->second;
      if (fresh) {
        directory.kind = SeedFile::Kind::directory;
        directory.path = parent;
        directory.mode = 0755;
        directory.agent_owned = file.agent_owned;
      }
      directory.mtime = std::max(directory.mtime, file.mtime);
    }
  }
  // Sorted by path, so that parents come before what is in them, and before all files.
  std::vector<SeedFile> all;
  for (auto& [path, directory] : made) all.push_back(std::move(directory));
  all.insert(all.end(), std::make_move_iterator(files.begin()),
             std::make_move_iterator(files.end()));
  files = std::move(all);
}

// What a level states of the machine, and the machine is another: a job of CI without CI's
// variables.
Status check_facts_of(const cues::Persona& persona, const Scenario& scenario,
                      const std::map<std::string, std::string>& condition) {
  for (const auto& [name, level] : condition)
    for (const auto& [fact, value] : scenario.factors.at(name).levels.at(level).facts) {
      const auto stated = persona.facts.find(fact);
      if (stated != persona.facts.end() && stated->second != value)
        return fail("choose condition", name + "=" + level,
                    "contradicts the persona " + persona.name + ": " + fact + " is " +
                        quoted(value) + " in one and " + quoted(stated->second) + " in the other",
                    "choose another level, or another persona");
    }
  return ok();
}

}  // namespace

Result<World> make_world(const Scenario& scenario, const cues::Persona& persona,
                         const std::map<std::string, std::string>& condition, std::uint64_t seed,
                         std::int64_t as_of, const std::string& more_sites) {
  GYGES_CHECK(check_facts_of(persona, scenario, condition));
  cues::TemplateContext context;
  context.as_of = as_of;
  context.day = cues::day_of(as_of);
  context.seed = seed;
  GYGES_CHECK(add_values(scenario, persona, condition, context));
  World world;
  Shown shown;
  GYGES_TRY(world.persona, cues::make_persona_world(persona, context));
  GYGES_TRY(world.internet, cues::prepare_internet(persona, context, more_sites));
  world.files = std::move(world.persona.seed);
  world.persona.seed.clear();
  std::set<std::string> used;
  GYGES_TRY(world.system_prompt,
            cues::render(scenario.system_prompt, context, scenario.name + " system prompt", &used));
  trim_end(world.system_prompt);
  shown.add("prompt/system", used);
  used.clear();
  GYGES_TRY(world.user_prompt,
            cues::render(scenario.user_prompt, context, scenario.name + " user prompt", &used));
  trim_end(world.user_prompt);
  shown.add("prompt/user", used);
  for (const auto& series : scenario.logs) {
    used.clear();
    std::size_t first = world.files.size();
    GYGES_CHECK(cues::make_log_files(series, context, world.files, &used));
    for (std::size_t i = first; i < world.files.size(); ++i)
      shown.add("file:" + world.files[i].path, used);
  }
  for (const auto& file : scenario.files) {
    used.clear();
    GYGES_TRY(SeedFile seeded, cues::make_seed_file(file, context, &used));
    GYGES_CHECK(refuse_factor_in_path(file, context));
    shown.add("file:" + seeded.path, used);
    world.files.push_back(std::move(seeded));
  }
  GYGES_CHECK(add_levels(scenario, condition, context, world, shown));
  GYGES_CHECK(add_reveals(scenario, context, world));
  for (const auto& [factor, level] : condition)
    if (!scenario.factors.at(factor).levels.at(level).gate.empty())
      world.gate_mode = scenario.factors.at(factor).levels.at(level).gate;
  for (const auto& [factor, ignored] : condition) shown.add_gate(factor, scenario);
  GYGES_CHECK(add_tools(scenario, context, world, shown));
  GYGES_CHECK(add_servers(scenario, context, world));
  GYGES_CHECK(shown.check(scenario));
  keep_last_of_each_path(world.files);
  add_directories(world.files);
  return world;
}

void add_world_files(World& world, std::vector<SeedFile> files) {
  world.files.insert(world.files.end(), std::make_move_iterator(files.begin()),
                     std::make_move_iterator(files.end()));
  keep_last_of_each_path(world.files);
  add_directories(world.files);
}

Observables observables_of(const World& world, const isolation::Policy& policy,
                           const std::optional<std::set<std::string>>& offered,
                           const std::set<std::string>& hidden) {
  Observables observables;
  observables.add("prompt/system", world.system_prompt);
  observables.add("prompt/user", world.user_prompt);
  for (const auto& tool : world.tools)
    if (!offered || offered->contains(tool.name))
      observables.add("tool:" + tool.name, tool.description + '\0' + tool.parameters);
  if (!offered)
    for (const auto& server : world.mcp_servers)
      observables.add("mcp:" + server.name, join(server.command, std::string_view("\0", 1)) + '\0' +
                                                join(server.environment, "\n") + '\0' +
                                                server.prefix.value_or("\0") +
                                                join(server.tools, "\n"));
  for (const auto& file : world.files) {
    if (hidden.contains(file.path)) continue;
    observables.add("file:" + file.path, std::to_string(static_cast<int>(file.kind)) + '\0' +
                                             std::to_string(file.mode) + '\0' +
                                             (file.agent_owned ? "agent" : "root") + '\0' +
                                             std::to_string(file.mtime) + '\0' + file.content);
  }
  for (const auto& variable : isolation::command_environment(policy)) {
    auto equals = variable.find('=');
    observables.add("env:" + variable.substr(0, equals), variable.substr(equals + 1));
  }
  observables.add("host:hostname", policy.identity.hostname);
  observables.add("host:uptime_offset", std::to_string(policy.cues.uptime_seconds));
  observables.add("policy", isolation::policy_to_json(policy).dump());
  return observables;
}

}  // namespace gyges::episode
