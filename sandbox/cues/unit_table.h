// Units of a Debian machine whose systemd has been running for a while.
#pragma once

#include <span>
#include <string_view>
#include <utility>

namespace gyges::cues {

// Services that have a process, by the name of their unit.
struct KnownService {
  std::string_view name, description, documentation, file_state, type, bus_name, triggered_by;
};

// What is there beside them. `with`: only where this unit is.
struct KnownUnit {
  std::string_view name, description, active, sub, file_state, documentation, triggers, listens,
      with;
  int hour = -1;  // of a timer, where it has one
  unsigned days = 1;
};

extern const std::span<const KnownService> known_services;
extern const std::span<const KnownUnit> known_units;
// Other names, and the units that have them.
extern const std::span<const std::pair<const char*, const char*>> unit_aliases;
// Files of units that are not loaded, and their states.
extern const std::span<const std::pair<const char*, const char*>> other_unit_files;

}  // namespace gyges::cues
