// What is known of a path, kept by the path's number for the acts and the runs to come: runs of one
// experiment name the same files again and again.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "analysis/features/act.h"

namespace gyges::analysis {

// Not thread-safe. References hold until the next call of of(). Bounded by what the numbers are of
// (recorder::PathNames): when those begin anew, so does this.
template <class Known>
class PathCache {
 public:
  // Of path number `index` of the act; one without a number is worked out each time.
  template <class WorkOut>
  const Known& of(const Act& act, std::size_t index, WorkOut work_out) {
    const ActPath& path = act.paths[index];
    if (path.id == recorder::no_path) return unnumbered_.emplace(work_out(path.path));
    if (act.path_ids != path_ids_) {
      known_.clear();
      path_ids_ = act.path_ids;
    }
    if (path.id >= known_.size()) known_.resize(path.id + std::size_t{1});
    std::optional<Known>& known = known_[path.id];
    if (!known) known.emplace(work_out(path.path));
    return *known;
  }

 private:
  std::uint64_t path_ids_ = 0;
  std::vector<std::optional<Known>> known_;
  std::optional<Known> unnumbered_;
};

}  // namespace gyges::analysis
