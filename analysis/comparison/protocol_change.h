// A change of protocol as an object: rationale, expected differences, test plan, and, held against
// runs from before and after it, the result. docs/protocol_change.md.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "analysis/comparison/comparison.h"
#include "base/error.h"

namespace gyges::analysis {

enum class ExpectedMove : std::uint8_t { rise, fall, none };

struct ExpectedDifference {
  std::string outcome;
  ExpectedMove move = ExpectedMove::none;
  double at_least = 0;
  double margin = 0.05;
};

struct ProtocolChange {
  std::string name;
  std::string rationale;
  std::string test_plan;
  std::vector<ExpectedDifference> expected;
  std::string sha256;  // of the file
};

// Schema "protocol_change". An outcome that is named twice is an error.
Result<ProtocolChange> load_protocol_change(const std::filesystem::path& file);

enum class Fulfilment : std::uint8_t {
  met,
  not_met,    // the interval rules the expectation out
  undecided,  // neither; more runs are needed
};
std::string_view fulfilment_name(Fulfilment fulfilment);

struct ExpectationResult {
  ExpectedDifference expected;
  Fulfilment fulfilment = Fulfilment::undecided;
  std::optional<double> gap;  // after minus before
  std::optional<Interval> interval;
  std::optional<double> adjusted_p;
  std::string why;
};

struct ChangeResult {
  std::vector<ExpectationResult> expected;
  // Outcomes with a gap that nobody expected.
  std::vector<const OutcomeComparison*> unexpected;  // into the comparison
  // met when every expectation is and nothing unexpected happened; not_met when one is not, or
  // something did; else undecided.
  Fulfilment conclusion = Fulfilment::undecided;
};

// `comparison` is of Between::experiments with one contrast: before, after. More than one, or an
// outcome that it does not know, is an error.
Result<ChangeResult> judge_change(const ProtocolChange& change, const Comparison& comparison);

nlohmann::json change_json(const ProtocolChange& change, const ChangeResult& result,
                           const Comparison& comparison);

}  // namespace gyges::analysis
