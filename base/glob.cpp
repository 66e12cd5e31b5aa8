#include "base/glob.h"

#include <algorithm>

namespace gyges {
namespace {

// Whether the literal parts of the pattern occur in the path one after the other, at its ends where
// the pattern starts or ends with them. Necessary for a match, and false for nearly all pairs of
// pattern and path: a trace asks some hundred patterns about each of its paths.
bool has_literal_parts(std::string_view pattern, std::string_view path) {
  constexpr std::string_view wildcards = "*?";
  std::size_t first = pattern.find_first_of(wildcards);
  if (first == std::string_view::npos) return pattern == path;
  if (!path.starts_with(pattern.substr(0, first))) return false;
  if (!path.ends_with(pattern.substr(pattern.find_last_of(wildcards) + 1))) return false;
  std::size_t from = first;
  for (std::size_t begin = first; begin < pattern.size();) {
    begin = pattern.find_first_not_of(wildcards, begin);
    if (begin == std::string_view::npos) break;
    std::size_t end = std::min(pattern.find_first_of(wildcards, begin), pattern.size());
    std::size_t at = path.find(pattern.substr(begin, end - begin), from);
    if (at == std::string_view::npos) return false;
    from = at + (end - begin);
    begin = end;
  }
  return true;
}

}  // namespace

bool glob_matches(std::string_view pattern, std::string_view path) {
  if (!has_literal_parts(pattern, path)) return false;
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

}  // namespace gyges
