// Path globs of checks and rules: `*` within a path component, `**` across components, `?` one
// character that is not a slash. Everything else stands for itself; the whole path must match.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gyges {

// Time is bounded by pattern length times path length whatever the pattern is.
bool glob_matches(std::string_view pattern, std::string_view path);

bool any_glob_matches(const std::vector<std::string>& patterns, std::string_view path);

}  // namespace gyges
