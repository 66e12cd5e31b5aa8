// The operating characteristics of the default analysis, in full: how often it sees a gap that is
// not there, how often its interval holds the truth, what looking after every pair costs, how often
// it finds a planted gap; the same of arms without partners and of differences in differences.
// tests/analysis/statistics/calibration_test.cpp bounds the same, briefly.
//
//   calibration_bench [STUDIES]     20000 for each line when absent; fixed seeds
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "analysis/statistics/default_test.h"
#include "analysis/statistics/difference_in_differences.h"
#include "analysis/statistics/e_process.h"
#include "analysis/statistics/family_means.h"
#include "analysis/statistics/mcnemar.h"
#include "analysis/statistics/sign_flip.h"
#include "analysis/statistics/simulated_study.h"

namespace {

using namespace gyges::analysis;

void over_studies(const StudyDesign& design, std::uint64_t studies) {
  SimulatedStudy study(design);
  RandomStream random(20261128);
  double share = 1.0 / static_cast<double>(studies);
  double truth = design.second_rate - design.first_rate;
  double chosen = 0;
  double covered = 0;
  double pooled = 0;
  double student = 0;
  double equivalent = 0;
  for (std::uint64_t i = 0; i < studies; ++i) {
    std::vector<PairedCounts> families = study.draw(random);
    DefaultAnalysis analysis = *analyse_pairs(families);
    chosen += analysis.p_value < 0.05 ? share : 0;
    covered += analysis.interval.low <= truth && truth <= analysis.interval.high ? share : 0;
    equivalent += analysis.equivalence_bound < std::fabs(truth) ? share : 0;
    std::uint64_t b = 0;
    std::uint64_t c = 0;
    std::vector<double> gaps;
    for (const PairedCounts& family : families) {
      b += family.first_only;
      c += family.second_only;
      gaps.push_back(*family.second().rate() - *family.first().rate());
    }
    pooled += mcnemar_exact(b, c) < 0.05 ? share : 0;
    if (std::optional<FamilyMean> mean = family_mean(gaps))
      student += mean->p_value < 0.05 ? share : 0;
  }
  std::printf("%8zu %5zu %7zu   %4.2f->%4.2f %6.1f   %8.3f %8.3f %8.3f %9.3f %9.3f\n",
              design.families, design.tasks, design.repeats, design.first_rate, design.second_rate,
              design.condition_deviation, chosen, pooled, student, covered, equivalent);
}

struct PooledAlarms {
  double exact = 0;
  double mid_p = 0;
};

// Of pooled tests, where the tasks drawn have no gap on average (false: families like them have
// none).
PooledAlarms pooled_alarms(const StudyDesign& design, bool these_tasks, std::uint64_t studies) {
  SimulatedStudy study(design);
  RandomStream random(20261201);
  double share = 1.0 / static_cast<double>(studies);
  PooledAlarms alarms;
  for (std::uint64_t i = 0; i < studies; ++i) {
    std::uint64_t b = 0;
    std::uint64_t c = 0;
    for (const PairedCounts& family :
         these_tasks ? study.draw_without_gap(random) : study.draw(random)) {
      b += family.first_only;
      c += family.second_only;
    }
    alarms.exact += mcnemar_exact(b, c) < 0.05 ? share : 0;
    alarms.mid_p += mcnemar_mid_p(b, c) < 0.05 ? share : 0;
  }
  return alarms;
}

void over_pooled(const StudyDesign& design, std::uint64_t studies) {
  PooledAlarms here = pooled_alarms(design, true, studies);
  PooledAlarms like_these = pooled_alarms(design, false, studies);
  std::printf("%8zu %5zu %7zu   %4.2f %6.1f   %8.3f %8.3f   %8.3f %8.3f\n", design.families,
              design.tasks, design.repeats, design.first_rate, design.condition_deviation,
              here.exact, here.mid_p, like_these.exact, like_these.mid_p);
}

// The same of arms without partners.
void over_arms(const StudyDesign& design, std::uint64_t studies) {
  SimulatedStudy study(design);
  RandomStream random(20261129);
  double share = 1.0 / static_cast<double>(studies);
  double truth = design.second_rate - design.first_rate;
  double chosen = 0;
  double covered = 0;
  for (std::uint64_t i = 0; i < studies; ++i) {
    std::vector<FamilyArms> families;
    for (const PairedCounts& family : study.draw(random))
      families.push_back({family.first(), family.second()});
    DefaultAnalysis analysis = *analyse_arms(families);
    chosen += analysis.p_value < 0.05 ? share : 0;
    covered += analysis.interval.low <= truth && truth <= analysis.interval.high ? share : 0;
  }
  std::printf("%8zu %5zu %7zu   %4.2f->%4.2f %6.1f   %8.3f %26s %9.3f\n", design.families,
              design.tasks, design.repeats, design.first_rate, design.second_rate,
              design.condition_deviation, chosen, "", covered);
}

// The gap with the temptation minus the gap without.
void over_temptation(const StudyDesign& tempted, const StudyDesign& control,
                     std::uint64_t studies) {
  SimulatedStudy with(tempted);
  SimulatedStudy without(control);
  RandomStream random(20261130);
  double share = 1.0 / static_cast<double>(studies);
  double truth =
      tempted.second_rate - tempted.first_rate - (control.second_rate - control.first_rate);
  double mid_p = 0;
  double exact = 0;
  double covered = 0;
  for (std::uint64_t i = 0; i < studies; ++i) {
    std::vector<PairedCounts> one = with.draw(random);
    std::vector<PairedCounts> two = without.draw(random);
    std::vector<TemptedAndControl> families;
    std::vector<double> values;
    for (std::size_t f = 0; f < one.size(); ++f) {
      families.push_back({one[f].first(), one[f].second(), two[f].first(), two[f].second()});
      values.push_back(*one[f].second().rate() - *one[f].first().rate() - *two[f].second().rate() +
                       *two[f].first().rate());
    }
    DifferenceInDifferences found = *difference_in_differences_over_families(families);
    mid_p += found.p_value < 0.05 ? share : 0;
    exact += sign_flip_test(values)->p_value < 0.05 ? share : 0;
    covered += found.interval.low <= truth && truth <= found.interval.high ? share : 0;
  }
  std::printf("%8zu   %4.2f->%4.2f   %4.2f->%4.2f %6.1f   %8.3f %8.3f %9.3f\n", tempted.families,
              tempted.first_rate, tempted.second_rate, control.first_rate, control.second_rate,
              tempted.condition_deviation, mid_p, exact, covered);
}

// One pair after the other, looked at after each.
void peeking(double first, double second, std::uint64_t pairs, std::uint64_t studies) {
  RandomStream random(7);
  double share = 1.0 / static_cast<double>(studies);
  double alarms = 0;
  double naive = 0;
  double at_end = 0;
  std::vector<std::uint64_t> stops;
  for (std::uint64_t i = 0; i < studies; ++i) {
    EProcess process;
    std::uint64_t stop = 0;
    std::uint64_t b = 0;
    std::uint64_t c = 0;
    bool peeked = false;
    for (std::uint64_t pair = 1; pair <= pairs; ++pair) {
      bool one = random.chance(first);
      bool two = random.chance(second);
      process.add(one, two);
      b += one && !two ? 1 : 0;
      c += two && !one ? 1 : 0;
      if (stop == 0 && process.alarmed()) stop = pair;
      if (pair % std::max<std::uint64_t>(1, pairs / 20) == 0 && b + c > 0) {
        double z = (static_cast<double>(c) - static_cast<double>(b)) /
                   std::sqrt(static_cast<double>(b + c));
        peeked = peeked || std::fabs(z) > 1.96;
      }
    }
    alarms += stop != 0 ? share : 0;
    naive += peeked ? share : 0;
    at_end += mcnemar_exact(b, c) < 0.05 ? share : 0;
    if (stop != 0) stops.push_back(stop);
  }
  std::uint64_t median = 0;
  if (!stops.empty()) {
    std::nth_element(stops.begin(), stops.begin() + static_cast<std::ptrdiff_t>(stops.size() / 2),
                     stops.end());
    median = stops[stops.size() / 2];
  }
  std::printf(
      "%4.2f->%4.2f %6llu pairs   e-process %.3f (median stop %llu)   20 looks at z %.3f   "
      "McNemar at the end %.3f\n",
      first, second, static_cast<unsigned long long>(pairs), alarms,
      static_cast<unsigned long long>(median), naive, at_end);
}

}  // namespace

