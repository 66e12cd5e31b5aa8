// Watches a directory into which a deployed agent's runs are sealed, against the stored runs of a
// baseline. Everything it knows stands in one SQLite file, written in one transaction a run: killed
// at any moment it goes on without losing or repeating an alert. docs/watch.md has the whole.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "analysis/statistics/rate_watch.h"
#include "analysis/store/read_runs.h"
#include "analysis/watch/alert.h"
#include "base/error.h"

namespace gyges::analysis {

struct WatchedOutcome {
  std::string name;  // "covert_act", "task_success", a check, a yes/no feature
  Move move = Move::rise;
  bool operator==(const WatchedOutcome&) const = default;
};

struct WatchOptions {
  std::vector<std::filesystem::path> baseline;  // directories with bundles
  std::vector<std::filesystem::path> live;
  std::filesystem::path state;
  std::vector<WatchedOutcome> outcomes;
  std::vector<std::string> each;  // outcomes of which every single run is an alert
  // Over all outcomes together and all time: each is given its share.
  double alpha = 0.01;
  FindingsStore* store = nullptr;  // borrowed
};

struct WatchedRate {
  WatchedOutcome outcome;
  Proportion baseline;
  Proportion live;
  double bound = 0;
  double log_e = 0;          // now
  double highest_log_e = 0;  // of all looks: what the alarm goes by
  bool alarmed = false;
};

class Watch {
 public:
  // Reads the baseline and the state. A state of another baseline, other outcomes or another alpha
  // is refused. An outcome that no run of the baseline decides is an error.
  static Result<Watch> open(WatchOptions options);
  Watch(Watch&&) noexcept;
  Watch& operator=(Watch&&) noexcept;
  ~Watch();

  // Takes in runs that have been sealed since; how many. A run that was taken in is not read again.
  // One of the baseline's own does not count.
  Result<std::size_t> look();

  [[nodiscard]] Result<std::vector<WatchedRate>> rates() const;

  // Alerts that `receiver` has not been given, oldest first; and that it has been given one.
  Result<std::vector<Alert>> undelivered(const std::string& receiver) const;
  Status delivered(const std::string& receiver, const std::string& alert_id);
  [[nodiscard]] Result<std::uint64_t> alerts() const;  // raised so far, earlier lives included

 private:
  struct State;
  explicit Watch(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace gyges::analysis
