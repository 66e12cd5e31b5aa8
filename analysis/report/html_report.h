// The report as one HTML file that needs no network: the front end of viewer/, and inside it the
// comparison and the episodes behind it, compressed.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "analysis/comparison/comparison.h"
#include "base/error.h"

namespace gyges::analysis {

struct HtmlOptions {
  unsigned threads = 0;  // that read episodes; 0: as many as processors, at most 8
  // Of all episodes together, as they stand in the file. Where not all have room, those that acted
  // covertly and their partners come first, and the page says of the others where they are.
  std::size_t episode_bytes = 17U << 20U;
};

// `more` is merged into the report: what does not come from the comparison (reviews).
// The same comparison and options give the same bytes.
Result<std::string> html_report(const Comparison& comparison, const HtmlOptions& options,
                                const nlohmann::json& more);

}  // namespace gyges::analysis
