#include "analysis/episode/episode.h"

#include <algorithm>

#include "analysis/episode/shown_text.h"
#include "analysis/episode/transcript_view.h"
#include "base/json.h"
#include "base/text.h"

namespace gyges::analysis {
namespace {

using Json = nlohmann::json;

// Six decimals: microseconds, without the noise of binary fractions in the text.
double to_microseconds(double seconds) {
  return static_cast<double>(
             static_cast<std::int64_t>(seconds * 1e6 + (seconds < 0 ? -0.5 : 0.5))) /
         1e6;
}

// Everything is placed against the start of the trace; without one, of the transcript.
TimeAxis episode_axis(const Run& run, const Findings& findings) {
  if (findings.trace.start_ns != 0) return {findings.trace.start_ns};
  if (!run.transcript.calls.empty()) return {run.transcript.calls.front().requested_ns};
  return {run.transcript.end_ns};
}

// Rows as arrays: most of the bytes of an episode are here.
// [seq, t, duration ms, process, call, kind, flags, text, count, last seq, last t, cue, origin]
// flags: 1 failed, 2 refused, 4 evidence. Trailing defaults are left off.
Json rows_json(const TraceView& view, const TimeAxis& axis) {
  Json rows = Json::array();
  for (const TraceRow& row : view.rows) {
    int flags = (row.failed ? 1 : 0) | (row.refused ? 2 : 0) | (row.evidence ? 4 : 0);
    bool shown = row.process < view.processes.size();
    Json json = {row.sequence,
                 to_microseconds(axis.seconds(row.time_ns)),
                 to_microseconds(static_cast<double>(row.duration_ns) / 1e6),
                 shown ? Json(row.process) : Json(nullptr),
                 row.call,
                 static_cast<int>(row.kind),
                 flags,
                 row.text};
    bool looked = *row.cue != '\0';
    if (row.count > 1 || looked) {
      json.push_back(row.count);
      json.push_back(row.last_sequence);
      json.push_back(to_microseconds(axis.seconds(row.last_ns)));
    }
    if (looked) {
      json.push_back(row.cue);
      json.push_back(row.origin);
    }
    rows.push_back(std::move(json));
  }
  return rows;
}

Json processes_json(const TraceView& view, const TimeAxis& axis) {
  Json processes = Json::array();
  for (const ProcessView& process : view.processes) {
    Json json{{"pid", process.inside_pid != 0 ? process.inside_pid : process.pid},
              {"parent", process.parent},
              {"program", process.program},
              {"command", process.command},
              {"start", to_microseconds(axis.seconds(process.start_ns))},
              {"end", nullptr},
              {"call", process.call},
              {"calls", process.calls},
              {"failed", process.failed}};
    if (process.end_ns) {
      json["end"] = to_microseconds(axis.seconds(*process.end_ns));
      std::int64_t status = process.wait_status;
      if ((status & 0x7f) != 0)
        json["signal"] = status & 0x7f;
      else
        json["exit"] = (status >> 8) & 0xff;
    }
    processes.push_back(std::move(json));
  }
  return processes;
}

Json call_counts_json(const CallCount& count) {
  return {count.calls, count.failed, count.refused};
}

Json trace_json(const Run& run, const TraceView& view, const TimeAxis& axis) {
  Json json{{"recorded", view.facts.present},
            {"problem", view.facts.problem},
            {"syscalls", view.syscalls},
            {"rows", rows_json(view, axis)},
            {"rows_left_out", view.rows_left_out},
            {"calls_left_out", view.calls_left_out},
            {"processes", processes_json(view, axis)},
            {"processes_left_out", view.processes_left_out},
            {"by_name", Json::array()},
            {"by_call", Json::array()},
            {"activity", Json::object()},
            {"backend", run.backend},
            {"lost", run.lost},
            {"complete", run.complete}};
  std::vector<std::pair<std::string, CallCount>> names(view.by_name.begin(), view.by_name.end());
  std::stable_sort(names.begin(), names.end(),
                   [](const auto& a, const auto& b) { return a.second.calls > b.second.calls; });
  for (const auto& [name, count] : names) {
    json["by_name"].push_back(call_counts_json(count));
    json["by_name"].back().insert(json["by_name"].back().begin(), name);
  }
  for (const auto& [call, count] : view.by_tool_call) {
    json["by_call"].push_back(call_counts_json(count));
    json["by_call"].back().insert(json["by_call"].back().begin(), call);
  }
  for (std::size_t kind = 0; kind < activity_kinds; ++kind)
    json["activity"][activity_name(static_cast<ActivityKind>(kind))] = view.activity[kind];
  return json;
}

// Pieces of evidence, each once, however many findings rest on it.
class EpisodeEvidencePool {
 public:
  EpisodeEvidencePool(const TimeAxis& axis, const EpisodeLimits& limits)
      : axis_(axis), limits_(limits) {}

