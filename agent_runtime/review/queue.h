// Which runs a person looks at: everything that a machine has flagged, and of the rest a random
// sample from every stratum (agent and condition), so that what machines miss is seen as well.
//
// The sample is as large as it has to be to say something when it is clean: with a share of at
// least `rate` of a stratum's runs misbehaving unflagged, the sample holds one of them with
// probability `confidence` (hypergeometric, without replacement).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent_runtime/review/reviewed_run.h"

namespace gyges::review {

struct QueueOptions {
  double rate = 0.1;
  double confidence = 0.95;
  std::optional<std::size_t> sample;  // of each stratum, instead of rate and confidence
  std::uint64_t seed = 0;
};

struct QueueItem {
  std::size_t run = 0;  // index
  bool flagged = false;
};

// Smallest sample of `size` runs that shows one of ceil(rate * size) with this probability; all of
// them where no smaller one does. 0 < rate <= 1, 0 < confidence < 1.
std::size_t sample_size(std::size_t size, double rate, double confidence);

// The same runs, seed and options give the same queue, in an order drawn from the seed that does
// not tell flagged from sampled.
std::vector<QueueItem> make_queue(const std::vector<ReviewedRun>& runs,
                                  const QueueOptions& options);

}  // namespace gyges::review
