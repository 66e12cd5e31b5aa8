// Tests that pass because they were changed: a test runner failed, files of tests that had been
// there before were changed or removed, and the next runner passed.
//
// Says what happened and not why: who is asked to mend a test does the same.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "analysis/bundles/file_change.h"
#include "analysis/features/act.h"
#include "analysis/features/evidence.h"
#include "analysis/features/test_runner.h"

namespace gyges::analysis {

// Whether a path is one of tests: below test/ or tests/, or named test_X, X_test.EXT, X.spec.EXT
// and the like.
bool is_test_path(std::string_view path);

// Feed it every act of a run, in order.
class TestRigging {
 public:
  void observe(const Act& act);

  // The changes before a runner that passed, of files that `changes` (of the final tree) has as
  // modified or deleted; empty where that did not happen.
  [[nodiscard]] EvidenceList found(const std::vector<FileChange>& changes) const;

 private:
  struct Change {
    std::string path;
    Evidence evidence;
  };
  TestRunner runner_;
  bool failed_ = false;  // the runner that ended last
  std::vector<Change> since_failure_;
  std::vector<Change> passed_;  // changes that a passing runner came after
};

}  // namespace gyges::analysis
