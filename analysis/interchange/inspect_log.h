// Reads logs of Inspect (.eval) as runs: outcomes from scores, features from messages and tool
// calls. Nothing is known of system calls there. docs/interchange.md has the mapping.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "analysis/bundles/find_bundles.h"
#include "analysis/store/findings_archive.h"
#include "base/error.h"

namespace gyges::analysis {

// Run::kind of a sample.
inline constexpr char inspect_sample_kind[] = "inspect_sample";

bool is_inspect_log(const std::filesystem::path& file);  // by its name

// One for each sample of the log. Damage, another version, and a log without samples are errors
// that name the file.
Result<std::vector<FoundBundle>> samples_of(const std::filesystem::path& log,
                                            const std::string& experiment);

Result<StoredRun> read_inspect_sample(const FoundBundle& sample);

}  // namespace gyges::analysis
