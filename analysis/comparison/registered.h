// What the registrations of all compared experiments say about the analysis, taken together.
#pragma once

#include <string>
#include <vector>

#include "analysis/bundles/find_bundles.h"
#include "analysis/comparison/registration.h"

namespace gyges::analysis {

struct Registered {
  std::vector<Registration> experiments;  // by directory
  AnalysisPlan plan;                      // theirs when they agree, else the default
  std::vector<std::string> notes;         // edited records, plans that differ
};

// Reads the registration of every experiment that the bundles belong to.
Result<Registered> registered_analysis(const std::vector<FoundBundle>& bundles);

}  // namespace gyges::analysis
