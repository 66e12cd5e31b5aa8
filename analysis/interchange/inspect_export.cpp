#include "analysis/interchange/inspect_export.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "analysis/interchange/inspect_sample.h"
#include "analysis/interchange/zip_archive.h"
#include "base/hash.h"
#include "base/json.h"

namespace gyges::analysis {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::string dumped(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

// In names of files: what Inspect leaves and shells do not mind.
std::string file_name(const std::string& text) {
  std::string name;
  for (char c : text)
    name += std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.' ? c : '-';
  return name.substr(0, 80);
}

struct LogGroup {
  std::vector<const StoredRun*> runs;
};

// Mean and standard error of each score over the samples that have it.
json scores_of(const std::vector<json>& summaries) {
  std::map<std::string, std::vector<double>> values;
  for (const json& summary : summaries)
    for (const auto& [name, score] : summary["scores"].items())
      values[name].push_back(score["value"].get<double>());
  json scores = json::array();
  for (const auto& [name, all] : values) {
    double sum = 0;
    for (double value : all) sum += value;
    double mean = sum / static_cast<double>(all.size());
    scores.push_back(
        {{"name", name},
         {"scorer", name},
         {"scored_samples", all.size()},
         {"unscored_samples", summaries.size() - all.size()},
         {"params", json::object()},
         {"metrics", {{"mean", {{"name", "mean"}, {"value", mean}, {"params", json::object()}}}}}});
  }
  return scores;
}

json eval_of(const LogGroup& group, const std::string& created, const std::string& task_id) {
  const Run& first = group.runs[0]->run;
  json ids = json::array();
  std::uint64_t epochs = 1;
  for (const StoredRun* stored : group.runs) {
    epochs = std::max(epochs, stored->run.repeat + 1);
    if (ids.empty())
      ids.push_back(stored->run.scenario.empty() ? stored->run.slot : stored->run.scenario);
  }
  std::vector<std::string> tags{"gyges"};
  for (const auto& [factor, level] : first.condition) tags.push_back(factor + "=" + level);
  json task_args = first.condition;
  return {{"eval_id", task_id + "e"},
          {"run_id", task_id + "r"},
          {"created", created},
          {"task", first.scenario.empty() ? "command" : first.scenario},
          {"task_id", task_id},
          {"task_version", 0},
          {"task_args", std::move(task_args)},
          {"solver", first.agent},
          {"tags", std::move(tags)},
          {"dataset",
           {{"name", first.scenario}, {"samples", 1}, {"sample_ids", ids}, {"shuffled", false}}},
          {"sandbox", {{"type", "gyges"}}},
          {"model", inspect_model(first)},
          {"model_args", json::object()},
          {"config", {{"epochs", epochs}}},
          {"packages", {{"gyges", "0.1.0"}}},
          {"metadata",
           {{"gyges",
             {{"experiment", first.experiment},
              {"policy", first.policy},
              {"persona", first.persona}}}}}};
}

struct Written {
  std::string created;
  std::string completed;
  std::vector<json> summaries;
  json usage = json::object();
};

void add_usage(json& sum, const json& usage) {
  for (const auto& [model, counts] : usage.items())
    for (const auto& [name, count] : counts.items()) {
      json& total = sum[model][name];
      total = total.is_null() ? count
              : count.is_number_integer()
                  ? json(total.get<std::uint64_t>() + count.get<std::uint64_t>())
                  : json(total.get<double>() + count.get<double>());
    }
}

Status write_log(const LogGroup& group, const fs::path& directory,
                 const InspectExportOptions& options, InspectExport& result) {
  std::vector<EpisodeLog> logs;
  std::string task_id;
  for (const StoredRun* stored : group.runs) {
    if (!stored->run.has_transcript)
      return fail("export run", stored->run.bundle.string(), "it has no transcript",
                  "use `gyges trace export` for runs of `gyges run`");
    GYGES_TRY(EpisodeLog log, load_episode_log(stored->run.bundle));
    logs.push_back(std::move(log));
    task_id += stored->run.run_id;
  }
  task_id = to_hex(sha256(task_id)).substr(0, 22);
  Written written;
  for (const EpisodeLog& log : logs) {
    if (written.created.empty() || log.time(log.start_ns) < written.created)
      written.created = log.time(log.start_ns);
    written.completed = std::max(written.completed, log.time(log.end_ns));
  }
  json eval = eval_of(group, written.created, task_id);
  json plan{{"name", "gyges"},
            {"steps", json::array({{{"solver", eval["solver"]}, {"params", json::object()}}})},
            {"config", json::object()}};
  // "2026-11-28T19-20-21+00-00_task_id.eval", as Inspect names its own.
  std::string stamp = written.created.substr(0, 19) + "+00-00";
  std::replace(stamp.begin(), stamp.end(), ':', '-');
  fs::path file = directory / fmt::format("{}_{}_{}.eval", stamp,
                                          file_name(eval["task"].get<std::string>()), task_id);
  GYGES_TRY(ZipWriter zip, ZipWriter::create(file));
  GYGES_CHECK(
      zip.add("_journal/start.json", dumped({{"version", 2}, {"eval", eval}, {"plan", plan}})));
  for (std::size_t i = 0; i < group.runs.size(); ++i) {
    GYGES_TRY(json sample, inspect_sample(*group.runs[i], logs[i], options));
    GYGES_CHECK(
        zip.add(fmt::format("samples/{}_epoch_{}.json", file_name(sample["id"].get<std::string>()),
                            sample["epoch"].get<std::uint64_t>()),
                dumped(sample)));
    add_usage(written.usage, sample["model_usage"]);
    written.summaries.push_back(inspect_summary(sample));
  }
  json summaries = written.summaries;
  json results{{"total_samples", group.runs.size()},
               {"completed_samples", group.runs.size()},
               {"scores", scores_of(written.summaries)}};
  json stats{{"started_at", written.created},
             {"completed_at", written.completed},
             {"model_usage", written.usage}};
  GYGES_CHECK(zip.add("_journal/summaries/1.json", dumped(summaries)));
  GYGES_CHECK(zip.add("summaries.json", dumped(summaries)));
  GYGES_CHECK(zip.add("reductions.json", "[]"));
  GYGES_CHECK(zip.add("header.json", dumped({{"version", 2},
                                             {"status", "success"},
                                             {"eval", std::move(eval)},
                                             {"plan", std::move(plan)},
                                             {"results", std::move(results)},
                                             {"stats", std::move(stats)}})));
  GYGES_CHECK(zip.finish());
  result.files.push_back(std::move(file));
  result.samples += group.runs.size();
  return ok();
}

}  // namespace

Result<InspectExport> export_inspect(const std::vector<StoredRun>& runs, const fs::path& directory,
                                     const InspectExportOptions& options) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) return fail_errno("create", directory.string(), error.value());
  std::map<std::tuple<std::string, std::string, std::string, std::string>, LogGroup> groups;
  for (const StoredRun& stored : runs) {
    const Run& run = stored.run;
    groups[{run.experiment, run.scenario, run.agent, run.condition_label()}].runs.push_back(
        &stored);
  }
  InspectExport result;
  for (auto& [key, group] : groups) {
    std::sort(group.runs.begin(), group.runs.end(), [](const StoredRun* a, const StoredRun* b) {
      return std::tie(a->run.repeat, a->run.run_id) < std::tie(b->run.repeat, b->run.run_id);
    });
    GYGES_CHECK(write_log(group, directory, options, result));
  }
  return result;
}

}  // namespace gyges::analysis
