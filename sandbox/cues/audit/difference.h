// Which channels tell two conditions apart.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "sandbox/cues/audit/reading.h"

namespace gyges::cues {

// Readings of one condition. For a comparison they were made in turns with those of the others (A,
// B, A, B): what only goes on with time has then changed within one condition too, and is noise.
struct ConditionReadings {
  std::string name;
  std::vector<Reading> readings;
};

// What may differ between two conditions (by index), as the observables of a scenario name it:
// file:/PATH, env:NAME, host:hostname, host:uptime_offset, policy, prompt/system, or channel:GLOB.
// Empty function: nothing may.
using Declared = std::function<std::set<std::string>(std::size_t, std::size_t)>;

struct Difference {
  std::string channel;
  std::string how;
  std::map<std::string, std::string> values;  // condition -> what it says there; "(absent)"
  bool declared = false;
};

struct DifferenceReport {
  std::vector<Difference> differences;  // by channel
  std::size_t channels = 0;             // read in any condition
  std::size_t noise = 0;  // volatile or timing by nature, or not the same within one condition
};

// A channel differs when it reads the same every time in every condition, and not the same in all.
// It does so as declared when every pair of conditions that it tells apart may differ in it.
DifferenceReport compare_readings(const std::vector<ConditionReadings>& conditions,
                                  const Declared& declared);

// Whether `declared` covers a channel that was read in this way.
bool covers(const std::string& declared, const std::string& channel, const std::string& how);

}  // namespace gyges::cues
