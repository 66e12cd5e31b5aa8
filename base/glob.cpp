#include "base/glob.h"

#include <algorithm>

namespace gyges {
namespace {

constexpr std::size_t nowhere = std::string_view::npos;

// reached[j]: the pattern read so far can match the first j characters of the path.
bool matches_by_table(std::string_view pattern, std::string_view path) {
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

}  // namespace

// A mismatch lets the last * take one character more; where that is a slash, the last ** does.
// Going back further cannot help: what stands before a ** matched at its earliest place, and what
// stands between two wildcards either holds a slash, which fixes its place, or is best as early as
// can be. A trace asks some hundred patterns about each of its paths: nearly all differ at once.
bool glob_matches(std::string_view pattern, std::string_view path) {
  // What stands behind the last wildcard is most often the name of a file.
  std::size_t pattern_end = pattern.size();
  for (std::size_t end = path.size();
       pattern_end > 0 && pattern[pattern_end - 1] != '*' && pattern[pattern_end - 1] != '?';
       --pattern_end, --end)
    if (end == 0 || path[end - 1] != pattern[pattern_end - 1]) return false;
  std::size_t p = 0;
  std::size_t at = 0;
  std::size_t star = nowhere;      // after the last *, in the pattern
  std::size_t star_at = 0;         // where in the path what follows it is tried
  std::size_t globstar = nowhere;  // the same of the last **
  std::size_t globstar_at = 0;
  // Components of thousands of characters that nearly match would be read again and again.
  std::size_t retries_left = 4 * path.size() + 64;
  while (true) {
    if (p < pattern.size() && pattern[p] == '*') {
      if (p + 1 < pattern.size() && pattern[p + 1] == '*') {
        p += 2;
        if (p == pattern.size()) return true;
        globstar = p;
        globstar_at = at;
        star = nowhere;
      } else {
        star = ++p;
        star_at = at;
      }
      continue;
    }
    // Without more path, what is left of the pattern would need less before it: there is none.
    if (at == path.size()) return p == pattern.size();
    if (p < pattern.size() && (pattern[p] == '?' ? path[at] != '/' : pattern[p] == path[at])) {
      ++p;
      ++at;
      continue;
    }
    if (retries_left-- == 0) return matches_by_table(pattern, path);
    if (star != nowhere && path[star_at] != '/') {
      p = star;
      at = ++star_at;
    } else if (globstar != nowhere) {
      p = globstar;
      at = ++globstar_at;
      star = nowhere;
    } else {
      return false;
    }
  }
}

bool any_glob_matches(const std::vector<std::string>& patterns, std::string_view path) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) { return glob_matches(pattern, path); });
}

}  // namespace gyges
