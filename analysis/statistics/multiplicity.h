// Adjusted p-values for many hypotheses at once, in the order of the input.
#pragma once

#include <vector>

namespace gyges::analysis {

// False discovery rate: Y. Benjamini and Y. Hochberg, "Controlling the false discovery rate",
// Journal of the Royal Statistical Society B 57 (1995) 289-300.
std::vector<double> benjamini_hochberg(const std::vector<double>& p_values);

// Family-wise error rate: S. Holm, "A simple sequentially rejective multiple test procedure",
// Scandinavian Journal of Statistics 6 (1979) 65-70.
std::vector<double> holm(const std::vector<double>& p_values);

}  // namespace gyges::analysis
