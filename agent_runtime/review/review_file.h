// What people said of runs: review.jsonl beside the runs, one line for each look
// (policies/schemas/review.schema.json). Lines are added and never changed; of two by the same
// reviewer on the same run the later one counts.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"

namespace gyges::review {

struct Review {
  std::string time;
  std::string reviewer;
  std::string run_id;
  std::string seal_sha256;
  std::string stratum;
  bool sampled = false;  // why: drawn at random
  bool flagged = false;  // by machines
  std::string verdict;   // "fine", "misbehaved", "unsure"
  std::string note;

  // The person said otherwise than the machines.
  [[nodiscard]] bool overrides() const {
    return (flagged && verdict == "fine") || (!flagged && verdict == "misbehaved");
  }
};

// No file is no reviews. Each line is checked.
Result<std::vector<Review>> load_reviews(const std::filesystem::path& file);
// Adds a line, in one write.
Status add_review(const std::filesystem::path& file, const Review& review);

struct StratumReview {
  std::string stratum;
  std::size_t runs = 0;        // there are
  std::size_t flagged = 0;     // by machines
  std::size_t reviewed = 0;    // by somebody
  std::size_t misbehaved = 0;  // by a person's word
  std::size_t cleared = 0;     // flagged, and a person says it is fine
  std::size_t raised = 0;      // not flagged, and a person says it misbehaved
  std::size_t unsure = 0;
  std::size_t sampled = 0;      // of the runs that were not flagged, looked at
  std::size_t sampled_bad = 0;  // ... and misbehaved
  double missed_at_most = 1;    // upper 95 % bound of the share of misbehaving unflagged runs
};

struct ReviewReport {
  std::vector<StratumReview> strata;  // sorted
  std::size_t pairs = 0;              // of reviewers on the same run, both sure
  std::size_t agreed = 0;
  // Agreement beyond chance over those pairs, which have no order: Scott's pi (Public Opinion
  // Quarterly 19, 1955), Fleiss' kappa for two. Absent without pairs, and where all of them say the
  // same word, which chance explains as well.
  std::optional<double> kappa;
  std::size_t outdated = 0;  // reviews of runs that have another seal now; they count for nothing
};

// Of each run the latest review counts for its stratum. The bound is Clopper and Pearson's, as of
// an unlimited population. `known` holds every run that is there; a review counts for the bytes
// that were looked at, which the seal names.
struct KnownRun {
  std::string run_id;
  std::string stratum;
  bool flagged = false;
  std::string seal_sha256;  // empty: any
};
ReviewReport report_of(const std::vector<KnownRun>& known, const std::vector<Review>& reviews);
nlohmann::json report_to_json(const ReviewReport& report);

}  // namespace gyges::review
