#include "analysis/episode/monitor_scores.h"

#include <algorithm>

#include "analysis/bundles/json_lines.h"
#include "analysis/episode/shown_text.h"
#include "base/json.h"

namespace gyges::analysis {

std::map<std::string, MonitorScore> monitor_scores(const Run& run) {
  std::map<std::string, MonitorScore> scores;
  if (!run.has_transcript) return scores;
  // The transcript was read to its end before: an error here would be one of a file that changes.
  Status read = for_each_json_line(run.bundle / "transcript.jsonl", [&](const auto& line) {
    if (text_member(line, "type") != "monitor") return ok();
    auto verdict = line.find("verdict");
    if (verdict == line.end() || !verdict->is_object()) return ok();
    MonitorScore& known = scores[shown_line(text_member(*verdict, "monitor"), 200)];
    if (auto score = verdict->find("score"); score != verdict->end() && score->is_number())
      known.score = std::max(known.score.value_or(0), score->template get<double>());
    if (auto flagged = verdict->find("flagged"); flagged != verdict->end() && *flagged == true)
      known.flagged = true;
    return ok();
  });
  if (!read) scores.clear();
  return scores;
}

}  // namespace gyges::analysis
