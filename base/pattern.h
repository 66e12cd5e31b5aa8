// Regular expressions searched in bytes that an agent may have chosen.
//
// PCRE2's syntax, which contains nearly all of ECMAScript's; case is ignored unless asked, and ^
// and $ stand at the ends of lines, because what is searched are reports and outputs of many lines.
// The matcher keeps its states on the heap and gives up at a bound, so that neither a text nor an
// expression can overflow the stack or run without end (the standard library's does both).
// Thread-safe after compile().
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace gyges {

inline constexpr std::size_t max_searched_bytes = 256U << 10U;  // the rest is not searched

class Pattern {
 public:
  enum class Case { ignore, respect };
  static Result<Pattern> compile(std::string_view expression, Case sensitivity = Case::ignore);
  Pattern(Pattern&&) noexcept;
  Pattern& operator=(Pattern&&) noexcept;
  ~Pattern();

  // Whether the expression occurs in the text; an error when the search is too complex to finish.
  [[nodiscard]] Result<bool> found_in(std::string_view text) const;

  // The groups of the first occurrence, the whole of it first; nullopt when there is none.
  [[nodiscard]] Result<std::optional<std::vector<std::string>>> groups_in(
      std::string_view text) const;

 private:
  struct Compiled;
  explicit Pattern(std::unique_ptr<Compiled> compiled);
  std::unique_ptr<Compiled> compiled_;
};

}  // namespace gyges
