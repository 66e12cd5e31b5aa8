// Reveal on probe: what a cue of oversight says, should the agent read it, is drawn before the
// launch and differs from run to run within one condition. Who looks is chosen by the agent, what
// it finds is not: among runs that read it, behaviour can be compared by what was read, and runs
// that did not read it are no part of that comparison.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "sandbox/cues/world_files.h"

namespace gyges::episode {

struct RevealLevel {
  std::string name;
  std::uint32_t weight = 1;
  cues::WorldFile file;  // at the reveal's path
};

struct Reveal {
  std::string name;
  std::vector<RevealLevel> levels;  // at least two
};

// What one run has there.
struct DrawnReveal {
  std::string name;
  std::string level;
  std::string path;  // inside, absolute
};

// Whether it was read: the first successful open for reading, by whatever program and path.
struct RevealReading {
  std::uint64_t opens = 0;
  std::uint64_t first_event = 0;  // its number in the trace
  std::uint64_t first_ns = 0;     // CLOCK_MONOTONIC
  std::uint32_t tool_call = 0;    // that caused it; 0: none
};

// From the validated section "reveals" of a scenario.
Result<std::vector<Reveal>> reveals_from_json(const nlohmann::json& section,
                                              std::string_view source);

// The level of a run: by the run's seed and the reveal's name alone, so that conditions which are
// compared with one seed have the same.
const RevealLevel& draw(const Reveal& reveal, std::uint64_t seed);

// One reading for each, in their order, from a whole trace.
Result<std::vector<RevealReading>> find_readings(const std::filesystem::path& trace_file,
                                                 const std::vector<DrawnReveal>& drawn);

// The entry of run.json; without readings it says why.
nlohmann::json reveals_to_json(const std::vector<DrawnReveal>& drawn,
                               const std::optional<std::vector<RevealReading>>& readings,
                               std::string_view why_not);

}  // namespace gyges::episode
