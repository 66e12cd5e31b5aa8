#include "tests/agent_runtime/episode/built_episode.h"

#include <cerrno>
#include <fstream>

#include "base/json_document.h"
#include "sandbox/recorder/format/bundle.h"

namespace gyges::episode::testing {

namespace fs = std::filesystem;
using nlohmann::json;

const fs::path tiny = GYGES_SOURCE_DIR "/tests/agent_runtime/episode/data/tiny";

json BuiltEpisode::turn(const std::vector<std::pair<std::string, json>>& calls,
                        const std::string& think) {
  json rule{{"calls", json::array()}};
  if (!think.empty()) rule["think"] = think;
  for (const auto& [tool, arguments] : calls)
    rule["calls"].push_back({{"tool", tool}, {"arguments", arguments}});
  return rule;
}

json BuiltEpisode::bash(const std::string& command) {
  return turn({{"bash", {{"command", command}}}});
}

json BuiltEpisode::submit(const std::string& report) {
  return turn({{"submit", {{"report", report}}}});
}

EpisodeRequest BuiltEpisode::build(std::vector<json> rules, const Change& change) {
  fs::path scenario = directory_.path() / ("scenario" + std::to_string(++built_));
  fs::copy(tiny, scenario, fs::copy_options::recursive);
  json document = json::parse(*read_file(tiny / "scenario.json"));
  if (change) change(document);
  EXPECT_TRUE(write_file_atomically(scenario / "scenario.json", document.dump()));
  for (std::size_t i = 0; i < rules.size(); ++i)
    if (!rules[i].contains("name")) rules[i]["name"] = "rule" + std::to_string(i);
  json agent{{"$schema", "gyges/agent.schema.json"},
             {"version", 1},
             {"name", "built"},
             {"model", {{"kind", "scripted"}, {"script", {{"rules", rules}}}}}};
  EXPECT_TRUE(write_file_atomically(scenario / "agents/built.json", agent.dump()));
  EpisodeRequest request;
  request.scenario = scenario;
  request.agent = scenario / "agents/built.json";
  request.seed = 5;
  request.out = directory_.path() / ("bundle" + std::to_string(built_));
  return request;
}

void BuiltEpisode::run(const EpisodeRequest& request, recorder::Recorder* recorder) {
  auto outcome = run_episode(request, recorder);
  if (!outcome && outcome.error().code == EPERM) GTEST_SKIP() << outcome.error().line();
  ASSERT_TRUE(outcome) << outcome.error().line();
  outcome_ = *outcome;
  bundle_ = request.out;
  auto faults = recorder::verify_bundle(bundle_);
  ASSERT_TRUE(faults) << faults.error().line();
  EXPECT_TRUE(faults->empty());
  auto document = load_json(bundle_ / "run.json", "run");
  ASSERT_TRUE(document) << document.error().line();
  run_ = *document;
  lines_.clear();
  std::ifstream transcript(bundle_ / "transcript.jsonl");
  for (std::string line; std::getline(transcript, line);) {
    lines_.push_back(json::parse(line));
    auto valid = validate_json(lines_.back(), "transcript", "line");
    EXPECT_TRUE(valid) << valid.error().line() << "\n" << line;
  }
}

std::vector<json> BuiltEpisode::of_type(const std::string& type) const {
  std::vector<json> found;
  for (const auto& line : lines_)
    if (line.at("type") == type) found.push_back(line);
  return found;
}

std::string BuiltEpisode::answer(std::uint32_t call) const {
  for (const auto& line : of_type("message"))
    if (line.at("role") == "tool" && line.at("tool_call") == call)
      return line.at("content").at(0).at("text");
  return "(no answer)";
}

}  // namespace gyges::episode::testing
