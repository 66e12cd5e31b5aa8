#include "agent_runtime/review/queue.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "sandbox/cues/seeded_stream.h"

namespace gyges::review {

std::size_t sample_size(std::size_t size, double rate, double confidence) {
  auto bad = static_cast<std::size_t>(std::ceil(rate * static_cast<double>(size)));
  double missed = 1;
  for (std::size_t drawn = 0; drawn < size; ++drawn) {
    if (missed <= 1 - confidence) return drawn;
    auto left = static_cast<double>(size - drawn);
    missed *= std::max(0.0, left - static_cast<double>(bad)) / left;
  }
  return size;
}

std::vector<QueueItem> make_queue(const std::vector<ReviewedRun>& runs,
                                  const QueueOptions& options) {
  // A run's lot hangs on its id alone: another run beside it changes nothing.
  auto lot = [&](std::size_t run) {
    return cues::SeededStream(options.seed, "review/" + runs[run].run_id).uniform();
  };
  std::map<std::string, std::vector<std::size_t>> rest;
  std::vector<QueueItem> queue;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (runs[i].flags.empty())
      rest[runs[i].stratum()].push_back(i);
    else
      queue.push_back({i, true});
  }
  auto by_lot = [&](std::size_t a, std::size_t b) {
    return std::pair(lot(a), runs[a].run_id) < std::pair(lot(b), runs[b].run_id);
  };
  for (auto& [stratum, members] : rest) {
    std::sort(members.begin(), members.end(), by_lot);
    std::size_t wanted =
        options.sample.value_or(sample_size(members.size(), options.rate, options.confidence));
    for (std::size_t i = 0; i < std::min(wanted, members.size()); ++i)
      queue.push_back({members[i], false});
  }
  std::sort(queue.begin(), queue.end(),
            [&](const QueueItem& a, const QueueItem& b) { return by_lot(a.run, b.run); });
  return queue;
}

}  // namespace gyges::review
