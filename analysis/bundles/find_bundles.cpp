#include "analysis/bundles/find_bundles.h"

#include <algorithm>
#include <tuple>

#include "analysis/interchange/inspect_log.h"

namespace gyges::analysis {
namespace {

namespace fs = std::filesystem;

// A run that died has a trace or a transcript but no run.json; it is found so that it is named.
// `error`: what the directory holds cannot be told.
bool is_bundle(const fs::path& directory, std::error_code& error) {
  for (const char* name : {"run.json", "trace.gyt", "transcript.jsonl"})
    if (fs::exists(directory / name, error) || error) return !error;
  return false;
}

void add_samples(const fs::path& log, const std::string& experiment,
                 std::vector<FoundBundle>& found) {
  auto samples = samples_of(log, experiment);
  if (samples)
    found.insert(found.end(), samples->begin(), samples->end());
  else
    found.push_back({log, experiment, {}, {}, samples.error().line()});
}

void search(const fs::path& directory, const std::string& experiment, int depth,
            std::vector<FoundBundle>& found) {
  std::error_code error;
  if (is_bundle(directory, error)) {
    found.push_back({directory, experiment, {}, {}, {}});
    return;
  }
  if (depth == 0 && !error) return;
  fs::directory_iterator entries;
  if (!error) entries = fs::directory_iterator(directory, error);
  if (error) {  // a run may be in it
    found.push_back({directory, experiment, {}, {}, "read directory: " + error.message()});
    return;
  }
  bool is_experiment = fs::exists(directory / "experiment.json", error);
  for (const fs::directory_entry& entry : entries) {
    if (entry.is_symlink(error)) continue;
    if (is_inspect_log(entry.path()) && entry.is_regular_file(error))
      add_samples(entry.path(), experiment, found);
    if (!entry.is_directory(error)) continue;
    search(entry.path(), is_experiment ? directory.string() : experiment, depth - 1, found);
  }
}

}  // namespace

Result<std::vector<FoundBundle>> find_bundles(const fs::path& named) {
  std::error_code error;
  if (is_inspect_log(named) && fs::is_regular_file(named, error))
    return samples_of(named, named.string());
  if (!fs::is_directory(named, error))
    return fail(
        "find runs", named.string(), error ? error.message() : "is not a directory",
        "name an experiment directory, a directory with run bundles or logs, a bundle or a log");
  std::vector<FoundBundle> found;
  search(named, is_bundle(named, error) ? named.parent_path().string() : named.string(), 3, found);
  if (found.empty())
    return fail("find runs", named.string(), "there is no run bundle in it",
                "name an experiment directory, a directory with run bundles, or a bundle");
  std::sort(found.begin(), found.end(), [](const FoundBundle& a, const FoundBundle& b) {
    return std::tie(a.bundle.native(), a.sample) < std::tie(b.bundle.native(), b.sample);
  });
  return found;
}

}  // namespace gyges::analysis
