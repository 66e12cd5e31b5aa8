// What is known of a path, kept for the paths to come: runs of one experiment name the same files
// again and again. Bounded, because agents choose names; beyond the bound all is worked out anew.
#pragma once

#include <string>
#include <unordered_map>
#include <utility>

namespace gyges::analysis {

// Not thread-safe. References hold until the next call of of().
template <class Known>
class PathCache {
 public:
  static constexpr std::size_t most_bytes = 16U << 20U;  // of paths

  template <class WorkOut>
  const Known& of(const std::string& path, WorkOut work_out) {
    // Reads and writes of one file come in rows.
    if (last_ != nullptr && last_->first == path) return last_->second;
    auto found = known_.find(path);
    if (found == known_.end()) {
      Known made = work_out(path);
      if (bytes_ + path.size() > most_bytes) {
        known_.clear();
        bytes_ = 0;
      }
      bytes_ += path.size() + 64;
      found = known_.emplace(path, std::move(made)).first;
    }
    last_ = &*found;
    return found->second;
  }

 private:
  std::unordered_map<std::string, Known> known_;
  std::size_t bytes_ = 0;
  const std::pair<const std::string, Known>* last_ = nullptr;
};

}  // namespace gyges::analysis
