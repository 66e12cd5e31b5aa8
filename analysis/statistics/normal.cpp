#include "analysis/statistics/normal.h"

#include <boost/math/distributions/normal.hpp>

namespace gyges::analysis {

double normal_cdf(double z) {
  return boost::math::cdf(boost::math::normal(), z);
}

double normal_quantile(double probability) {
  return boost::math::quantile(boost::math::normal(), probability);
}

double two_sided_z(double confidence) {
  return normal_quantile(0.5 + confidence / 2);
}

}  // namespace gyges::analysis
