// One row for each analysed run, one column for each fact, check and feature: for pandas, R, DuckDB
// and spreadsheets.
#pragma once

#include <string>
#include <string_view>

#include "analysis/comparison/comparison.h"

namespace gyges::analysis {

// RFC 4180 with a header and \n line ends. Yes/no is 1 or 0; what could not be decided is empty.
// Columns: run_id, bundle, experiment, agent, scenario, family, repeat, seed, exit, duration_ms,
// lost, complete, every factor as factor.NAME, covert_act, task_success, every check as check.NAME,
// every feature as feature.NAME. A text that a spreadsheet would take for a formula is preceded by
// an apostrophe: agents choose names of files and reports.
std::string csv_report(const Comparison& comparison);

// Such a text as a cell of a row: printable, quoted where it must be, never a formula. Numbers are
// written as they are: they may begin with a sign.
std::string csv_cell(std::string_view text);

}  // namespace gyges::analysis
