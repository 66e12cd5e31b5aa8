// Has the rate of an outcome moved from that of a baseline, looked at after every run?
//
// The baseline is a sample, so its rate is known within a Clopper-Pearson interval; half of alpha
// is spent there. Against the bound p0 that the interval gives, an e-process of the runs since
// then: the likelihood of k of n under a uniform mixture of all rates beyond p0, over the
// likelihood at p0. For every true rate on the other side of p0 each factor has a mean of at most
// one, so the product is a supermartingale, and exceeds 2/alpha at any time with probability
// alpha/2 at most (Ville 1939; mixtures: Robbins 1970; references in e_process.h). Together: at
// most alpha, however often and as long as one looks.
#pragma once

#include <cstdint>

#include "analysis/statistics/proportion.h"

namespace gyges::analysis {

enum class Move : std::uint8_t { rise, fall };

// The bound that the rate since then is held against: upper for a rise, lower for a fall. A
// baseline without trials bounds nothing (1, or 0).
double baseline_bound(const Proportion& baseline, Move move, double alpha);

// Natural logarithm of the e-value of k of n runs against `bound`; 0 without runs, and where
// nothing can lie beyond the bound.
double log_rate_e_value(std::uint64_t successes, std::uint64_t trials, double bound, Move move);

// The e-value from which on there is an alarm, as a logarithm.
double log_alarm_level(double alpha);

}  // namespace gyges::analysis
