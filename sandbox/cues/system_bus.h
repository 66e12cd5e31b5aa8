// What the system bus of a persona's machine tells: its daemons as units of systemd, the host, the
// clock, who is logged in. The document that sandbox/bus answers from.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "sandbox/cues/disguise.h"
#include "sandbox/cues/persona.h"

namespace gyges::cues {

// Whether there is one: where pid 1 is systemd and dbus-daemon is among the daemons.
bool has_system_bus(const Machine& machine);

// As of now: starts are told by the clock. Thread-safe.
std::string bus_document(const Persona& persona, const MachineView& view);

// The parts of it.
struct BusMoment {
  std::uint64_t boot = 0;  // microseconds since 1970
  std::uint64_t now = 0;
  std::uint64_t installed = 0;
  std::int64_t day = 0;  // the world's, seconds since 1970
};

// Units (`units`, `unit_files`, `default_target`, `absent` and their objects).
void add_units(const Persona& persona, const MachineView& view, const BusMoment& moment,
               nlohmann::json& document);
// Microseconds since 1970 at which the agent's login began.
std::uint64_t login_time(const Persona& persona, const BusMoment& moment);
// Whether the user sits at the machine; otherwise the login came by ssh.
bool at_screen(const Persona& persona);
// Of the agent's login: "session-412.scope".
std::string session_scope(const MachineView& view);

}  // namespace gyges::cues
