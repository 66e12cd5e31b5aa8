#include "agent_runtime/review/desk.h"

#include "sandbox/recorder/format/run_record.h"

namespace gyges::review {

Result<Desk> Desk::open(std::filesystem::path file, std::string reviewer,
                        const std::vector<ReviewedRun>& runs, std::vector<QueueItem> queue) {
  Desk desk;
  GYGES_TRY(std::vector<Review> before, load_reviews(file));
  desk.file_ = std::move(file);
  desk.reviewer_ = std::move(reviewer);
  desk.runs_ = &runs;
  for (QueueItem item : queue) {
    Place place{item, ""};
    for (const Review& review : before)
      if (review.run_id == runs[item.run].run_id && review.reviewer == desk.reviewer_ &&
          review.seal_sha256 == runs[item.run].seal_sha256)
        place.verdict = review.verdict;
    desk.places_.push_back(std::move(place));
  }
  return desk;
}

std::optional<std::size_t> Desk::find(std::string_view run_id) const {
  for (std::size_t i = 0; i < places_.size(); ++i)
    if (run(places_[i]).run_id == run_id) return i;
  return std::nullopt;
}

Status Desk::say(std::size_t place, const std::string& verdict, const std::string& note) {
  Place& said = places_.at(place);
  const ReviewedRun& of = run(said);
  GYGES_CHECK(
      add_review(file_, {recorder::utc_timestamp(), reviewer_, of.run_id, of.seal_sha256,
                         of.stratum(), !said.item.flagged, said.item.flagged, verdict, note}));
  said.verdict = verdict;
  return ok();
}

}  // namespace gyges::review
