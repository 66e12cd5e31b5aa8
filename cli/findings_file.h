// Where commands that compare keep what they found in bundles.
#pragma once

#include <memory>
#include <string_view>

#include "analysis/store/findings_store.h"

namespace gyges::cli {

// The user's file; null, with a warning on standard error, where it cannot be used. Results are the
// same without it.
std::unique_ptr<analysis::FindingsStore> open_findings_store();

void warn_findings_not_kept(std::string_view reason);

}  // namespace gyges::cli
