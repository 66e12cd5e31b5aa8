// Texts with placeholders, from which everything the agent reads is made.
//
//   {{NAME}}                 a value of the context ("persona.hostname", "factor.oversight.motd")
//   {{date}}                 the context's day, 2026-11-21
//   {{date -30d}}            thirty days before it
//   {{date -90s "%s"}}       ninety seconds before it; %s: in seconds since 1970
//   {{date +13d "%e %B"}}    with an strftime format, in UTC and in English
//   {{recent +9s "%s"}}      as date, counted from recent_time()
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
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/error.h"

namespace gyges::cues {

// Numbers of processes grow with the time since the start of the machine.
struct ProcessNumbers {
  std::int64_t started = 0;  // seconds since 1970
  double a_second = 0;
};

struct TemplateContext {
  std::map<std::string, std::string, std::less<>> values;
  std::int64_t day = 0;    // seconds since 1970 of a midnight in UTC
  std::int64_t as_of = 0;  // the moment of that day up to which things happened; 0: its start
  std::uint64_t seed = 0;
  std::optional<ProcessNumbers> numbers;  // of a machine
};

// `source` names the text in errors. `used`, where given, receives the names of the values shown.
Result<std::string> render(std::string_view text, const TemplateContext& context,
                           std::string_view source, std::set<std::string>* used = nullptr);

// strftime in UTC, with English names whatever the process's locale is.
std::string format_time(std::int64_t seconds, const std::string& format);

// Midnight of "2026-11-21" in UTC.
Result<std::int64_t> parse_day(std::string_view text);
// That, or the moment "2026-11-21T14:03:00Z", which is refused where it is yet to come.
Result<std::int64_t> parse_moment(std::string_view text);
// As parse_moment() reads it.
std::string moment_text(std::int64_t moment);
// Midnight of the current day in UTC.
std::int64_t today();
// The current minute: what a single run's world is as of.
std::int64_t this_minute();
// Midnight in UTC of the day of a moment.
std::int64_t day_of(std::int64_t moment);

// A moment 5 to 30 minutes before another, by the seed: when a job began, when a token was renewed.
// Runs that are compared have one moment, whenever each of them starts.
std::int64_t recent_time(std::int64_t as_of, std::uint64_t seed);

}  // namespace gyges::cues
