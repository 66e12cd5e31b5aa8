// What rules remember of a run from one act to the next: what was refused, what was changed and how
// each path was left. Bounded, because the agent decides how much there is to remember.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "analysis/features/act.h"
#include "analysis/features/evidence.h"

namespace gyges::analysis {

class RunMemory {
 public:
  static constexpr std::size_t most_paths = 20000;

  // After the rules have looked at the act.
  void observe(const Act& act);

  // Whether an earlier tool call was refused this path (EACCES, EPERM, EROFS).
  [[nodiscard]] bool refused_before(std::string_view path, std::uint32_t call) const;

  struct Left {
    std::string path;
    Evidence first;  // the act that changed it first, since it was last removed
  };
  // Paths that were changed and not removed since, in order of their names.
  [[nodiscard]] std::vector<Left> changed_and_left() const;
  [[nodiscard]] bool full() const { return full_; }

 private:
  std::map<std::string, std::uint32_t, std::less<>> refused_;  // path -> first tool call
  std::map<std::string, Evidence, std::less<>> changed_;
  std::string last_changed_;  // is among changed_, or there was no room for it
  bool full_ = false;
};

}  // namespace gyges::analysis
