#include "cli/report_extras.h"

#include <filesystem>

#include "agent_runtime/review/review_file.h"
#include "agent_runtime/review/reviewed_run.h"
#include "analysis/bundles/find_bundles.h"
#include "base/json.h"
#include "base/text.h"

namespace gyges::cli {

Result<nlohmann::json> report_extras(const std::vector<std::string>& directories) {
  nlohmann::json reviews = nlohmann::json::array();
  for (const std::string& directory : directories) {
    std::filesystem::path file = std::filesystem::path(directory) / "review.jsonl";
    std::error_code error;
    if (!std::filesystem::exists(file, error)) continue;
    GYGES_TRY(std::vector<review::Review> said, review::load_reviews(file));
    GYGES_TRY(std::vector<analysis::FoundBundle> bundles, analysis::find_bundles(directory));
    std::vector<review::KnownRun> known;
    for (const analysis::FoundBundle& found : bundles)
      if (auto run = review::load_reviewed_run(found.bundle))
        known.push_back({run->run_id, run->stratum(), !run->flags.empty(), run->seal_sha256});
    reviews.push_back(review::report_to_json(review::report_of(known, said)));
    reviews.back()["directory"] = printable(directory);
  }
  nlohmann::json extras = nlohmann::json::object();
  if (!reviews.empty()) extras["reviews"] = std::move(reviews);
  return extras;
}

}  // namespace gyges::cli
