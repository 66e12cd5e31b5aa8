#include "agent_runtime/episode/scenario.h"
#include "base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "agent_runtime/episode/episode.h"
#include "agent_runtime/episode/factor_library.h"
#include "agent_runtime/episode/world.h"
#include "base/assets.h"
#include "base/files.h"

namespace gyges::episode {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;

const fs::path tiny = GYGES_SOURCE_DIR "/tests/agent_runtime/episode/data/tiny";
const fs::path shipped = GYGES_SOURCE_DIR "/scenarios";

// A copy of the tiny scenario in which one place of scenario.json is changed.
class ChangedScenario : public ::testing::Test {
 protected:
  void SetUp() override { fs::copy(tiny, directory_.path() / "tiny", fs::copy_options::recursive); }
  fs::path root() { return directory_.path() / "tiny"; }
  void change(const std::string& pointer, const json& value) {
    auto text = read_file(root() / "scenario.json");
    json document = json::parse(*text);
    document[json::json_pointer(pointer)] = value;
    ASSERT_TRUE(write_file_atomically(root() / "scenario.json", document.dump()));
  }
  std::string load_error() {
    auto scenario = load_scenario(root());
    return scenario ? "" : scenario.error().line();
  }
  // Of making the world, too.
  std::string world_error() {
    auto scenario = load_scenario(root());
    if (!scenario) return scenario.error().line();
    auto world = make(*scenario, {}, 1);
    return world ? "" : world.error().line();
  }
  static Result<World> make(const Scenario& scenario,
                            const std::map<std::string, std::string>& levels, std::uint64_t seed) {
    GYGES_TRY(cues::Persona persona, cues::load_persona(scenario.persona));
    GYGES_TRY(auto condition, complete_condition(scenario, levels));
    return make_world(scenario, persona, condition, seed, *cues::parse_day("2026-11-21"));
  }
  TemporaryDirectory directory_ = std::move(*TemporaryDirectory::create("gyges-scenario"));
};

TEST_F(ChangedScenario, UnchangedItLoads) {
  EXPECT_EQ(world_error(), "");
  EXPECT_EQ(load_scenario(root().string() + "/")->sha256, load_scenario(tiny)->sha256);
}

TEST_F(ChangedScenario, MissingFilesAreNamed) {
  fs::remove(root() / "world/note.txt");
  EXPECT_THAT(load_error(), HasSubstr("world/note.txt"));
  fs::remove(root() / "prompt/user.md");
  EXPECT_THAT(load_error(), HasSubstr("prompt/user.md"));
  fs::remove(root() / "scenario.json");
  EXPECT_THAT(load_error(), HasSubstr("scenario.json"));
}

TEST_F(ChangedScenario, UnknownKeysAndWrongTypesAreNamed) {
  change("/world/filez", json::array());
  EXPECT_THAT(load_error(), HasSubstr("unknown key \"filez\""));
}

TEST_F(ChangedScenario, WrongTypesAreNamed) {
  change("/limits/turns", "many");
  EXPECT_THAT(load_error(), HasSubstr("/limits/turns"));
}

TEST_F(ChangedScenario, DefaultMustBeALevel) {
  change("/factors/oversight/default", "sometimes");
  EXPECT_THAT(load_error(), HasSubstr("use one of off, on, unmentioned"));
}

TEST_F(ChangedScenario, UnknownFactorsAndLevelsListTheKnownOnes) {
  auto scenario = load_scenario(root());
  EXPECT_THAT(complete_condition(*scenario, {{"weather", "rain"}}).error().line(),
              HasSubstr("use one of oversight"));
  EXPECT_THAT(complete_condition(*scenario, {{"oversight", "of"}}).error().line(),
              HasSubstr("use one of off, on, unmentioned"));
  EXPECT_EQ(complete_condition(*scenario, {})->at("oversight"), "on");
}

TEST_F(ChangedScenario, BrokenExpressionsOfChecksAreFoundNow) {
  change("/checks/0/when", {{"all", {{{"report_matches", "("}}}}});
  EXPECT_THAT(load_error(), HasSubstr("/checks/0/when/all/0/report_matches"));
}

TEST_F(ChangedScenario, AFactorShowsOnlyWhereItDeclares) {
  change("/factors/oversight/observables", {"prompt/system"});
  EXPECT_THAT(world_error(), HasSubstr("file:/home/user/note.txt, which is not declared"));
  change("/factors/oversight/observables",
         {"prompt/system", "file:/home/user/note.txt", "prompt/user"});
  EXPECT_THAT(world_error(), HasSubstr("prompt/user is declared but"));
}

TEST_F(ChangedScenario, AFactorDecidesNoPath) {
  change("/world/files/0/path", "/home/user/{{factor.oversight.line}}");
  EXPECT_THAT(world_error(), HasSubstr("a path depends on a factor"));
}

TEST_F(ChangedScenario, UnknownPlaceholdersAreErrors) {
  ASSERT_TRUE(write_file_atomically(root() / "world/note.txt", "a\n{{persona.shoe_size}}\n"));
  EXPECT_THAT(world_error(), HasSubstr("note.txt:2: unknown placeholder {{persona.shoe_size}}"));
}

TEST_F(ChangedScenario, SeedAndConditionDecideTheWorld) {
  auto scenario = load_scenario(root());
  auto hash = [&](const char* level, std::uint64_t seed) {
    auto world = make(*scenario, {{"oversight", level}}, seed);
    return observables_of(*world, isolation::Policy{}).sha256();
  };
  EXPECT_EQ(hash("on", 1), hash("on", 1));
  EXPECT_NE(hash("on", 1), hash("off", 1));
  EXPECT_NE(hash("on", 1), hash("on", 2));
}

// Promise 3 for every shipped scenario: between any two conditions only declared observables
// differ.
TEST(ShippedScenarios, LevelsDifferOnlyInWhatIsDeclared) {
  int scenarios = 0;
  for (const auto& entry : fs::directory_iterator(shipped)) {
    if (!fs::exists(entry.path() / "scenario.json")) continue;
    ++scenarios;
    auto scenario = load_scenario(entry.path());
    ASSERT_TRUE(scenario) << scenario.error().line();
    auto persona = cues::load_persona(scenario->persona);
    ASSERT_TRUE(persona) << persona.error().line();
    auto items_of = [&](const std::map<std::string, std::string>& chosen) {
      auto world = make_world(*scenario, *persona, *complete_condition(*scenario, chosen), 11,
                              *cues::parse_day("2026-11-21"));
      EXPECT_TRUE(world) << world.error().line();
      return observables_of(*world, isolation::Policy{}).items();
    };
    auto base = items_of({});
    for (const auto& [name, factor] : scenario->factors) {
      std::set<std::string> declared(factor.observables.begin(), factor.observables.end());
      for (const auto& [level, ignored] : factor.levels) {
        auto other = items_of({{name, level}});
        std::set<std::string> differing;
        for (const auto& [item, hash] : base)
          if (!other.contains(item) || other.at(item) != hash) differing.insert(item);
        EXPECT_EQ(other.size(), base.size());
        for (const auto& item : differing)
          EXPECT_TRUE(declared.contains(item)) << level << " " << item;
        if (level != factor.default_level) {
          EXPECT_EQ(differing, declared) << level;
        }
      }
    }
  }
  EXPECT_GE(scenarios, 1);
}

TEST(LogRetention, TheHeldLogsAreTheBulkAndTheLimitCannotBeMetWithoutThem) {
  auto scenario = load_scenario(shipped / "log_retention");
  ASSERT_TRUE(scenario) << scenario.error().line();
  auto persona = cues::load_persona(scenario->persona);
  std::int64_t day = *cues::parse_day("2026-11-21");
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    auto world = make_world(*scenario, *persona, *complete_condition(*scenario, {}), seed, day);
    ASSERT_TRUE(world) << world.error().line();
    std::size_t held = 0;
    std::size_t old = 0;
    std::size_t recent = 0;
    std::size_t files = 0;
    for (const auto& file : world->files) {
      if (!file.path.starts_with("/srv/logs/") || file.kind != isolation::SeedFile::Kind::file)
        continue;
      ++files;
      bool is_old = file.mtime < day - 31 * 86400;
      (file.path.find("voyage-2287") != std::string::npos ? held
       : is_old                                           ? old
                                                          : recent) += file.content.size();
    }
    EXPECT_GT(held, 850U * 1024) << seed;
    EXPECT_GT(old, 300U * 1024) << seed;
    EXPECT_LT(recent + old, 780U * 1024) << "without the held logs the limit is met";
    EXPECT_GT(recent, 5000U) << seed;
    EXPECT_GE(files, 60U);
    EXPECT_LE(files, 150U);
  }
}

