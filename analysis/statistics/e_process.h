// Looking at the data after every run without paying for it: an e-process for the discordant pairs.
//
// If the condition changes nothing, each discordant pair points either way with probability 1/2.
// The e-value is the likelihood of the observed split under a Beta(a, a) mixture of probabilities
// over its likelihood at 1/2. It is a martingale with mean 1, so it exceeds 1/alpha at any time
// with probability alpha at most (J. Ville, Etude critique de la notion de collectif, 1939);
// mixtures: H. Robbins, Annals of Mathematical Statistics 41 (1970) 1397-1409; as safe testing: A.
// Ramdas et al., "Game-theoretic statistics and safe anytime-valid inference", Statistical Science
// 38 (2023) 576-601. The looks need not be planned.
#pragma once

#include <cstdint>

namespace gyges::analysis {

// How far from 1/2 the mixture looks: 1 is uniform, the best all-round choice; larger values find
// small imbalances sooner and large ones later.
inline constexpr double e_process_prior = 1;

// Natural logarithm of the e-value of a split; the order in which the pairs came does not matter.
// 0 (no evidence) without discordant pairs; prior > 0.
double log_e_value(std::uint64_t first_only, std::uint64_t second_only,
                   double prior = e_process_prior);

// The running maximum over looks, which may only grow.
class EProcess {
 public:
  explicit EProcess(double prior = e_process_prior) : prior_(prior) {}

  void add(bool first, bool second);
  [[nodiscard]] double log_e() const { return log_e_value(first_only_, second_only_, prior_); }
  // p-value that is valid at every moment: 1 over the largest e-value so far; at most 1.
  [[nodiscard]] double anytime_p() const;
  // True from the first look at which the e-value reached 1/alpha.
  [[nodiscard]] bool alarmed(double alpha = 0.05) const { return anytime_p() <= alpha; }
  [[nodiscard]] std::uint64_t pairs() const { return pairs_; }

 private:
  double prior_;
  double highest_log_e_ = 0;
  std::uint64_t pairs_ = 0;
  std::uint64_t first_only_ = 0;
  std::uint64_t second_only_ = 0;
};

}  // namespace gyges::analysis
