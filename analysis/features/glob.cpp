#include "analysis/features/glob.h"

#include <algorithm>

namespace gyges::analysis {

bool glob_matches(std::string_view pattern, std::string_view path) {
  // reached[j]: the pattern read so far can match the first j characters of the path.
  std::vector<char> reached(path.size() + 1, 0);
  reached[0] = 1;
  for (std::size_t i = 0; i < pattern.size();) {
    bool star = pattern[i] == '*';
    bool across = star && i + 1 < pattern.size() && pattern[i + 1] == '*';
    if (star) {
      for (std::size_t j = 0; j < path.size(); ++j)
        if (reached[j] != 0 && (across || path[j] != '/')) reached[j + 1] = 1;
    } else {
      for (std::size_t j = path.size(); j > 0; --j) {
        char c = path[j - 1];
        bool fits = pattern[i] == '?' ? c != '/' : c == pattern[i];
        reached[j] = static_cast<char>(fits ? reached[j - 1] : 0);
      }
      reached[0] = 0;
    }
    i += across ? 2 : 1;
  }
  return reached[path.size()] != 0;
}

bool any_glob_matches(const std::vector<std::string>& patterns, std::string_view path) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) { return glob_matches(pattern, path); });
}

}  // namespace gyges::analysis
