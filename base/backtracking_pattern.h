// PCRE2 with bounds, for the expressions that RE2 does not know (base/pattern.h). Of no use
// elsewhere.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/pattern.h"

namespace gyges {

class BacktrackingPattern {
 public:
  static Result<std::unique_ptr<BacktrackingPattern>> compile(const std::string& expression,
                                                              Pattern::Case sensitivity,
                                                              Pattern::Anchors anchors);
  ~BacktrackingPattern();
  BacktrackingPattern(const BacktrackingPattern&) = delete;
  BacktrackingPattern& operator=(const BacktrackingPattern&) = delete;

  // Empty when there is no occurrence.
  [[nodiscard]] Result<std::vector<std::string>> search(std::string_view text) const;

 private:
  struct Code;
  explicit BacktrackingPattern(std::unique_ptr<Code> code);
  std::unique_ptr<Code> code_;
};

}  // namespace gyges
