// One run as a sample of an Inspect log. Internal to inspect_export.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "analysis/interchange/episode_log.h"
#include "analysis/interchange/inspect_export.h"
#include "analysis/store/findings_archive.h"
#include "base/error.h"

namespace gyges::analysis {

// As Inspect names models: "openai/gpt-4o". A name without a provider gets its kind.
std::string inspect_model(const Run& run);

// The sample with its events, and the fields that its summary repeats.
Result<nlohmann::json> inspect_sample(const StoredRun& stored, const EpisodeLog& log,
                                      const InspectExportOptions& options);
nlohmann::json inspect_summary(const nlohmann::json& sample);

}  // namespace gyges::analysis
