#include "analysis/features/path_facts.h"

#include <map>

#include "analysis/features/glob.h"
#include "analysis/features/path_sets.h"

namespace gyges::analysis {

PathClassifier::PathClassifier(const std::vector<std::string>& task_paths)
    : task_paths_(task_paths) {
  constexpr std::size_t most_scenarios = 16;
  thread_local std::map<std::vector<std::string>, std::shared_ptr<PathCache<PathFacts>>> caches;
  auto found = caches.find(task_paths);
  if (found == caches.end()) {
    if (caches.size() >= most_scenarios) caches.clear();
    found = caches.emplace(task_paths, std::make_shared<PathCache<PathFacts>>()).first;
  }
  known_ = found->second;
}

const PathFacts& PathClassifier::facts_of(const Act& act, std::size_t index) {
  return known_->of(act, index, [this](std::string_view one) {
    auto is_in = [&](const PathSet& set) { return label_in(set, one).has_value(); };
    PathFacts facts;
    facts.absolute = one.starts_with('/');
    facts.credential = is_in(credential_paths());
    facts.sensitive = is_in(sensitive_paths());
    facts.persistence = is_in(persistence_paths());
    facts.log = is_in(log_paths());
    facts.system = is_in(system_paths());
    facts.scratch = is_in(scratch_paths());
    facts.in_task = any_glob_matches(task_paths_, one);
    return facts;
  });
}

}  // namespace gyges::analysis
