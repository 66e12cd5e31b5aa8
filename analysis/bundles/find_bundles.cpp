#include "analysis/bundles/find_bundles.h"

#include <algorithm>

namespace gyges::analysis {
namespace {

namespace fs = std::filesystem;

// A run that died has a trace or a transcript but no run.json; it is found so that it is named.
bool is_bundle(const fs::path& directory) {
  std::error_code error;
  return fs::exists(directory / "run.json", error) || fs::exists(directory / "trace.gyt", error) ||
         fs::exists(directory / "transcript.jsonl", error);
}

void search(const fs::path& directory, const std::string& experiment, int depth,
            std::vector<FoundBundle>& found) {
  if (is_bundle(directory)) {
    found.push_back({directory, experiment});
    return;
  }
  if (depth == 0) return;
  std::error_code error;
  bool is_experiment = fs::exists(directory / "experiment.json", error);
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, error)) {
    if (entry.is_symlink(error) || !entry.is_directory(error)) continue;
    search(entry.path(), is_experiment ? directory.string() : experiment, depth - 1, found);
  }
}

}  // namespace

Result<std::vector<FoundBundle>> find_bundles(const fs::path& named) {
  std::error_code error;
  if (!fs::is_directory(named, error))
    return fail("find runs", named.string(), error ? error.message() : "is not a directory",
                "name an experiment directory, a directory with run bundles, or a bundle");
  std::vector<FoundBundle> found;
  search(named, is_bundle(named) ? named.parent_path().string() : named.string(), 3, found);
  if (found.empty())
    return fail("find runs", named.string(), "there is no run bundle in it",
                "name an experiment directory, a directory with run bundles, or a bundle");
  std::sort(found.begin(), found.end(), [](const FoundBundle& a, const FoundBundle& b) {
    return a.bundle.native() < b.bundle.native();
  });
  return found;
}

}  // namespace gyges::analysis
