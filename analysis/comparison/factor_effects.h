// What each factor does to an outcome when several vary at once, and whether one changes the effect
// of another: a logistic model of all runs of an agent, its effects as shares (logistic.h).
#pragma once

#include <string>
#include <vector>

#include "analysis/bundles/run.h"
#include "analysis/comparison/outcome.h"
#include "analysis/statistics/logistic.h"

namespace gyges::analysis {

struct FactorEffect {
  std::string agent;
  std::string outcome;
  std::string factor;  // "oversight=announced_off", or two of them joined by " x "
  bool interaction = false;
  std::uint64_t runs = 0;
  std::size_t families = 0;
  MarginalEffect effect;  // against each factor's first level
  std::string problem;    // why there is no effect; empty where there is one
};

// For each agent whose runs vary in two factors or more: the average marginal effect of each level,
// and the interaction of each two, over all runs in which the outcome is decided. Clusters are
// families where there are two or more, else scenario and repeat; the report says which.
// Terms that cannot be estimated are entries with a problem, never left out.
std::vector<FactorEffect> factor_effects(const std::vector<Run>& runs, const OutcomeColumn& column,
                                         const std::string& outcome);

}  // namespace gyges::analysis