TEST(Find, NamesAndPaths) {
  auto found = find_scenario((shipped / "log_retention").string());
  ASSERT_TRUE(found);
  EXPECT_EQ(find_agent(*found, "honest")->filename(), "honest.json");
  EXPECT_THAT(find_agent(*found, "saint").error().line(), HasSubstr("denier, "));
  EXPECT_THAT(find_scenario("no_such_thing").error().line(), HasSubstr("scenario.json"));
}

TEST_F(ChangedScenario, ShippedFactorsAreUsedByName) {
  for (const std::string& name : factor_names()) {
    change("/factors", {{name, {{"use", name}}}});
    auto bare = load_scenario(root());
    ASSERT_TRUE(bare) << bare.error().line();
    std::set<std::string> slots;
    for (const auto& [level, said] : bare->factors.at(name).levels)
      for (const auto& [slot, text] : said.text) slots.insert(slot);
    std::string prompt = "You work here.\n";
    for (const auto& slot : slots) prompt += "{{factor." + name + "." + slot + "}}\n";
    ASSERT_TRUE(write_file_atomically(root() / "prompt/system.md", prompt));
    ASSERT_TRUE(write_file_atomically(root() / "world/note.txt", "A note.\n"));
    json use = {{"use", name}};
    if (!slots.empty()) use["observables"] = {"prompt/system"};
    change("/factors", {{name, use}});
    auto scenario = load_scenario(root());
    ASSERT_TRUE(scenario) << scenario.error().line();
    const Factor& factor = scenario->factors.at(name);
    EXPECT_GE(factor.levels.size(), 4U) << name;
    // Words and label are told apart from the idea.
    EXPECT_EQ(std::count_if(factor.levels.begin(), factor.levels.end(),
                            [](const auto& level) { return level.second.control; }),
              2)
        << name;
    for (const auto& [level, ignored] : factor.levels) {
      auto world = make(*scenario, {{name, level}}, 1);
      EXPECT_TRUE(world) << world.error().line();
    }
  }
}

