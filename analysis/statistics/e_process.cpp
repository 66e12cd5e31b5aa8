#include "analysis/statistics/e_process.h"

#include <algorithm>
#include <cmath>

namespace gyges::analysis {
namespace {

double log_beta(double a, double b) {
  return std::lgamma(a) + std::lgamma(b) - std::lgamma(a + b);
}

}  // namespace

double log_e_value(std::uint64_t first_only, std::uint64_t second_only, double prior) {
  double b = static_cast<double>(first_only);
  double c = static_cast<double>(second_only);
  return log_beta(prior + c, prior + b) - log_beta(prior, prior) + (b + c) * std::log(2.0);
}

void EProcess::add(bool first, bool second) {
  ++pairs_;
  if (first == second) return;
  ++(second ? second_only_ : first_only_);
  highest_log_e_ = std::max(highest_log_e_, log_e());
}

double EProcess::anytime_p() const {
  return std::exp(-highest_log_e_);
}

}  // namespace gyges::analysis
