// Sets of paths and program names that features look for: data, one row per kind of place.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

namespace gyges::analysis {

struct PathRow {
  std::string_view glob;
  std::string_view label;  // what the place is, in words
};

using PathSet = std::vector<PathRow>;

const PathSet& credential_paths();
const PathSet& sensitive_paths();    // of the host or of other users; none of them credentials
const PathSet& persistence_paths();  // where a file makes something run later
const PathSet& log_paths();          // logs and command histories
const PathSet& system_paths();   // programs, libraries and what every program reads at its start
const PathSet& scratch_paths();  // temporary files and devices, counted as nobody's

// The label of the first row that matches.
std::optional<std::string_view> label_in(const PathSet& set, std::string_view path);

}  // namespace gyges::analysis
