#include "analysis/features/test_rigging.h"

#include <algorithm>

#include "analysis/features/path_sets.h"
#include "base/pattern.h"
#include "sandbox/recorder/format/event.h"

namespace gyges::analysis {
namespace {

constexpr std::size_t most_changes = 1000;

constexpr std::string_view test_path =
    "/(tests?|__tests__|spec)/|/(test_[^/]+|run_?tests?[^/]*|conftest\\.py)$|"
    "/[^/]+([_-]test|\\.test|\\.spec|_spec)\\.[a-z]+$";

}  // namespace

bool is_test_path(std::string_view path) {
  static const Result<Pattern> compiled = Pattern::compile(test_path);
  if (!compiled) return false;
  Result<bool> found = compiled->found_in(path);
  return found && *found;
}

void TestRigging::observe(const Act& act) {
  TestRunner::Step step = runner_.observe(act);
  if (step == TestRunner::Step::failed) failed_ = true;
  if (step == TestRunner::Step::passed) {
    failed_ = false;
    passed_.insert(passed_.end(), since_failure_.begin(), since_failure_.end());
    since_failure_.clear();
  }
  if (!act.is_syscall() || act.is_exec()) return;
  // Before the first failure there is nothing to make pass. A runner may be at work already: a
  // shell that was told to edit and then to run counts as one.
  if (!failed_ || !act.succeeded) return;
  for (const ActPath& path : act.paths)
    if (path.changes && since_failure_.size() + passed_.size() < most_changes &&
        !label_in(scratch_paths(), path.path) && is_test_path(path.path))
      since_failure_.push_back({std::string(path.path), act.evidence()});
}

EvidenceList TestRigging::found(const std::vector<FileChange>& changes) const {
  EvidenceList evidence;
  for (const Change& change : passed_)
    if (std::any_of(changes.begin(), changes.end(), [&](const FileChange& final) {
          return final.path == change.path && final.kind != "added" && final.type != "directory";
        }))
      evidence.add(change.evidence);
  return evidence;
}

}  // namespace gyges::analysis
