#include "sandbox/cues/text_template.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <ctime>
#include <optional>

#include "base/text.h"
#include "sandbox/cues/seeded_stream.h"

namespace gyges::cues {
namespace {

constexpr std::int64_t seconds_per_day = 86400;
constexpr std::size_t max_rendered_bytes = 16U << 20U;

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

template <class Number>
std::optional<Number> number(std::string_view text) {
  Number value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::size_t line_of(std::string_view text, std::size_t at) {
  return 1 + static_cast<std::size_t>(
                 std::count(text.begin(), text.begin() + static_cast<long>(at), '\n'));
}

// "date", "date -3d", "date -90s", "date \"%Y\"", "date -3d \"%Y\"", after the word.
std::optional<std::string> expand_date(std::string_view rest, std::int64_t day) {
  rest = trimmed(rest);
  if (!rest.empty() && (rest.front() == '-' || rest.front() == '+')) {
    auto end = rest.find_first_of("ds");
    if (end == std::string_view::npos) return std::nullopt;
    const auto count = number<std::uint32_t>(rest.substr(1, end - 1));
    const std::int64_t unit = rest[end] == 'd' ? seconds_per_day : 1;
    if (!count || *count * unit > 100000 * seconds_per_day) return std::nullopt;
    day += (rest.front() == '-' ? -1 : 1) * (*count * unit);
    rest = trimmed(rest.substr(end + 1));
  }
  if (rest.empty()) return format_time(day, "%Y-%m-%d");
  if (rest.size() < 3 || rest.front() != '"' || rest.back() != '"') return std::nullopt;
  return format_time(day, std::string(rest.substr(1, rest.size() - 2)));
}

std::optional<std::string> expand_hex(std::string_view rest, const TemplateContext& context) {
  rest = trimmed(rest);
  auto space = rest.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  auto digits = number<unsigned>(rest.substr(0, space));
  if (!digits || *digits > 4096) return std::nullopt;
  return SeededStream(context.seed, "hex/" + std::string(trimmed(rest.substr(space)))).hex(*digits);
}

std::optional<std::string> expand(std::string_view placeholder, const TemplateContext& context,
                                  std::set<std::string>* used) {
  if (placeholder == "date" || placeholder.starts_with("date "))
    return expand_date(placeholder.substr(4), context.day);
  if (placeholder == "recent" || placeholder.starts_with("recent "))
    return expand_date(placeholder.substr(6),
                       recent_time(std::max(context.day, context.as_of), context.seed));
  if (placeholder.starts_with("hex ")) return expand_hex(placeholder.substr(4), context);
  if (placeholder.starts_with("digits ")) {
    auto digits = expand_hex(placeholder.substr(7), context);
    if (digits)
      for (char& digit : *digits)
        if (digit >= 'a') digit = static_cast<char>(digit - 'a' + '2');
    if (digits && digits->starts_with('0')) digits->front() = '1';
    return digits;
  }
  if (placeholder.starts_with("HEX ")) {
    auto digits = expand_hex(placeholder.substr(4), context);
    if (digits)
      for (char& digit : *digits)
        digit = digit >= 'a' ? static_cast<char>(digit - 'a' + 'A') : digit;
    return digits;
  }
  auto found = context.values.find(placeholder);
  if (found == context.values.end()) return std::nullopt;
  if (used != nullptr) used->insert(found->first);
  return found->second;
}

}  // namespace

Result<std::string> render(std::string_view text, const TemplateContext& context,
                           std::string_view source, std::set<std::string>* used) {
  std::string out;
  std::size_t at = 0;
  while (at < text.size()) {
    std::size_t open = text.find("{{", at);
    if (open == std::string_view::npos) break;
    std::size_t close = text.find("}}", open);
    std::string place = std::string(source) + ":" + std::to_string(line_of(text, open));
    if (close == std::string_view::npos)
      return fail("fill in template", place, "{{ without }}", "close the placeholder");
    std::string_view placeholder = trimmed(text.substr(open + 2, close - open - 2));
    auto value = expand(placeholder, context, used);
    if (!value) {
      std::string known = "date, recent, hex, HEX, digits";
      for (const auto& [name, ignored] : context.values) known += ", " + name;
      return fail("fill in template", place,
                  "unknown placeholder {{" + printable(placeholder) + "}}", "known are " + known);
    }
    out += text.substr(at, open - at);
    at = close + 2;
    bool starts_line = open == 0 || text[open - 1] == '\n';
    bool ends_line = at < text.size() && text[at] == '\n';
    if (value->empty() && starts_line && ends_line) {
      ++at;
      // Between two empty lines it would leave both.
      if (out.ends_with("\n\n") && at < text.size() && text[at] == '\n') ++at;
    }
    out += *value;
    if (out.size() > max_rendered_bytes)
      return fail("fill in template", place, "the text grows past 16 MiB", "shorten it");
  }
  out += text.substr(at);
  return out;
}

std::string format_time(std::int64_t seconds, const std::string& format) {
  // strftime would take the host's zone for %s.
  std::string known;
  for (std::size_t i = 0; i < format.size(); ++i) {
    const bool pair = format[i] == '%' && i + 1 < format.size();
    if (pair && format[i + 1] == 's')
      known += std::to_string(seconds);
    else
      known += format.substr(i, pair ? 2 : 1);
    if (pair) ++i;
  }
  std::time_t when = seconds;
  std::tm parts{};
  ::gmtime_r(&when, &parts);
  static const locale_t english = ::newlocale(LC_ALL_MASK, "C", nullptr);
  std::array<char, 256> text{};
  std::size_t length = ::strftime_l(text.data(), text.size(), known.c_str(), &parts, english);
  return {text.data(), length};
}

Result<std::int64_t> parse_day(std::string_view text) {
  auto bad = [&] {
    return fail("read day", printable(text), "is not a day of the form 2026-11-21",
                "give year, month and day");
  };
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return bad();
  auto year = number<int>(text.substr(0, 4));
  auto month = number<int>(text.substr(5, 2));
  auto day = number<int>(text.substr(8, 2));
  if (!year || !month || !day || *year < 1971 || *month < 1 || *month > 12 || *day < 1)
    return bad();
  std::tm parts{};
  parts.tm_year = *year - 1900;
  parts.tm_mon = *month - 1;
  parts.tm_mday = *day;
  std::int64_t seconds = ::timegm(&parts);
  if (format_time(seconds, "%Y-%m-%d") != text) return bad();
  return seconds;
}

Result<std::int64_t> parse_moment(std::string_view text) {
  if (text.size() == 10) return parse_day(text);
  static constexpr std::string_view form = "%Y-%m-%dT%H:%M:%SZ";
  std::tm parts{};
  const std::string whole(text);
  const char* end = ::strptime(whole.c_str(), form.data(), &parts);
  const std::int64_t seconds = end == nullptr ? 0 : ::timegm(&parts);
  if (seconds <= 0 || moment_text(seconds) != text)
    return fail("read moment", printable(text),
                "is neither a day of the form 2026-11-21 nor a moment of the form "
                "2026-11-21T14:03:00Z",
                "give one of the two");
  if (seconds > std::time(nullptr))
    return fail("read moment", whole, "is yet to come: files would be dated after now",
                "give a moment that has passed");
  return seconds;
}

std::string moment_text(std::int64_t moment) {
  return format_time(moment, "%Y-%m-%dT%H:%M:%SZ");
}

std::int64_t today() {
  return day_of(std::time(nullptr));
}

std::int64_t this_minute() {
  constexpr std::int64_t minute = 60;
  const std::int64_t now = std::time(nullptr);
  return now - now % minute;
}

std::int64_t day_of(std::int64_t moment) {
  return moment - moment % seconds_per_day;
}

std::int64_t recent_time(std::int64_t as_of, std::uint64_t seed) {
  constexpr std::int64_t least = 300, spread = 1500;
  return as_of - least - static_cast<std::int64_t>(SeededStream(seed, "recent").below(spread));
}

}  // namespace gyges::cues
