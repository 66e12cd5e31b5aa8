// A unit of systemd, and its properties as its objects on the bus have them (org.freedesktop.
// systemd1(5), names and types as of systemd 252).
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "sandbox/cues/system_bus.h"

namespace gyges::cues {

struct UnitLook {
  std::string name;
  std::string description;
  std::string documentation;  // one URI, or nothing
  std::string active = "active";
  std::string sub = "active";
  std::string path;        // of its file
  std::string file_state;  // "enabled", "static"
  std::string group;       // control group
  std::string slice;
  std::uint64_t most_tasks = 0;  // in it
  std::uint64_t entered = 0;     // its state, microseconds since 1970; 0: never
  std::uint64_t took = 0;        // its start, microseconds
  std::vector<std::string> wants, wanted_by;
  bool early = false;  // of those that bring the system up, which come before basic.target
  std::string triggers, triggered_by;
  nlohmann::json processes = nlohmann::json::array();
  // Of services.
  std::string type = "simple";
  std::string bus_name;
  std::uint32_t pid = 0;
  std::vector<std::string> arguments;
  std::uint64_t memory = 0;  // bytes
  std::uint32_t tasks = 0;
  std::uint64_t processor_nanoseconds = 0;
  std::string where, what, options, mount_type;  // of mounts
  std::string listens;                           // of sockets
  std::uint64_t last = 0, next = 0;              // of timers
};

// By interface and name.
nlohmann::json unit_properties(const UnitLook& unit, const BusMoment& moment);
// Of a unit that there is none of; its names are put in by who answers.
nlohmann::json absent_unit_properties(const MachineView& view);
// Of tasks, as systemd has it where no file says otherwise.
std::uint64_t most_tasks_of(std::string_view unit, const MachineView& view);
// `finished`: when the start of the machine was, microseconds since 1970.
nlohmann::json manager_properties(const MachineView& view, const BusMoment& moment,
                                  std::size_t units, std::uint64_t finished);

}  // namespace gyges::cues
