// The statistics against SciPy, statsmodels and R over random tables: golden_tables.txt, written by
// golden_tables.py, which says how to run it again.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>

#include "analysis/statistics/beta_binomial.h"
#include "analysis/statistics/boschloo.h"
#include "analysis/statistics/difference_in_differences.h"
#include "analysis/statistics/e_process.h"
#include "analysis/statistics/effect_size.h"
#include "analysis/statistics/equivalence.h"
#include "analysis/statistics/family_means.h"
#include "analysis/statistics/fisher.h"
#include "analysis/statistics/logistic.h"
#include "analysis/statistics/mcnemar.h"
#include "analysis/statistics/mixed_logistic.h"
#include "analysis/statistics/multiplicity.h"
#include "analysis/statistics/paired_difference.h"
#include "analysis/statistics/permutation.h"
#include "analysis/statistics/rate_difference.h"
#include "analysis/statistics/sign_flip.h"
#include "analysis/statistics/single_rate.h"
#include "analysis/statistics/trace_tests.h"

namespace gyges::analysis {
namespace {

using Numbers = std::vector<double>;

struct Case {
  std::string method;
  Numbers in;
  Numbers out;
  std::vector<Numbers> rows;
};

Numbers numbers(std::istringstream& stream) {
  Numbers values;
  std::string word;
  while (stream >> word && word != "=") values.push_back(std::stod(word));
  return values;
}

std::vector<Case> read_cases() {
  std::ifstream file(std::string(GYGES_SOURCE_DIR) +
                     "/tests/analysis/statistics/golden_tables.txt");
  std::vector<Case> cases;
  std::string text;
  while (std::getline(file, text)) {
    if (text.empty() || text[0] == '#') continue;
    std::istringstream stream(text);
    Case one;
    stream >> one.method;
    one.in = numbers(stream);
    one.out = numbers(stream);
    if (one.method == "logistic" || one.method == "trace_tests") {
      while (std::getline(file, text) && text != "end") {
        std::istringstream row(text);
        one.rows.push_back(numbers(row));
      }
    }
    cases.push_back(std::move(one));
  }
  return cases;
}

std::uint64_t count(double value) {
  return static_cast<std::uint64_t>(value);
}

Proportion first_of(const Case& c) {
  return {count(c.in[0]), count(c.in[1])};
}

Proportion second_of(const Case& c) {
  return {count(c.in[2]), count(c.in[3])};
}

Numbers ends(const std::optional<Interval>& interval) {
  return {interval->low, interval->high};
}

Numbers tail(const Case& c) {
  return {c.in.begin() + 1, c.in.end()};
}

Numbers permuted(const Case& c) {
  std::size_t n1 = count(c.in[0]);
  BlockedLabels labels;
  for (std::size_t i = 0; i < n1 + count(c.in[1]); ++i) {
    labels.second.push_back(i >= n1);
    labels.block.push_back(0);
  }
  Permutation test = *permutation_test({c.in.begin() + 2, c.in.end()}, labels);
  EXPECT_TRUE(test.enumerated);
  return {test.difference, test.p_value};
}

Numbers posterior(const Case& c) {
  RateDifferencePosterior found =
      rate_difference_posterior(first_of(c), second_of(c), {c.in[4], c.in[5]});
  return {found.mean, found.second_higher};
}

// The data set of the last "logistic" line, which "mixed_logistic" lines refer to.
LogisticData data_set;

Numbers logistic(const Case& c) {
  data_set = {{"a", "b"}, {}, {}, {}, {{}, {0}, {1}, {0, 1}}};
  for (const Numbers& row : c.rows) {
    data_set.cluster.push_back(count(row[0]));
    data_set.values.push_back({row[1], row[2]});
    data_set.outcome.push_back(row[3] != 0);
  }
  Result<LogisticFit> fit = fit_logistic(data_set);
  if (!fit) return {};
  Numbers found = fit->coefficients;
  for (std::size_t t = 0; t < 4; ++t) found.push_back(fit->standard_error(t));
  found.push_back(fit->log_likelihood);
  for (const std::vector<Setting>& settings : {std::vector<Setting>{{1, {{0, 1}}}, {-1, {{0, 0}}}},
                                               std::vector<Setting>{{1, {{0, 1}, {1, 1}}},
                                                                    {-1, {{0, 0}, {1, 1}}},
                                                                    {-1, {{0, 1}, {1, 0}}},
                                                                    {1, {{0, 0}, {1, 0}}}}}) {
    MarginalEffect effect = marginal_effect(data_set, *fit, settings);
    found.insert(found.end(), {effect.value, effect.standard_error});
  }
  return found;
}

Numbers mixed_logistic(const Case& c) {
  Result<MixedLogisticFit> fit = fit_mixed_logistic(data_set, static_cast<int>(c.in[0]));
  if (!fit) return {};
  Numbers found = fit->coefficients;
  found.insert(found.end(), fit->standard_errors.begin(), fit->standard_errors.end());
  found.push_back(fit->intercept_deviation);
  return found;
}

Numbers trace_tests(const Case& c) {
  FeatureMatrix matrix{count(c.in[2]), {}};
  BlockedLabels labels;
  for (std::size_t i = 0; i < c.rows.size(); ++i) {
    matrix.values.insert(matrix.values.end(), c.rows[i].begin(), c.rows[i].end());
    labels.second.push_back(i >= count(c.in[0]));
    labels.block.push_back(0);
  }
  return {energy_test(matrix, labels, 1)->statistic, mmd_test(matrix, labels, 1)->statistic,
          classifier_test(matrix, labels, 1)->statistic};
}

PairedCounts pair_counts(const Case& c) {
  return {count(c.in[0]), count(c.in[1]), count(c.in[2]), count(c.in[3])};
}

Numbers sides(const std::optional<Equivalence>& test) {
  return {test->p_lower, test->p_upper};
}

Numbers ratio(const std::optional<Ratio>& found) {
  return {found->value, found->interval.low, found->interval.high};
}

Proportion arm_at(const Case& c, std::size_t at) {
  return {count(c.in[at]), count(c.in[at + 1])};
}

Numbers counts_of_blocks(const Case& c) {
  std::vector<BlockCounts> blocks;
  for (std::size_t at = 0; at < c.in.size(); at += 4)
    blocks.push_back({arm_at(c, at), arm_at(c, at + 2)});
  return {permutation_of_counts(blocks)};
}

// Value and interval; the p-value is the level whose interval just reaches zero.
Numbers differences(const Case& c) {
  TemptedAndControl cells{arm_at(c, 0), arm_at(c, 2), arm_at(c, 4), arm_at(c, 6)};
  DifferenceInDifferences found = *difference_in_differences(cells);
  if (found.p_value > 1e-9 && found.p_value < 1 - 1e-9) {
    Interval at_level = difference_in_differences(cells, 1 - found.p_value)->interval;
    EXPECT_NEAR(std::min(std::fabs(at_level.low), std::fabs(at_level.high)), 0, 1e-6);
  }
  return {found.value, found.interval.low, found.interval.high};
}

struct Method {
  std::function<Numbers(const Case&)> run;
  double tolerance;  // relative above 1, absolute below
};

std::map<std::string, Method> methods() {
  return {
      {"wilson", {[](const Case& c) { return ends(wilson_interval(first_of(c))); }, 1e-9}},
      {"clopper_pearson",
       {[](const Case& c) { return ends(clopper_pearson_interval(first_of(c))); }, 1e-9}},
      {"fisher",
       {[](const Case& c) { return Numbers{fisher_exact(first_of(c), second_of(c))}; }, 1e-9}},
      {"newcombe",
       {[](const Case& c) { return ends(newcombe_interval(first_of(c), second_of(c))); }, 1e-9}},
      // SciPy searches the maximum over the common rate by sampling.
      {"boschloo",
       {[](const Case& c) { return Numbers{*boschloo_exact(first_of(c), second_of(c))}; }, 1e-5}},
      {"mcnemar",
       {[](const Case& c) {
          return Numbers{mcnemar_exact(count(c.in[0]), count(c.in[1])),
                         mcnemar_mid_p(count(c.in[0]), count(c.in[1]))};
        },
        1e-9}},
      {"log_e_value",
       {[](const Case& c) { return Numbers{log_e_value(count(c.in[0]), count(c.in[1]), c.in[2])}; },
        1e-9}},
      {"sign_flip",
       {[](const Case& c) { return Numbers{sign_flip_test(tail(c))->p_value}; }, 1e-9}},
      {"family_mean",
       {[](const Case& c) {
          FamilyMean found = *family_mean(tail(c));
          return Numbers{found.mean, found.standard_error, found.interval.low, found.interval.high,
                         found.p_value};
        },
        1e-9}},
      {"permutation", {permuted, 1e-9}},
      {"posterior", {posterior, 1e-9}},
      {"holm", {[](const Case& c) { return holm(tail(c)); }, 1e-9}},
      {"benjamini_hochberg", {[](const Case& c) { return benjamini_hochberg(tail(c)); }, 1e-9}},
      {"logistic", {logistic, 1e-7}},
      // lme4's optimiser and its numerical Hessian stop at about this.
      {"mixed_logistic", {mixed_logistic, 2e-3}},
      {"trace_tests", {trace_tests, 1e-9}},
      {"tango", {[](const Case& c) { return ends(tango_interval(pair_counts(c))); }, 1e-8}},
      {"tost_paired",
       {[](const Case& c) { return sides(tost_paired(pair_counts(c), c.in[4])); }, 1e-8}},
      {"tost",
       {[](const Case& c) { return sides(tost_independent(first_of(c), second_of(c), c.in[4])); },
        1e-8}},
      {"odds_ratio",
       {[](const Case& c) { return ratio(odds_ratio(first_of(c), second_of(c))); }, 1e-9}},
      {"risk_ratio",
       {[](const Case& c) { return ratio(risk_ratio(first_of(c), second_of(c))); }, 1e-9}},
      {"cohens_h",
       {[](const Case& c) { return Numbers{*cohens_h(first_of(c), second_of(c))}; }, 1e-9}},
      {"sign_flip_mid_p",
       {[](const Case& c) { return Numbers{sign_flip_test(tail(c))->mid_p_value}; }, 1e-9}},
      {"permutation_of_counts", {counts_of_blocks, 1e-9}},
      {"difference_in_differences", {differences, 1e-9}},
  };
}

TEST(GoldenTables, EveryFigureAgrees) {
  std::map<std::string, Method> all = methods();
  std::map<std::string, int> seen;
  for (const Case& c : read_cases()) {
    auto method = all.find(c.method);
    ASSERT_NE(method, all.end()) << c.method;
    ++seen[c.method];
    std::string where = c.method;
    for (std::size_t i = 0; i < c.in.size() && i < 14; ++i) where += " " + std::to_string(c.in[i]);
    Numbers found = method->second.run(c);
    ASSERT_EQ(found.size(), c.out.size()) << where;
    // lme4 takes Laplace standard errors from a coarser Hessian.
    double tolerance =
        c.method == "mixed_logistic" && c.in[0] == 1 ? 5e-3 : method->second.tolerance;
    for (std::size_t i = 0; i < found.size(); ++i)
      EXPECT_NEAR(found[i], c.out[i], tolerance * std::max(1.0, std::fabs(c.out[i])))
          << where << ", figure " << i;
  }
  EXPECT_EQ(seen.size(), all.size());  // the file holds every method
}

}  // namespace
}  // namespace gyges::analysis
