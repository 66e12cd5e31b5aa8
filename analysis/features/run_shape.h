// The shape of a run as numbers, without asking what any act means: which system calls follow each
// other, and what tree of processes they came from. For tests over whole runs.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "analysis/features/act.h"

namespace gyges::analysis {

class RunShape {
 public:
  // Triples of consecutive system calls of a task, spread over so many counters by a hash: enough
  // that two triples rarely share one of those that matter, few enough for tests on tens of runs.
  static constexpr std::size_t buckets = 64;

  void observe(const Act& act);

  // buckets counters as log(1 + n); then tasks started, programs started, distinct programs, most
  // children of a task, depth of the tree, each as log(1 + n).
  [[nodiscard]] std::vector<double> values() const;

 private:
  struct Task {
    std::uint32_t previous = 0;  // the last two system calls, plus one
    std::uint32_t before = 0;
    std::uint32_t children = 0;
    std::uint32_t depth = 0;
  };
  std::unordered_map<std::int32_t, Task> tasks_;
  Task* last_ = nullptr;
  std::int32_t last_tid_ = 0;
  std::unordered_set<std::string> programs_;
  std::array<std::uint64_t, buckets> triples_{};
  std::uint64_t started_ = 0;
  std::uint64_t execs_ = 0;
  std::uint32_t most_children_ = 0;
  std::uint32_t deepest_ = 0;
};

}  // namespace gyges::analysis
