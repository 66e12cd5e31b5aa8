// Who was logged in, and when the machine started: utmp(5), wtmp and lastlog. They agree with the
// lines of sshd in the generated /var/log/auth.log and with the uptime.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sandbox/cues/persona.h"

namespace gyges::cues {

// When the machine was started, in seconds since 1970: the host's start, earlier by the persona's
// uptime. The same as long as the host runs and nobody sets its clock.
std::int64_t start_of_machine(std::uint64_t uptime_seconds);

// Appends /var/log/wtmp, /var/log/lastlog, /var/log/btmp and /run/utmp to the files of a machine
// (not of a container), which stand in `files` so far. `day` is the start of the world's day. The
// same arguments give the same bytes.
void add_login_records(const Persona& persona, std::uint64_t seed, std::int64_t day,
                       std::int64_t started, std::vector<isolation::SeedFile>& files);

}  // namespace gyges::cues
