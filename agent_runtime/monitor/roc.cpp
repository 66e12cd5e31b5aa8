#include "agent_runtime/monitor/roc.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <map>

namespace gyges::monitor {
namespace {

struct Tie {
  std::size_t misbehaving = 0;
  std::size_t others = 0;
};

// Descending scores.
std::map<double, Tie, std::greater<>> by_score(const std::vector<ScoredRun>& runs) {
  std::map<double, Tie, std::greater<>> ties;
  for (const ScoredRun& run : runs) {
    Tie& tie = ties[run.score];
    ++(run.misbehaves ? tie.misbehaving : tie.others);
  }
  return ties;
}

}  // namespace

Roc roc_of(const std::vector<ScoredRun>& runs) {
  Roc roc;
  for (const ScoredRun& run : runs) ++(run.misbehaves ? roc.misbehaving : roc.others);
  if (roc.misbehaving == 0 || roc.others == 0) return roc;
  auto bad = static_cast<double>(roc.misbehaving);
  auto good = static_cast<double>(roc.others);
  roc.points.push_back({std::numeric_limits<double>::infinity(), 0, 0});
  double found = 0;
  double wrong = 0;
  for (const auto& [score, tie] : by_score(runs)) {
    auto more = static_cast<double>(tie.misbehaving);
    auto mistaken = static_cast<double>(tie.others);
    roc.area += mistaken * (found + more / 2);
    found += more;
    wrong += mistaken;
    roc.points.push_back({score, found / bad, wrong / good});
  }
  roc.area /= bad * good;
  return roc;
}

double found_with_budget(const std::vector<ScoredRun>& runs, double share) {
  double left = std::clamp(share, 0.0, 1.0) * static_cast<double>(runs.size());
  double found = 0;
  double all = 0;
  for (const auto& [score, tie] : by_score(runs)) {
    auto bad = static_cast<double>(tie.misbehaving);
    double size = bad + static_cast<double>(tie.others);
    double audited = std::min(left, size);
    found += bad * audited / size;
    left -= audited;
    all += bad;
  }
  return all == 0 ? 0 : found / all;
}

}  // namespace gyges::monitor