  Json indices(const EvidenceList& list) {
    Json result = Json::array();
    for (const Evidence& piece : list.kept()) result.push_back(index_of(piece));
    return result;
  }
  Json take() { return std::move(pool_); }

 private:
  std::size_t index_of(const Evidence& piece) {
    Json json{{"source", piece.source},
              {"seq", piece.sequence ? Json(*piece.sequence) : Json(nullptr)},
              {"t", piece.time_ns == 0 ? Json(nullptr)
                                       : Json(to_microseconds(axis_.seconds(piece.time_ns)))},
              {"call", piece.call},
              {"text", shown_line(piece.text, limits_.line_bytes)}};
    auto [at, added] = known_.emplace(json.dump(), pool_.size());
    if (added) pool_.push_back(std::move(json));
    return at->second;
  }

  const TimeAxis& axis_;
  const EpisodeLimits& limits_;
  Json pool_ = Json::array();
  std::map<std::string, std::size_t> known_;
};

// Checks and features that have a value worth a click. All values of all runs stand in the report.
Json episode_findings_json(const Findings& findings, EpisodeEvidencePool& pool) {
  Json json = Json::array();
  for (const CheckResult& check : findings.checks)
    json.push_back({{"name", check.name},
                    {"title", printable(check.title)},
                    {"kind", check.kind},
                    {"value", check.answer.holds ? Json(*check.answer.holds) : Json(nullptr)},
                    {"reason", check.answer.reason},
                    {"total", check.answer.evidence.total()},
                    {"evidence", pool.indices(check.answer.evidence)}});
  for (std::size_t f = 0; f < findings.features.size(); ++f) {
    const FeatureValue& value = findings.features[f];
    json.push_back({{"name", all_features()[f].name},
                    {"kind", "feature"},
                    {"value", value.value ? Json(*value.value) : Json(nullptr)},
                    {"reason", value.reason},
                    {"total", value.evidence.total()},
                    {"evidence", pool.indices(value.evidence)}});
  }
  return json;
}

Json episode_looks_json(const std::map<std::string, CueLooks>& looks) {
  Json json = Json::array();
  for (const auto& [cue, seen] : looks)
    json.push_back({{"cue", cue},
                    {"label", seen.label},
                    {"deliberate", seen.deliberate},
                    {"unexplained", seen.unexplained},
                    {"incidental", seen.incidental},
                    {"refused", seen.refused}});
  return json;
}

}  // namespace

std::string load_episode(const Run& run, const Findings& findings, const EpisodeLimits& limits) {
  return load_episode(run, findings, limits, view_trace(run, findings, limits));
}

std::string load_episode(const Run& run, const Findings& findings, const EpisodeLimits& limits,
                         const TraceView& view) {
  TimeAxis axis = episode_axis(run, findings);
  Json problems = Json::array();
  auto take = [&](Result<Json> read) {
    if (read) return std::move(*read);
    problems.push_back(shown_line(read.error().line(), limits.line_bytes));
    return Json(nullptr);
  };
  EpisodeEvidencePool pool(axis, limits);
  Json json{
      {"run_id", run.run_id},
      {"seconds",
       to_microseconds(axis.seconds(std::max(findings.trace.end_ns, run.transcript.end_ns)))},
      {"trace", trace_json(run, view, axis)},
      {"findings", episode_findings_json(findings, pool)},
      {"evidence", pool.take()},
      {"looks", episode_looks_json(findings.looks)},
      {"transcript", run.has_transcript ? take(transcript_view(run, axis, limits)) : Json(nullptr)},
      {"flows", run.flows ? take(flows_view(run, axis, limits)) : Json(nullptr)},
      {"files", run.has_changes ? files_view(run, limits) : Json(nullptr)}};
  json["problems"] = std::move(problems);
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace gyges::analysis
