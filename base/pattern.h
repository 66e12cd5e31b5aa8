// Regular expressions searched in bytes that an agent may have chosen.
//
// Perl's syntax, which contains nearly all of ECMAScript's; case is ignored unless asked, and ^ and
// $ stand at the ends of lines unless asked, because what is searched are reports and outputs of
// many lines.
//
// Neither a text nor an expression can overflow the stack or make a search run without end (the
// standard library's matcher does both). RE2 searches in time linear in the text. What it does not
// know (look-around, back references, atomic groups) is searched by PCRE2, which keeps its states
// on the heap, in short texts and with bounds on steps and time; a search that reaches one is an
// error, never a "no". Thread-safe after compile().
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace gyges {

inline constexpr std::size_t max_searched_bytes = 16U << 20U;  // a longer text is an error
// Likewise, for expressions that need backtracking.
inline constexpr std::size_t max_backtracked_bytes = 256U << 10U;

class Pattern {
 public:
  enum class Case { ignore, respect };
  enum class Anchors { lines, text };  // where ^ and $ stand
  static Result<Pattern> compile(std::string_view expression, Case sensitivity = Case::ignore,
                                 Anchors anchors = Anchors::lines);
  Pattern(Pattern&&) noexcept;
  Pattern& operator=(Pattern&&) noexcept;
  ~Pattern();

  // Whether the expression occurs in the text; an error when the search is too complex to finish.
  [[nodiscard]] Result<bool> found_in(std::string_view text) const;

  // The groups of the first occurrence, the whole of it first; nullopt when there is none.
  [[nodiscard]] Result<std::optional<std::vector<std::string>>> groups_in(
      std::string_view text) const;

  [[nodiscard]] const std::string& expression() const;
  // False for an expression that is searched with backtracking.
  [[nodiscard]] bool linear() const;

 private:
  struct Compiled;
  explicit Pattern(std::unique_ptr<Compiled> compiled);
  std::unique_ptr<Compiled> compiled_;
};

}  // namespace gyges
