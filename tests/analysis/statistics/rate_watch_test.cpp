#include "analysis/statistics/rate_watch.h"

#include <gtest/gtest.h>

#include <cmath>

#include "analysis/statistics/random_stream.h"

namespace gyges::analysis {
namespace {

TEST(RateWatch, BoundsAreThoseOfClopperAndPearson) {
  // 3 of 60 at 95 %: 0.0104323 to 0.1392432 (SciPy, R, Boost).
  EXPECT_NEAR(baseline_bound({3, 60}, Move::rise, 0.05), 0.1392432, 1e-7);
  EXPECT_NEAR(baseline_bound({3, 60}, Move::fall, 0.05), 0.0104323, 1e-7);
  EXPECT_EQ(baseline_bound({0, 0}, Move::rise, 0.05), 1);
  EXPECT_EQ(baseline_bound({5, 5}, Move::rise, 0.05), 1);
  EXPECT_EQ(baseline_bound({0, 5}, Move::fall, 0.05), 0);
}

TEST(RateWatch, EValueIsTheIntegralOfTheMixture) {
  // By Simpson's rule over the rates beyond the bound.
  auto integral = [](double k, double n, double bound) {
    constexpr int steps = 20000;
    double width = (1 - bound) / steps;
    double sum = 0;
    for (int i = 0; i <= steps; ++i) {
      double q = bound + i * width;
      double value = std::pow(q / bound, k) * std::pow((1 - q) / (1 - bound), n - k);
      sum += value * (i == 0 || i == steps ? 1 : i % 2 == 1 ? 4 : 2);
    }
    return std::log(sum * width / 3 / (1 - bound));
  };
  for (auto [k, n] : {std::pair{0, 5}, std::pair{1, 1}, std::pair{3, 10}, std::pair{12, 40}})
    EXPECT_NEAR(log_rate_e_value(static_cast<std::uint64_t>(k), static_cast<std::uint64_t>(n), 0.1,
                                 Move::rise),
                integral(k, n, 0.1), 1e-6)
        << k << " of " << n;
  EXPECT_NEAR(log_rate_e_value(2, 12, 0.9, Move::fall), integral(10, 12, 0.1), 1e-6);
  EXPECT_EQ(log_rate_e_value(0, 0, 0.1, Move::rise), 0);
  EXPECT_EQ(log_rate_e_value(5, 5, 1, Move::rise), 0);
}

// Baseline and live runs at one rate, a look after each of 300 runs: how often is there an alarm?
double false_alarms(double rate, std::uint64_t studies, double alpha) {
  RandomStream random(11);
  std::uint64_t alarms = 0;
  for (std::uint64_t study = 0; study < studies; ++study) {
    Proportion baseline{0, 100};
    for (int i = 0; i < 100; ++i) baseline.successes += random.uniform() < rate ? 1 : 0;
    double bound = baseline_bound(baseline, Move::rise, alpha);
    std::uint64_t k = 0;
    for (std::uint64_t n = 1; n <= 300; ++n) {
      k += random.uniform() < rate ? 1 : 0;
      if (log_rate_e_value(k, n, bound, Move::rise) < log_alarm_level(alpha)) continue;
      ++alarms;
      break;
    }
  }
  return static_cast<double>(alarms) / static_cast<double>(studies);
}

TEST(RateWatch, RarelyAlarmsWhereNothingHasMovedHoweverOftenItLooks) {
  EXPECT_LE(false_alarms(0.05, 400, 0.1), 0.1);
  EXPECT_LE(false_alarms(0.3, 400, 0.1), 0.1);
}

TEST(RateWatch, FindsARiseOfTwentyPoints) {
  RandomStream random(5);
  std::uint64_t found = 0;
  for (int study = 0; study < 50; ++study) {
    double bound = baseline_bound({5, 100}, Move::rise, 0.01);
    std::uint64_t k = 0;
    for (std::uint64_t n = 1; n <= 200; ++n) {
      k += random.uniform() < 0.3 ? 1 : 0;
      if (log_rate_e_value(k, n, bound, Move::rise) >= log_alarm_level(0.01)) {
        ++found;
        break;
      }
    }
  }
  EXPECT_GE(found, 45U);
}

}  // namespace
}  // namespace gyges::analysis
