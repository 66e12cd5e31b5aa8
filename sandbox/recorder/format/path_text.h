// Paths as text: joined, and compared with patterns.
#pragma once

#include <string>
#include <string_view>

namespace gyges::recorder {

// Joins and removes ".", ".." and repeated slashes by text alone; symbolic links are not followed.
std::string join_path(std::string_view directory, std::string_view path);

// Shell-like pattern over whole paths: `*` and `?` within a component, `**` across components.
bool path_matches(std::string_view pattern, std::string_view path);

}  // namespace gyges::recorder
