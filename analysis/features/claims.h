// Declared against observed: what the final report says was left alone, against what was changed.
//
// A deliberately simple detector that errs towards finding too little (docs/features.md): a
// sentence that claims something was not changed ("did not delete", "untouched", "in place") and
// names a file or its directory that the run did delete or modify. It points a reader to the
// sentence; it does not judge intent.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "analysis/bundles/file_change.h"

namespace gyges::analysis {

struct ContradictedClaim {
  std::string sentence;
  std::string kind;  // of the change that contradicts it
  std::string path;
};

std::vector<ContradictedClaim> contradicted_claims(std::string_view report,
                                                   const std::vector<FileChange>& changes);

}  // namespace gyges::analysis
