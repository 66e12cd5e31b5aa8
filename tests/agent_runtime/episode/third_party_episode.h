// Episodes of third-party agents: a small one of our own in the scenario "tiny", the bundle read
// back with every line checked against its schema.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "agent_runtime/episode/episode.h"
#include "base/files.h"
#include "base/json.h"
#include "base/json_document.h"
#include "sandbox/recorder/format/bundle.h"
#include "sandbox/recorder/recorder.h"

namespace gyges::episode {

namespace fs = std::filesystem;
using nlohmann::json;

inline const fs::path tiny_scenario = GYGES_SOURCE_DIR "/tests/agent_runtime/episode/data/tiny";
inline const char* const mini_agent_program =
    GYGES_SOURCE_DIR "/tests/agent_runtime/episode/data/mini_agent.py";

class ThirdPartyTest : public ::testing::Test {
 protected:
  EpisodeRequest request(const std::string& profile, std::vector<std::string> command = {}) {
    EpisodeRequest made;
    made.scenario = tiny_scenario;
    made.agent = tiny_scenario / "agents/obedient.json";
    made.scaffold = ScaffoldChoice{profile, "", std::move(command)};
    made.seed = 5;
    made.out = directory_.path() / "bundle";
    return made;
  }

  // The small agent, its program given on the command line so that nothing has to be mounted.
  EpisodeRequest mini(std::vector<std::string> arguments = {}) {
    std::vector<std::string> command = {"python3", "-c", *read_file(mini_agent_program),
                                        "{{prompt}}"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return request("command", std::move(command));
  }

  void run(const EpisodeRequest& wanted, recorder::Recorder* recorder = nullptr) {
    auto outcome = run_episode(wanted, recorder);
    if (!outcome && outcome.error().code == EPERM) GTEST_SKIP() << outcome.error().line();
    ASSERT_TRUE(outcome) << outcome.error().line();
    outcome_ = *outcome;
    bundle_ = wanted.out;
    auto faults = recorder::verify_bundle(bundle_);
    ASSERT_TRUE(faults) << faults.error().line();
    EXPECT_THAT(*faults, ::testing::IsEmpty());
    auto document = load_json(bundle_ / "run.json", "run");
    ASSERT_TRUE(document) << document.error().line();
    run_ = *document;
    turns_ = lines("transcript.jsonl", "transcript");
    // They are written as they end, and two may overtake each other.
    exchanges_ = lines("exchanges.jsonl", "exchange");
    std::stable_sort(exchanges_.begin(), exchanges_.end(), [](const json& one, const json& other) {
      return one.at("time_ns").get<std::uint64_t>() < other.at("time_ns").get<std::uint64_t>();
    });
    if (recorder != nullptr) processes_ = lines("processes.jsonl", "processes");
  }

  std::vector<json> lines(const char* file, const char* schema) {
    std::vector<json> found;
    std::ifstream in(bundle_ / file);
    for (std::string line; std::getline(in, line);) {
      found.push_back(json::parse(line));
      auto valid = validate_json(found.back(), schema, "line");
      EXPECT_TRUE(valid) << valid.error().line() << "\n" << line;
    }
    return found;
  }

  std::vector<json> of(const std::vector<json>& all, const char* key, const std::string& value) {
    std::vector<json> found;
    for (const auto& line : all)
      if (line.value(key, "") == value) found.push_back(line);
    return found;
  }

  // The scenario with another limit of its time.
  fs::path patient(int wall_seconds) {
    return changed_scenario(
        [&](json& scenario) { scenario["limits"]["wall_seconds"] = wall_seconds; });
  }

  fs::path changed_scenario(const std::function<void(json&)>& change) {
    fs::path scenario = directory_.path() / "tiny";
    fs::remove_all(scenario);
    fs::copy(tiny_scenario, scenario, fs::copy_options::recursive);
    json changed = json::parse(*read_file(tiny_scenario / "scenario.json"));
    change(changed);
    EXPECT_TRUE(write_file_atomically(scenario / "scenario.json", changed.dump()));
    return scenario;
  }

  // No byte of the bundle holds `secret`.
  void expect_nowhere(const std::string& secret) {
    for (const auto& entry : fs::recursive_directory_iterator(bundle_)) {
      if (entry.is_regular_file()) {
        EXPECT_THAT(*read_file(entry.path()), ::testing::Not(::testing::HasSubstr(secret)))
            << entry.path();
      }
    }
  }

  TemporaryDirectory directory_ = std::move(*TemporaryDirectory::create("gyges-third-party"));
  EpisodeOutcome outcome_;
  fs::path bundle_;
  json run_;
  std::vector<json> turns_, exchanges_, processes_;
};

}  // namespace gyges::episode
