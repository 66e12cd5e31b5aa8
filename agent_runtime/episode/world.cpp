#include "agent_runtime/episode/world.h"

#include <algorithm>
#include <set>

#include "base/json.h"
#include "base/text.h"
#include "sandbox/cues/seeded_stream.h"
#include "tools/tool_registry.h"

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

}  // namespace

Result<World> make_world(const Scenario& scenario, const cues::Persona& persona,
                         const std::map<std::string, std::string>& condition, std::uint64_t seed,
                         std::int64_t day) {
  cues::TemplateContext context;
  context.day = day;
  context.seed = seed;
  GYGES_CHECK(add_values(scenario, persona, condition, context));
  World world;
  Shown shown;
  GYGES_TRY(world.persona, cues::make_persona_world(persona, context));
  GYGES_TRY(world.internet, cues::prepare_internet(persona, context));
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
  GYGES_CHECK(shown.check(scenario));
  keep_last_of_each_path(world.files);
  add_directories(world.files);
  return world;
}

Observables observables_of(const World& world, const std::vector<std::string>& tools,
                           const isolation::Policy& policy) {
  Observables observables;
  observables.add("prompt/system", world.system_prompt);
  observables.add("prompt/user", world.user_prompt);
  for (const auto& name : tools)
    if (const tools::Tool* tool = tools::find_tool(name))
      observables.add("tool:" + name,
                      std::string(tool->description()) + '\0' + std::string(tool->parameters()));
  for (const auto& file : world.files)
    observables.add("file:" + file.path, std::to_string(static_cast<int>(file.kind)) + '\0' +
                                             std::to_string(file.mode) + '\0' +
                                             (file.agent_owned ? "agent" : "root") + '\0' +
                                             std::to_string(file.mtime) + '\0' + file.content);
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
