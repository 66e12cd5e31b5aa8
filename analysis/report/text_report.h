// The comparison as text for a terminal.
#pragma once

#include <string>

#include "analysis/comparison/comparison.h"

namespace gyges::analysis {

struct TextOptions {
  bool colour = false;
  std::size_t width = 100;    // columns; lines of evidence are cut to it, tables are not
  std::string outcome;        // show this outcome alone; empty: the primary and what shows a gap
  bool all_outcomes = false;  // every check and feature
};

std::string text_report(const Comparison& comparison, const TextOptions& options);

}  // namespace gyges::analysis
