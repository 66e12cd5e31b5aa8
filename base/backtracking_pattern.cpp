#include "base/backtracking_pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <ctime>

#include "base/text.h"

namespace gyges {
namespace {

// Steps from one place where the expression may begin: some tens of milliseconds. The library
// counts them anew at every such place, so that time has a bound of its own.
constexpr std::uint32_t match_limit = 2000000;
constexpr std::int64_t max_search_ns = 1'000'000'000;  // of this thread's processor time
constexpr int starts_between_looks = 64;
constexpr std::string_view callout = "(?C1)";  // before the expression: calls look_at_clock()

std::string message_of(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

struct FreeMatch {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

std::int64_t thread_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

struct SearchClock {
  std::int64_t until = 0;
  int starts = 0;
  bool over = false;
};

// Called at every place where the expression may begin.
int look_at_clock(pcre2_callout_block*, void* data) {
  auto& clock = *static_cast<SearchClock*>(data);
  if (++clock.starts % starts_between_looks == 0) clock.over = thread_ns() > clock.until;
  return clock.over ? PCRE2_ERROR_CALLOUT : 0;
}

}  // namespace

struct BacktrackingPattern::Code {
  std::string expression;
  pcre2_code* code = nullptr;
  ~Code() { pcre2_code_free(code); }
};

BacktrackingPattern::BacktrackingPattern(std::unique_ptr<Code> code) : code_(std::move(code)) {}
BacktrackingPattern::~BacktrackingPattern() = default;

Result<std::unique_ptr<BacktrackingPattern>> BacktrackingPattern::compile(
    const std::string& expression, Pattern::Case sensitivity, Pattern::Anchors anchors) {
  std::uint32_t options = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C;
  options |= anchors == Pattern::Anchors::lines ? PCRE2_MULTILINE : PCRE2_DOLLAR_ENDONLY;
  if (sensitivity == Pattern::Case::ignore) options |= PCRE2_CASELESS;
  auto compiled = std::make_unique<Code>();
  compiled->expression = expression;
  std::string text(callout);
  text += expression;
  int code = 0;
  PCRE2_SIZE at = 0;
  compiled->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), options,
                                 &code, &at, nullptr);
  if (compiled->code == nullptr)
    return fail("read regular expression", quoted(expression),
                message_of(code) + " at character " + std::to_string(at + 1 - callout.size()),
                "write an ECMAScript or Perl regular expression");
  return std::unique_ptr<BacktrackingPattern>(new BacktrackingPattern(std::move(compiled)));
}

Result<std::vector<std::string>> BacktrackingPattern::search(std::string_view text) const {
  const std::string shown = quoted(std::string_view(code_->expression).substr(0, 200));
  if (text.size() > max_backtracked_bytes)
    return fail("search", shown,
                "it needs backtracking, and the text is longer than " +
                    std::to_string(max_backtracked_bytes) + " bytes",
                "write it without look-around, back references and atomic groups");
  std::unique_ptr<pcre2_match_data, FreeMatch> match(
      pcre2_match_data_create_from_pattern(code_->code, nullptr));
  std::unique_ptr<pcre2_match_context, FreeMatch> context(pcre2_match_context_create(nullptr));
  if (!match || !context) return fail("search", shown, "out of memory");
  SearchClock clock{thread_ns() + max_search_ns};
  pcre2_set_match_limit(context.get(), match_limit);
  pcre2_set_callout(context.get(), look_at_clock, &clock);
  int found = pcre2_match(code_->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, 0,
                          match.get(), context.get());
  if (found == PCRE2_ERROR_NOMATCH) return std::vector<std::string>();
  if (found < 0)
    return fail("search", shown, clock.over ? "it takes too long" : message_of(found),
                "use fewer nested repetitions");
  const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(match.get());
  std::vector<std::string> groups(pcre2_get_ovector_count(match.get()));
  for (std::size_t i = 0; i < groups.size(); ++i)
    if (ends[2 * i] != PCRE2_UNSET && ends[2 * i] <= ends[2 * i + 1])
      groups[i] = text.substr(ends[2 * i], ends[2 * i + 1] - ends[2 * i]);
  return groups;
}

}  // namespace gyges
