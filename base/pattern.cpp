#include "base/pattern.h"

#include <re2/re2.h>

#include "base/backtracking_pattern.h"
#include "base/text.h"

namespace gyges {
namespace {

constexpr std::int64_t max_memory = 4 << 20;
// Where the states of a search outgrow its memory RE2 visits every instruction at every byte. This
// many visits take some ten seconds.
constexpr std::uint64_t max_visits = 4'000'000'000;

}  // namespace

struct Pattern::Compiled {
  std::string expression;
  std::unique_ptr<RE2> linear;
  std::unique_ptr<BacktrackingPattern> backtracking;  // where `linear` is null

  [[nodiscard]] Status bounded(std::string_view text) const {
    if (text.size() <= max_searched_bytes &&
        text.size() * static_cast<std::uint64_t>(linear->ProgramSize()) <= max_visits)
      return ok();
    return fail("search", quoted(std::string_view(expression).substr(0, 200)),
                "the text of " + std::to_string(text.size()) + " bytes is too long for it",
                "write a shorter expression, with smaller counts of repetitions");
  }
};

Pattern::Pattern(std::unique_ptr<Compiled> compiled) : compiled_(std::move(compiled)) {}
Pattern::Pattern(Pattern&&) noexcept = default;
Pattern& Pattern::operator=(Pattern&&) noexcept = default;
Pattern::~Pattern() = default;

const std::string& Pattern::expression() const {
  return compiled_->expression;
}

bool Pattern::linear() const {
  return compiled_->linear != nullptr;
}

Result<Pattern> Pattern::compile(std::string_view expression, Case sensitivity, Anchors anchors) {
  auto compiled = std::make_unique<Compiled>();
  compiled->expression = expression;
  RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(max_memory);
  options.set_case_sensitive(sensitivity == Case::respect);
  compiled->linear = std::make_unique<RE2>(
      (anchors == Anchors::lines ? "(?m)" : "") + compiled->expression, options);
  if (!compiled->linear->ok()) {
    compiled->linear = nullptr;
    GYGES_TRY(compiled->backtracking,
              BacktrackingPattern::compile(compiled->expression, sensitivity, anchors));
  }
  return Pattern(std::move(compiled));
}

Result<bool> Pattern::found_in(std::string_view text) const {
  if (!linear()) {
    GYGES_TRY(auto groups, compiled_->backtracking->search(text));
    return !groups.empty();
  }
  GYGES_CHECK(compiled_->bounded(text));
  return compiled_->linear->Match(re2::StringPiece(text.data(), text.size()), 0, text.size(),
                                  RE2::UNANCHORED, nullptr, 0);
}

Result<std::optional<std::vector<std::string>>> Pattern::groups_in(std::string_view text) const {
  std::vector<std::string> groups;
  if (!linear()) {
    GYGES_TRY(groups, compiled_->backtracking->search(text));
    if (groups.empty()) return std::optional<std::vector<std::string>>();
    return std::optional<std::vector<std::string>>(std::move(groups));
  }
  GYGES_CHECK(compiled_->bounded(text));
  std::vector<re2::StringPiece> found(
      static_cast<std::size_t>(compiled_->linear->NumberOfCapturingGroups()) + 1);
  if (!compiled_->linear->Match(re2::StringPiece(text.data(), text.size()), 0, text.size(),
                                RE2::UNANCHORED, found.data(), static_cast<int>(found.size())))
    return std::optional<std::vector<std::string>>();
  groups.reserve(found.size());
  for (const re2::StringPiece& group : found)
    groups.emplace_back(group.data() == nullptr ? "" : std::string(group.data(), group.size()));
  return std::optional<std::vector<std::string>>(std::move(groups));
}

}  // namespace gyges
