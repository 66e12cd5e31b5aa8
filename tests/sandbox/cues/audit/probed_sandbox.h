// A sandbox for the probe, and what it read.
#pragma once

#include <filesystem>
#include <string>

#include "base/error.h"
#include "sandbox/cues/audit/probe_run.h"
#include "sandbox/cues/audit/reading.h"

namespace gyges::cues {

// The default policy under a persona, or without one where that is empty; at most a minute.
SandboxToProbe sandbox_to_probe(const std::string& persona, const std::filesystem::path& workspace);

// Fails the test where there is no reading.
Reading reading_of(const Result<std::string>& text);

}  // namespace gyges::cues
