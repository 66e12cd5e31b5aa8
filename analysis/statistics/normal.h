// The standard normal distribution, as the other methods use it.
#pragma once

namespace gyges::analysis {

// P(Z <= z).
double normal_cdf(double z);

// The z below which a share of `probability` lies; probability in (0, 1).
double normal_quantile(double probability);

// The z of a two-sided interval: 1.959964 for confidence 0.95.
double two_sided_z(double confidence);

}  // namespace gyges::analysis
