#include "sandbox/recorder/format/path_text.h"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace gyges::recorder {
namespace {

constexpr std::size_t max_path_bytes = 8192;

// A glob as a small automaton, so that matching costs pattern times path however hostile the path.
enum class GlobStep : std::uint8_t {
  literal,
  any_of_component,  // ?
  star,              // *, may be empty
  globstar,          // **, may be empty
  directories,       // **/ after a slash: nothing, or anything that ends in a slash
};

struct GlobToken {
  GlobStep step = GlobStep::literal;
  char literal = 0;
};

std::vector<GlobToken> glob_tokens(std::string_view pattern) {
  std::vector<GlobToken> tokens;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '?') {
      tokens.push_back({GlobStep::any_of_component, 0});
    } else if (pattern[i] != '*') {
      tokens.push_back({GlobStep::literal, pattern[i]});
    } else if (!pattern.substr(i).starts_with("**")) {
      tokens.push_back({GlobStep::star, 0});
    } else if (pattern.substr(i).starts_with("**/") && (i == 0 || pattern[i - 1] == '/')) {
      tokens.push_back({GlobStep::directories, 0});
      i += 2;
    } else {
      tokens.push_back({GlobStep::globstar, 0});
      ++i;
    }
  }
  return tokens;
}

bool may_be_empty(GlobStep step) {
  return step == GlobStep::star || step == GlobStep::globstar || step == GlobStep::directories;
}

bool run_glob(const std::vector<GlobToken>& tokens, std::string_view path) {
  // active[i]: tokens before i are used up. inside[i]: within the directories of token i.
  std::vector<char> active(tokens.size() + 1, 0);
  std::vector<char> inside(tokens.size() + 1, 0);
  auto pass_empty = [&](std::vector<char>& states) {
    for (std::size_t i = 0; i < tokens.size(); ++i)
      if (states[i] != 0 && may_be_empty(tokens[i].step)) states[i + 1] = 1;
  };
  active[0] = 1;
  pass_empty(active);
  std::vector<char> next(active.size());
  for (char c : path) {
    std::fill(next.begin(), next.end(), 0);
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      bool here = active[i] != 0;
      switch (tokens[i].step) {
        case GlobStep::literal:
          if (here && c == tokens[i].literal) next[i + 1] = 1;
          break;
        case GlobStep::any_of_component:
          if (here && c != '/') next[i + 1] = 1;
          break;
        case GlobStep::star:
          if (here && c != '/') next[i] = 1;
          break;
        case GlobStep::globstar:
          if (here) next[i] = 1;
          break;
        case GlobStep::directories:
          if (here || inside[i] != 0) {
            inside[i] = 1;
            if (c == '/') next[i + 1] = 1;
          }
          break;
      }
    }
    active.swap(next);
    pass_empty(active);
  }
  return active[tokens.size()] != 0;
}

}  // namespace

std::string join_path(std::string_view directory, std::string_view path) {
  std::string joined;
  bool absolute = path.starts_with('/') || directory.starts_with('/');
  auto add_all = [&](std::string_view text) {
    while (!text.empty()) {
      std::size_t end = std::min(text.find('/'), text.size());
      std::string_view part = text.substr(0, end);
      text.remove_prefix(std::min(end + 1, text.size()));
      if (part.empty() || part == ".") continue;
      if (part == ".." && absolute) {
        joined.resize(joined.empty() ? 0 : joined.rfind('/'));
        continue;
      }
      if (absolute || !joined.empty()) joined += '/';
      joined += part;
    }
  };
  if (!path.starts_with('/')) add_all(directory);
  add_all(path);
  if (joined.empty()) joined = absolute ? "/" : ".";
  return joined;
}

bool path_matches(std::string_view pattern, std::string_view path) {
  std::size_t plain = std::min(pattern.find_first_of("*?"), pattern.size());
  if (plain == pattern.size()) return pattern == path;
  if (path.size() > max_path_bytes || path.substr(0, plain) != pattern.substr(0, plain))
    return false;
  return run_glob(glob_tokens(pattern), path);
}

}  // namespace gyges::recorder
