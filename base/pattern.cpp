#include "base/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>

#include "base/text.h"

namespace gyges {
namespace {

// Steps of one search: some tens of milliseconds.
constexpr std::uint32_t match_limit = 2000000;

std::string message_of(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

struct FreeMatch {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
using Match = std::unique_ptr<pcre2_match_data, FreeMatch>;

}  // namespace

struct Pattern::Compiled {
  std::string expression;
  pcre2_code* code = nullptr;
  pcre2_match_context* context = nullptr;
  ~Compiled() {
    pcre2_code_free(code);
    pcre2_match_context_free(context);
  }

  // The number of groups matched, 0 for none.
  Result<int> search(std::string_view text, const Match& match) const {
    text = text.substr(0, max_searched_bytes);
    int found = pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, 0,
                            match.get(), context);
    if (found == PCRE2_ERROR_NOMATCH) return 0;
    if (found < 0)
      return fail("search", quoted(expression), message_of(found), "use fewer nested repetitions");
    return found;
  }
};

Pattern::Pattern(std::unique_ptr<Compiled> compiled) : compiled_(std::move(compiled)) {}
Pattern::Pattern(Pattern&&) noexcept = default;
Pattern& Pattern::operator=(Pattern&&) noexcept = default;
Pattern::~Pattern() = default;

Result<Pattern> Pattern::compile(std::string_view expression, Case sensitivity) {
  auto compiled = std::make_unique<Compiled>();
  compiled->expression = expression;
  std::uint32_t options =
      PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_MULTILINE;
  if (sensitivity == Case::ignore) options |= PCRE2_CASELESS;
  int code = 0;
  PCRE2_SIZE at = 0;
  compiled->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression.data()), expression.size(),
                                 options, &code, &at, nullptr);
  if (compiled->code == nullptr)
    return fail("read regular expression", quoted(expression),
                message_of(code) + " at character " + std::to_string(at + 1),
                "write an ECMAScript or Perl regular expression");
  compiled->context = pcre2_match_context_create(nullptr);
  if (compiled->context == nullptr)
    return fail("read regular expression", quoted(expression), "out of memory");
  pcre2_set_match_limit(compiled->context, match_limit);
  return Pattern(std::move(compiled));
}

Result<bool> Pattern::found_in(std::string_view text) const {
  Match match(pcre2_match_data_create(1, nullptr));
  if (!match) return fail("search", quoted(compiled_->expression), "out of memory");
  // With room for one group a match of more answers 0; the group itself tells the two apart.
  pcre2_get_ovector_pointer(match.get())[0] = PCRE2_UNSET;
  GYGES_TRY([[maybe_unused]] int groups, compiled_->search(text, match));
  return pcre2_get_ovector_pointer(match.get())[0] != PCRE2_UNSET;
}

Result<std::optional<std::vector<std::string>>> Pattern::groups_in(std::string_view text) const {
  Match match(pcre2_match_data_create_from_pattern(compiled_->code, nullptr));
  if (!match) return fail("search", quoted(compiled_->expression), "out of memory");
  GYGES_TRY(int found, compiled_->search(text, match));
  if (found == 0) return std::optional<std::vector<std::string>>();
  const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(match.get());
  std::vector<std::string> groups(pcre2_get_ovector_count(match.get()));
  for (std::size_t i = 0; i < groups.size(); ++i)
    if (ends[2 * i] != PCRE2_UNSET)
      groups[i] = text.substr(ends[2 * i], ends[2 * i + 1] - ends[2 * i]);
  return std::optional<std::vector<std::string>>(std::move(groups));
}

}  // namespace gyges
