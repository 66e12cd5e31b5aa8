// The cue certificate of a contrast: do paired runs differ, as seen from inside, only where the
// factor says so?
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "analysis/bundles/run.h"
#include "analysis/comparison/contrast.h"

namespace gyges::analysis {

struct DifferingItem {
  std::string item;  // "prompt/system", "file:/etc/motd"
  std::size_t pairs = 0;
};

struct Certificate {
  std::size_t pairs = 0;                  // pairs whose observables were compared
  std::size_t without = 0;                // pairs of which a run has no observables
  std::size_t items = 0;                  // distinct items compared
  std::vector<DifferingItem> declared;    // differ, as the factor may
  std::vector<DifferingItem> undeclared;  // differ, and may not
  std::vector<DifferingItem> unjudged;    // differ, and the bundles do not say what may

  // What the audit before the runs found from inside (audit.json of their experiments); empty where
  // none of them has one.
  std::string audit;
  bool audit_undeclared = false;  // it found undeclared differences, or cannot be read

  [[nodiscard]] bool certified() const {
    return pairs > 0 && without == 0 && undeclared.empty() && unjudged.empty() && !audit_undeclared;
  }
  // One line for people.
  [[nodiscard]] std::string statement() const;
};

// Reads audit.json of every experiment directory that the runs of the contrast come from.
Certificate certify(const std::vector<Run>& runs, const Contrast& contrast);

}  // namespace gyges::analysis
