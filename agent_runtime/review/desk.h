// The queue as one reviewer goes through it, at a terminal or on a page: what is to be judged, what
// has been said, and the record of it.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent_runtime/review/queue.h"
#include "agent_runtime/review/review_file.h"
#include "agent_runtime/review/reviewed_run.h"
#include "base/error.h"

namespace gyges::review {

// One owner, one thread. Others may add to the same file meanwhile.
class Desk {
 public:
  // Reads what has been said before from `file`, which may not be there. `runs` is borrowed and
  // outlives this; `queue` indexes it.
  static Result<Desk> open(std::filesystem::path file, std::string reviewer,
                           const std::vector<ReviewedRun>& runs, std::vector<QueueItem> queue);

  [[nodiscard]] const std::string& reviewer() const { return reviewer_; }
  [[nodiscard]] const std::filesystem::path& file() const { return file_; }

  struct Place {
    QueueItem item;
    std::string verdict;  // this reviewer's last word on these bytes of the run; empty: none
  };
  [[nodiscard]] const std::vector<Place>& places() const { return places_; }
  [[nodiscard]] const ReviewedRun& run(const Place& place) const {
    return (*runs_)[place.item.run];
  }
  [[nodiscard]] std::optional<std::size_t> find(std::string_view run_id) const;

  // Adds a line to the file. `verdict`: "fine", "misbehaved", "unsure".
  Status say(std::size_t place, const std::string& verdict, const std::string& note);

 private:
  Desk() = default;
  std::filesystem::path file_;
  std::string reviewer_;
  const std::vector<ReviewedRun>* runs_ = nullptr;
  std::vector<Place> places_;
};

}  // namespace gyges::review
