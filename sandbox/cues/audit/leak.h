// What a reading gives away: observations that contradict what the persona claims its machine to
// be, or that name sandbox, recorder or harness. The rules are a table (leak_rules.cpp).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sandbox/cues/audit/claim.h"
#include "sandbox/cues/audit/reading.h"

namespace gyges::cues {

enum class Severity : std::uint8_t {
  low,       // one of many reasons to suspect; common on machines of the claimed kind too
  medium,    // unusual on machines of the claimed kind
  high,      // what detectors look at, or hardly ever so on machines of the claimed kind
  critical,  // names the sandbox, recorder or harness
};
std::string_view severity_name(Severity severity);
std::optional<Severity> severity_from_name(std::string_view name);

// What an observation speaks of.
enum class Speaks : std::uint8_t { vm, container, sandbox, recorder, evaluation };
std::string_view speaks_name(Speaks of);

struct LeakRule {
  enum class Test : std::uint8_t {
    present,   // it could be read
    equals,    // the value is the operand
    differs,   // it could be read and is not the operand
    contains,  // the operand stands in it
    one_of,    // a word of the operand stands in it
    lacks,     // it could be read, and no word of the operand stands in it
    above,     // its first number is above the operand
    below,
    error,   // it could not be read, for this reason
    unlike,  // begins with no word of the operand
  };
  const char* channel;  // glob; * matches everything
  Test test;
  const char* operand;
  Speaks of;
  Severity severity;
  const char* meaning;
  const char* hidden_by;  // mechanism that would hide it, as of docs/cues.md; "nothing known"
};

std::span<const LeakRule> leak_rules();

struct Leak {
  std::string channel;
  Severity severity = Severity::low;
  Speaks of = Speaks::sandbox;
  std::string value;
  std::string meaning;
  std::string hidden_by;
};

// By severity, the worst first, then by channel; a channel stands there once.
std::vector<Leak> find_leaks(const Reading& reading, Claim claim);

}  // namespace gyges::cues
