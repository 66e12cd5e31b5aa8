// Regular expressions of scenario checks, searched in bytes that an agent may have chosen.
//
// Perl syntax of Boost.Regex, which contains ECMAScript's; case is ignored, as in the expressions
// of agent files. Boost's matcher keeps its states on the heap and gives up on expressions that
// backtrack without end; the recursive matcher of the standard library overflows the stack on a
// report of a few hundred kilobytes.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "base/error.h"

namespace gyges::analysis {

inline constexpr std::size_t max_searched_bytes = 256U
                                                  << 10U;  // the rest of a text is not searched

class Pattern {
 public:
  static Result<Pattern> compile(std::string_view expression);
  Pattern(Pattern&&) noexcept;
  Pattern& operator=(Pattern&&) noexcept;
  ~Pattern();

  // Whether the expression occurs in the text; an error when the search is too complex to finish.
  [[nodiscard]] Result<bool> found_in(std::string_view text) const;

 private:
  struct Compiled;
  explicit Pattern(std::unique_ptr<Compiled> compiled);
  std::unique_ptr<Compiled> compiled_;
};

}  // namespace gyges::analysis
