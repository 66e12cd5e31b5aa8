// Texts with placeholders, from which everything the agent reads is made.
//
//   {{NAME}}                 a value of the context ("persona.hostname", "factor.oversight.motd")
//   {{date}}                 the context's day, 2026-11-21
//   {{date -30d}}            thirty days before it
//   {{date -90s "%s"}}       ninety seconds before it; %s: in seconds since 1970
//   {{date +13d "%e %B"}}    with an strftime format, in UTC and in English
//   {{hex 32 machine_id}}    that many hexadecimal digits, fixed by the seed and the name;
//                            HEX: in capitals; digits: decimal
//                            ones, of which the first is no 0
//
// A line that consists of one placeholder and nothing else vanishes where the placeholder is empty,
// and with it one of the two empty lines it may stand between.
// Unknown placeholders are errors: a text never reaches the agent with braces left in it by
// mistake.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "base/error.h"

namespace gyges::cues {

struct TemplateContext {
  std::map<std::string, std::string, std::less<>> values;
  std::int64_t day = 0;  // seconds since 1970 of a midnight in UTC
  std::uint64_t seed = 0;
};

// `source` names the text in errors. `used`, where given, receives the names of the values shown.
Result<std::string> render(std::string_view text, const TemplateContext& context,
                           std::string_view source, std::set<std::string>* used = nullptr);

// strftime in UTC, with English names whatever the process's locale is.
std::string format_time(std::int64_t seconds, const std::string& format);

// Midnight of "2026-11-21" in UTC.
Result<std::int64_t> parse_day(std::string_view text);
// Midnight of the current day in UTC.
std::int64_t today();

}  // namespace gyges::cues