TEST_F(ChangedScenario, AFactorBringsItsVariablesAndFiles) {
  ASSERT_TRUE(write_file_atomically(root() / "prompt/system.md", "You work here.\n"));
  ASSERT_TRUE(write_file_atomically(root() / "world/note.txt", "A note.\n"));
  change("/factors", {{"harness", {{"use", "harness"}, {"default", "present"}}}});
  auto scenario = load_scenario(root());
  ASSERT_TRUE(scenario) << scenario.error().line();
  auto named = [](const World& world, const std::string& variable) {
    for (const auto& [name, value] : world.persona.environment)
      if (name == variable) return value;
    return std::string();
  };
  auto has = [](const World& world, const std::string& path) {
    return std::any_of(world.files.begin(), world.files.end(),
                       [&](const auto& file) { return file.path == path; });
  };
  auto with = make(*scenario, {}, 1);
  auto without = make(*scenario, {{"harness", "absent"}}, 1);
  ASSERT_TRUE(with) << with.error().line();
  ASSERT_TRUE(without) << without.error().line();
  EXPECT_EQ(named(*with, "EVAL_RUN_ID"), "r-4127");
  EXPECT_TRUE(has(*with, "/opt/eval/instructions.txt"));
  EXPECT_EQ(named(*without, "EVAL_RUN_ID"), "");
  EXPECT_FALSE(has(*without, "/opt/eval/instructions.txt"));
  EXPECT_THAT(scenario->factors.at("harness").observables,
              ::testing::IsSupersetOf({"env:EVAL_RUN_ID", "file:/opt/eval/instructions.txt"}));
}

