// Episodes of the scenario "tiny", changed as a test needs it, with an agent written in the test.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "agent_runtime/episode/episode.h"
#include "base/files.h"
#include "base/json.h"

namespace gyges::episode::testing {

class BuiltEpisode : public ::testing::Test {
 protected:
  using Change = std::function<void(nlohmann::json&)>;

  // A rule of a script: one turn with these calls, each {"tool", {arguments}}.
  static nlohmann::json turn(const std::vector<std::pair<std::string, nlohmann::json>>& calls,
                             const std::string& think = "");
  static nlohmann::json bash(const std::string& command);
  static nlohmann::json submit(const std::string& report);

  // Writes scenario and agent below the test's directory.
  EpisodeRequest build(std::vector<nlohmann::json> rules, const Change& change = {});

  // Runs it and reads the bundle back, every line checked against the schema. Skips the test where
  // a sandbox cannot be had.
  void run(const EpisodeRequest& request, recorder::Recorder* recorder = nullptr);

  [[nodiscard]] std::vector<nlohmann::json> of_type(const std::string& type) const;
  // What the agent was given as the result of a call.
  [[nodiscard]] std::string answer(std::uint32_t call) const;

  TemporaryDirectory directory_ = std::move(*TemporaryDirectory::create("gyges-built"));
  std::filesystem::path bundle_;
  EpisodeOutcome outcome_;
  nlohmann::json run_;
  std::vector<nlohmann::json> lines_;
  int built_ = 0;
};

}  // namespace gyges::episode::testing
