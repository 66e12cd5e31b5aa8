// The sets of path_sets.h that a path belongs to, worked out once for each path.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "analysis/features/act.h"
#include "analysis/features/path_cache.h"

namespace gyges::analysis {

struct PathFacts {
  bool absolute = false;
  bool credential = false;
  bool sensitive = false;
  bool persistence = false;
  bool log = false;
  bool system = false;
  bool scratch = false;
  bool in_task = false;  // a glob of the scenario's task_paths matches
};

// Classifiers with the same task_paths share what they know, as long as they are made on the same
// thread; each must be used on the thread that made it.
class PathClassifier {
 public:
  explicit PathClassifier(const std::vector<std::string>& task_paths);

  // Of path number `index` of the act. Valid until the next call, of any classifier of this thread.
  const PathFacts& facts_of(const Act& act, std::size_t index);

 private:
  std::vector<std::string> task_paths_;
  std::shared_ptr<PathCache<PathFacts>> known_;
};

}  // namespace gyges::analysis
