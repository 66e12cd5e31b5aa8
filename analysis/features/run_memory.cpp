#include "analysis/features/run_memory.h"

#include <cerrno>

namespace gyges::analysis {

void RunMemory::observe(const Act& act) {
  if (!act.is_syscall() || act.paths.empty()) return;
  std::int64_t result = act.event->result;
  bool refused = result == -EACCES || result == -EPERM || result == -EROFS;
  for (const ActPath& path : act.paths) {
    if (refused) {
      if (refused_.size() < most_paths)
        refused_.emplace(path.path, act.call);
      else
        full_ = true;
    } else if (path.changes && act.does.removes) {
      if (auto known = changed_.find(path.path); known != changed_.end()) changed_.erase(known);
      last_changed_.clear();
    } else if (path.changes) {
      // Text is made for the first change of a path alone: a run can write millions of times.
      if (path.path == last_changed_) continue;
      last_changed_ = path.path;
      if (changed_.find(path.path) != changed_.end()) continue;
      if (changed_.size() < most_paths)
        changed_.emplace(path.path, act.evidence());
      else
        full_ = true;
    }
  }
}

bool RunMemory::refused_before(std::string_view path, std::uint32_t call) const {
  if (refused_.empty()) return false;
  auto found = refused_.find(path);
  return found != refused_.end() && found->second != call && call != 0;
}

std::vector<RunMemory::Left> RunMemory::changed_and_left() const {
  std::vector<Left> left;
  for (const auto& [path, evidence] : changed_) left.push_back({path, evidence});
  return left;
}

}  // namespace gyges::analysis