int main(int count, char** arguments) {
  std::uint64_t studies = count > 1 ? std::strtoull(arguments[1], nullptr, 10) : 20000;
  if (studies == 0) {
    std::fprintf(stderr, "usage: calibration_bench [STUDIES]\n");
    return 2;
  }
  std::printf(
      "families tasks repeats         rates     sd    default   pooled  t-test  covered  "
      "equivalent\n");
  for (double gap : {0.0, 0.1, 0.2})
    for (double rate : {0.05, 0.3})
      for (double deviation : {0.0, 0.8})
        for (std::size_t families : {std::size_t{1}, std::size_t{2}, std::size_t{4}, std::size_t{6},
                                     std::size_t{8}, std::size_t{12}, std::size_t{20}})
          over_studies({families, 5, 4, rate, rate + gap, deviation, 0.3, deviation}, studies);
  std::printf(
      "\npooled, no gap in                              these tasks       families like these\n"
      "families tasks repeats   rate     sd      exact    mid-p      exact    mid-p\n");
  for (double rate : {0.05, 0.1, 0.3})
    for (double deviation : {0.0, 0.8})
      for (std::size_t families : {std::size_t{1}, std::size_t{2}, std::size_t{4}, std::size_t{5}})
        for (std::size_t repeats : {std::size_t{4}, std::size_t{20}})
          over_pooled({families, 5, repeats, rate, rate, deviation, 0.3, deviation}, studies);
  std::printf("\narms without partners\n");
  for (double gap : {0.0, 0.2})
    for (double deviation : {0.0, 0.8})
      for (std::size_t families : {std::size_t{1}, std::size_t{2}, std::size_t{4}, std::size_t{6},
                                   std::size_t{8}, std::size_t{12}})
        over_arms({families, 5, 4, 0.3, 0.3 + gap, deviation, 0.3, deviation}, studies);
  std::printf("\nfamilies      tempted      control     sd      mid-p    exact   covered\n");
  for (double gap : {0.0, 0.2})
    for (double rate : {0.05, 0.3})
      for (double deviation : {0.0, 0.8})
        for (std::size_t families :
             {std::size_t{6}, std::size_t{8}, std::size_t{12}, std::size_t{20}})
          over_temptation({families, 5, 4, rate, rate + 0.1 + gap, deviation, 0.3, deviation},
                          {families, 5, 4, rate, rate + 0.1, deviation, 0.3, deviation}, studies);
  std::printf("\n");
  for (std::uint64_t pairs : {200ULL, 400ULL, 2000ULL}) {
    peeking(0.1, 0.1, pairs, studies / 4 + 1);
    peeking(0.05, 0.15, pairs, studies / 4 + 1);
  }
  return 0;
}
