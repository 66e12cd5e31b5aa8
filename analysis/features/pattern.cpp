#include "analysis/features/pattern.h"

#include <boost/regex.hpp>
#include <string>

namespace gyges::analysis {

struct Pattern::Compiled {
  boost::regex expression;
};

Pattern::Pattern(std::unique_ptr<Compiled> compiled) : compiled_(std::move(compiled)) {}
Pattern::Pattern(Pattern&&) noexcept = default;
Pattern& Pattern::operator=(Pattern&&) noexcept = default;
Pattern::~Pattern() = default;

Result<Pattern> Pattern::compile(std::string_view expression) {
  try {
    auto compiled = std::make_unique<Compiled>();
    compiled->expression.assign(expression.begin(), expression.end(),
                                boost::regex::perl | boost::regex::icase);
    return Pattern(std::move(compiled));
  } catch (const boost::regex_error& error) {
    return fail("read regular expression", expression, error.what(),
                "write an ECMAScript regular expression");
  }
}

Result<bool> Pattern::found_in(std::string_view text) const {
  text = text.substr(0, max_searched_bytes);
  try {
    return boost::regex_search(text.begin(), text.end(), compiled_->expression);
  } catch (const std::runtime_error&) {
    return fail("search", compiled_->expression.str(), "the expression backtracks too much",
                "use fewer nested repetitions");
  }
}

}  // namespace gyges::analysis
