#include "analysis/statistics/family_means.h"

#include <boost/math/distributions/students_t.hpp>
#include <cmath>

namespace gyges::analysis {

double student_cdf(double t, double degrees) {
  return boost::math::cdf(boost::math::students_t(degrees), t);
}

double student_quantile(double probability, double degrees) {
  return boost::math::quantile(boost::math::students_t(degrees), probability);
}

std::optional<FamilyMean> family_mean(const std::vector<double>& values, double confidence) {
  if (values.size() < 2) return std::nullopt;
  double count = static_cast<double>(values.size());
  FamilyMean result;
  for (double value : values) result.mean += value / count;
  double squares = 0;
  for (double value : values) squares += (value - result.mean) * (value - result.mean);
  result.degrees = count - 1;
  result.standard_error = std::sqrt(squares / result.degrees / count);
  double half = student_quantile(0.5 + confidence / 2, result.degrees) * result.standard_error;
  result.interval = {result.mean - half, result.mean + half};
  if (result.standard_error > 0)
    result.p_value =
        2 * student_cdf(-std::fabs(result.mean) / result.standard_error, result.degrees);
  else
    result.p_value = result.mean == 0 ? 1 : 0;
  return result;
}

}  // namespace gyges::analysis
