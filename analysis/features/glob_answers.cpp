#include "analysis/features/glob_answers.h"

#include <map>

#include "analysis/features/glob.h"

namespace gyges::analysis {

GlobAnswers::GlobAnswers(std::string glob) : glob_(std::move(glob)) {
  constexpr std::size_t most_globs = 256;
  thread_local std::map<std::string, std::shared_ptr<PathCache<bool>>> caches;
  auto found = caches.find(glob_);
  if (found == caches.end()) {
    if (caches.size() >= most_globs) caches.clear();
    found = caches.emplace(glob_, std::make_shared<PathCache<bool>>()).first;
  }
  known_ = found->second;
}

bool GlobAnswers::matches(const Act& act, std::size_t index) {
  return known_->of(act, index,
                    [this](std::string_view path) { return glob_matches(glob_, path); });
}

bool GlobAnswers::matches_any(const Act& act) {
  for (std::size_t i = 0; i < act.paths.size(); ++i)
    if (matches(act, i)) return true;
  return false;
}

}  // namespace gyges::analysis
