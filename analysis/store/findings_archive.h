// A run and what was found in it as bytes, for the store of findings (findings_store.h). No format
// for others: it changes with the program that wrote it, which the store keeps beside it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "analysis/bundles/run.h"
#include "analysis/features/findings.h"

namespace gyges::analysis {

// Everything but where the bundle lies (Run::bundle, experiment, slot), which a copy changes.
std::string to_bytes(const Run& run, const Findings& findings);

struct StoredRun {
  Run run;
  Findings findings;
};
// None where the bytes are not exactly what to_bytes() wrote.
std::optional<StoredRun> stored_run(std::string_view bytes);

}  // namespace gyges::analysis
