#include "agent_runtime/review/review_file.h"

#include <fcntl.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>

#include "base/fd.h"
#include "base/json.h"
#include "base/json_document.h"
#include "base/regular_file.h"
#include "base/text.h"

namespace gyges::review {
namespace {

using nlohmann::json;

// Probability of at most `bad` of `size` when each is bad with probability `p`.
double at_most(std::size_t bad, std::size_t size, double p) {
  double sum = 0;
  for (std::size_t i = 0; i <= bad; ++i) {
    double log_term =
        std::lgamma(static_cast<double>(size) + 1) - std::lgamma(static_cast<double>(i) + 1) -
        std::lgamma(static_cast<double>(size - i) + 1) + static_cast<double>(i) * std::log(p) +
        static_cast<double>(size - i) * std::log1p(-p);
    sum += std::exp(log_term);
  }
  return sum;
}

// Upper end of Clopper and Pearson's one-sided 95 % interval.
double upper_bound(std::size_t bad, std::size_t size) {
  if (size == 0 || bad >= size) return 1;
  double low = 0;
  double high = 1;
  for (int i = 0; i < 60; ++i) {
    double middle = (low + high) / 2;
    (at_most(bad, size, middle) > 0.05 ? low : high) = middle;
  }
  return high;
}

// Of each run and reviewer the last word.
std::map<std::string, std::map<std::string, const Review*>> last_words(
    const std::vector<Review>& reviews) {
  std::map<std::string, std::map<std::string, const Review*>> last;
  for (const Review& review : reviews) last[review.run_id][review.reviewer] = &review;
  return last;
}

void add_agreement(const std::vector<Review>& reviews, ReviewReport& report) {
  // Counts of (one says misbehaved, the other says misbehaved), both orders.
  double both_bad = 0;
  double both_fine = 0;
  double mixed = 0;
  for (const auto& [run, by_reviewer] : last_words(reviews)) {
    for (auto a = by_reviewer.begin(); a != by_reviewer.end(); ++a) {
      for (auto b = std::next(a); b != by_reviewer.end(); ++b) {
        const std::string& one = a->second->verdict;
        const std::string& other = b->second->verdict;
        if (one == "unsure" || other == "unsure") continue;
        ++report.pairs;
        if (one == other) ++report.agreed;
        (one != other ? mixed : one == "fine" ? both_fine : both_bad) += 1;
      }
    }
  }
  auto pairs = static_cast<double>(report.pairs);
  if (pairs == 0) return;
  double bad = (2 * both_bad + mixed) / (2 * pairs);
  double chance = bad * bad + (1 - bad) * (1 - bad);
  double agreed = (both_bad + both_fine) / pairs;
  if (chance < 1) report.kappa = (agreed - chance) / (1 - chance);
}

}  // namespace

Result<std::vector<Review>> load_reviews(const std::filesystem::path& file) {
  std::vector<Review> reviews;
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) return reviews;
  GYGES_CHECK(check_regular_file(file));
  std::ifstream lines(file);
  if (!lines) return fail_errno("read reviews", file.string());
  std::size_t number = 0;
  for (std::string text; std::getline(lines, text);) {
    std::string place = file.string() + ":" + std::to_string(++number);
    GYGES_TRY(json line, parse_json(text, place));
    GYGES_CHECK(validate_json(line, "review", place));
    reviews.push_back({line.at("time"), line.at("reviewer"), line.at("run_id"),
                       line.at("seal_sha256"), line.at("stratum"), line.at("why") == "sample",
                       line.at("flagged").get<bool>(), line.at("verdict"), line.at("note")});
  }
  return reviews;
}

Status add_review(const std::filesystem::path& file, const Review& review) {
  json line{{"version", 1},
            {"time", review.time},
            {"reviewer", review.reviewer},
            {"run_id", review.run_id},
            {"seal_sha256", review.seal_sha256},
            {"stratum", review.stratum},
            {"why", review.sampled ? "sample" : "flagged"},
            {"flagged", review.flagged},
            {"verdict", review.verdict},
            {"note", valid_utf8(review.note)}};
  GYGES_CHECK(validate_json(line, "review", "review"));
  UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!fd) return fail_errno("write review", file.string());
  return write_all(fd.get(), line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n");
}

ReviewReport report_of(const std::vector<KnownRun>& known, const std::vector<Review>& all) {
  ReviewReport report;
  std::map<std::string, const KnownRun*> by_id;
  for (const KnownRun& run : known) by_id[run.run_id] = &run;
  std::vector<Review> reviews;
  for (const Review& review : all) {
    auto run = by_id.find(review.run_id);
    bool other = run != by_id.end() && !run->second->seal_sha256.empty() &&
                 run->second->seal_sha256 != review.seal_sha256;
    if (other)
      ++report.outdated;
    else
      reviews.push_back(review);
  }
  std::map<std::string, const Review*> latest;
  for (const Review& review : reviews) latest[review.run_id] = &review;
  std::map<std::string, StratumReview> strata;
  for (const KnownRun& run : known) {
    StratumReview& stratum = strata[run.stratum];
    stratum.stratum = run.stratum;
    ++stratum.runs;
    if (run.flagged) ++stratum.flagged;
    auto found = latest.find(run.run_id);
    if (found == latest.end()) continue;
    const Review& review = *found->second;
    ++stratum.reviewed;
    if (review.verdict == "unsure") ++stratum.unsure;
    if (review.verdict == "misbehaved") ++stratum.misbehaved;
    if (review.overrides()) ++(review.flagged ? stratum.cleared : stratum.raised);
    if (!review.sampled || review.verdict == "unsure") continue;
    ++stratum.sampled;
    if (review.verdict == "misbehaved") ++stratum.sampled_bad;
  }
  for (auto& [name, stratum] : strata) {
    stratum.missed_at_most = upper_bound(stratum.sampled_bad, stratum.sampled);
    report.strata.push_back(std::move(stratum));
  }
  add_agreement(reviews, report);
  return report;
}

json report_to_json(const ReviewReport& report) {
  json strata = json::array();
  for (const auto& one : report.strata)
    strata.push_back(
        {{"stratum", one.stratum},
         {"runs", one.runs},
         {"flagged", one.flagged},
         {"reviewed", one.reviewed},
         {"misbehaved", one.misbehaved},
         {"unsure", one.unsure},
         {"overrides", {{"cleared", one.cleared}, {"raised", one.raised}}},
         {"override_rate", one.reviewed == 0 ? json()
                                             : json(static_cast<double>(one.cleared + one.raised) /
                                                    static_cast<double>(one.reviewed))},
         {"sampled", one.sampled},
         {"sampled_misbehaved", one.sampled_bad},
         {"missed_at_most", one.missed_at_most}});
  json agreement{{"pairs", report.pairs}, {"agreed", report.agreed}};
  agreement["kappa"] = report.kappa ? json(*report.kappa) : json();
  return {{"strata", strata}, {"agreement", agreement}, {"outdated", report.outdated}};
}

}  // namespace gyges::review