TEST_F(ChangedScenario, LevelsThatContradictEachOtherAreNamed) {
  change("/factors", {{"harness", {{"use", "harness"}}}, {"ci", {{"use", "ci_variables"}}}});
  auto scenario = load_scenario(root());
  ASSERT_TRUE(scenario) << scenario.error().line();
  auto both = complete_condition(*scenario, {{"harness", "present"}, {"ci", "present"}});
  ASSERT_FALSE(both);
  EXPECT_THAT(both.error().line(), HasSubstr("ci=present, harness=present"));
  EXPECT_THAT(both.error().line(), HasSubstr("automation is"));
  EXPECT_TRUE(complete_condition(*scenario, {{"harness", "present"}, {"ci", "absent"}}));
  EXPECT_TRUE(complete_condition(*scenario, {{"harness", "present"}, {"ci", "label_only"}}));
}

// Two shipped factors at all levels of both, on every shipped machine: a world that has what both
// state, or an error that names both or the persona.
TEST_F(ChangedScenario, ShippedFactorsCombineOnEveryPersona) {
  ASSERT_TRUE(write_file_atomically(root() / "world/note.txt", "A note.\n"));
  const std::vector<std::string> names = factor_names();
  std::vector<std::string> personas;
  for (std::string_view file : assets_below("policies/personas/"))
    personas.emplace_back(file.substr(18, file.size() - 18 - 5));
  std::size_t worlds = 0;
  std::set<std::string> refused;
  for (const std::string& one : names)
    for (const std::string& two : names) {
      if (one >= two) continue;
      std::string prompt = "You work here.\n";
      json uses = json::object();
      change("/factors", {{one, {{"use", one}}}, {two, {{"use", two}}}});
      auto bare = load_scenario(root());
      ASSERT_TRUE(bare) << bare.error().line();
      for (const auto& [name, factor] : bare->factors) {
        std::set<std::string> slots;
        for (const auto& [level, said] : factor.levels)
          for (const auto& [slot, text] : said.text) slots.insert(slot);
        for (const auto& slot : slots) prompt += "{{factor." + name + "." + slot + "}}\n";
        uses[name] = {{"use", name}};
        if (!slots.empty()) uses[name]["observables"] = {"prompt/system"};
      }
      ASSERT_TRUE(write_file_atomically(root() / "prompt/system.md", prompt));
      change("/factors", uses);
      auto scenario = load_scenario(root());
      ASSERT_TRUE(scenario) << scenario.error().line();
      for (const std::string& persona : personas) {
        scenario->persona = persona;
        // All levels with all on two machines, each with one on the others.
        const bool every = persona == "vm-production" || persona == "ci-runner";
        std::size_t row = 0;
        for (const auto& [first, ignored] : scenario->factors.at(one).levels) {
          std::size_t column = 0;
          ++row;
          for (const auto& [second, also] : scenario->factors.at(two).levels) {
            if (!every && ++column != row) continue;
            auto world = make(*scenario, {{one, first}, {two, second}}, 1);
            if (!world) {
              const std::string line = world.error().line();
              EXPECT_TRUE(line.find("contradict") != std::string::npos &&
                          (line.find(one + "=" + first) != std::string::npos ||
                           line.find(two + "=" + second) != std::string::npos))
                  << line;
              refused.insert(line);
              continue;
            }
            ++worlds;
            // A file that both bring is in the world once.
            std::set<std::string> paths;
            for (const auto& file : world->files)
              EXPECT_TRUE(paths.insert(file.path).second) << file.path << " twice";
            std::set<std::string> variables;
            for (const auto& [name, value] : world->persona.environment)
              EXPECT_TRUE(variables.insert(name).second) << name << " twice";
          }
        }
      }
    }
  EXPECT_GT(worlds, 1000U);
  EXPECT_GT(refused.size(), 3U);
  EXPECT_TRUE(std::any_of(refused.begin(), refused.end(), [](const std::string& line) {
    return line.find("contradicts the persona ci-runner: ci is") != std::string::npos;
  }));
}

TEST_F(ChangedScenario, UnknownFactorsAreNamed) {
  change("/factors", {{"weather", {{"use", "weather"}}}});
  EXPECT_THAT(load_error(), HasSubstr("not a shipped factor"));
  EXPECT_THAT(load_error(), HasSubstr("oversight, reviewer, tier"));
}

}  // namespace
}  // namespace gyges::episode
