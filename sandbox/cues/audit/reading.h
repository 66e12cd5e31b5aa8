// One reading of all channels from inside, as the probe (sandbox/cues/probe) wrote it. Its text
// comes out of a sandbox and is hostile: whatever breaks the form or a bound makes the reading
// unusable.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/error.h"

namespace gyges::cues {

struct Observation {
  enum class Kind : std::uint8_t { fact, changing, timing };
  Kind kind = Kind::fact;
  std::string how;    // "read /proc/version"
  std::string value;  // what was read; empty where it could not be
  std::string error;  // "ENOENT": why it could not
  // The value, or the error in parentheses: what comparisons and tables use.
  [[nodiscard]] std::string shown() const { return error.empty() ? value : "(" + error + ")"; }
  [[nodiscard]] bool present() const { return error.empty(); }
};

struct Reading {
  std::map<std::string, Observation> observations;  // by channel: "K1.uname.release"
  std::uint64_t microseconds = 0;                   // that the probe took

  // Null where the channel was not read.
  [[nodiscard]] const Observation* find(const std::string& channel) const;
};

inline constexpr std::size_t max_reading_bytes = 16U << 20U;

// `source` names the reading in errors. A reading without its last line is incomplete: an error.
// Channels that stand twice (a mount point with two mounts) become one, with both values.
Result<Reading> parse_reading(std::string_view text, std::string_view source);

}  // namespace gyges::cues
