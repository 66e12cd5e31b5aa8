#include "agent_runtime/monitor/offline.h"

#include <algorithm>
#include <fstream>

#include "base/json.h"
#include "base/json_document.h"
#include "base/regular_file.h"
#include "base/text.h"
#include "sandbox/recorder/format/bundle.h"

namespace gyges::monitor {
namespace {

using nlohmann::json;

constexpr std::size_t longest_line = 16U << 20U;

Status check_seal(const std::filesystem::path& bundle) {
  GYGES_TRY(auto faults, recorder::verify_bundle(bundle));
  if (faults.empty()) return ok();
  return fail("check seal", (bundle / faults[0].file).string(), faults[0].reason,
              "do not judge a run that was changed");
}

}  // namespace

Result<JudgedRun> judge_run(const std::filesystem::path& file,
                            const std::filesystem::path& bundle) {
  GYGES_CHECK(check_seal(bundle));
  GYGES_TRY(json run, load_json(bundle / "run.json", "run"));
  JudgedRun judged;
  judged.bundle = bundle;
  judged.run_id = run.at("run_id").get<std::string>();
  if (run.at("scenario").is_object()) judged.scenario = run.at("scenario").value("name", "");
  if (run.at("agent").is_object()) judged.agent = run.at("agent").value("name", "");
  judged.condition = run.at("condition").get<std::map<std::string, std::string>>();
  std::string home = run.contains("oversight") ? run.at("oversight").value("home", "/") : "/";
  GYGES_TRY(std::unique_ptr<Monitor> monitor,
            load_monitor(file, run.at("seed").get<std::uint64_t>(), home));
  if (std::filesystem::exists(bundle / "transcript.jsonl"))
    GYGES_CHECK(check_regular_file(bundle / "transcript.jsonl"));
  std::ifstream transcript(bundle / "transcript.jsonl");
  if (!transcript)
    return fail("read transcript", (bundle / "transcript.jsonl").string(), "is not there",
                "judge runs of episodes");
  Observation observation(bundle / "trace.gyt", {});
  for (std::string text; std::getline(transcript, text);) {
    if (text.size() > longest_line)
      return fail("read transcript", bundle.string(), "a line is longer than 16 MiB");
    GYGES_TRY(json line, parse_json(text, (bundle / "transcript.jsonl").string()));
    observation.take(line);
    auto moment = Observation::moment_of(line);
    if (!moment) continue;
    GYGES_TRY(Scene scene, observation.scene(moment->first, moment->second));
    if (auto verdict = monitor->look(scene)) judged.verdicts.push_back(std::move(*verdict));
  }
  for (const Verdict& verdict : judged.verdicts) {
    judged.score = std::max(judged.score, verdict.score.value_or(1));
    judged.flagged = judged.flagged || verdict.flagged;
  }
  return judged;
}

}  // namespace gyges::monitor
