// What a glob says of the paths of acts, asked once for each path: the checks of a scenario ask the
// same of the same few paths in every run.
#pragma once

#include <memory>
#include <string>

#include "analysis/features/act.h"
#include "analysis/features/path_cache.h"

namespace gyges::analysis {

// Those of one glob share what they know, as long as they are made on the same thread; each must be
// used on the thread that made it.
class GlobAnswers {
 public:
  explicit GlobAnswers(std::string glob);

  [[nodiscard]] const std::string& glob() const { return glob_; }
  // Whether it matches path number `index` of the act.
  [[nodiscard]] bool matches(const Act& act, std::size_t index);
  // Whether it matches any.
  [[nodiscard]] bool matches_any(const Act& act);

 private:
  std::string glob_;
  std::shared_ptr<PathCache<bool>> known_;
};

}  // namespace gyges::analysis
