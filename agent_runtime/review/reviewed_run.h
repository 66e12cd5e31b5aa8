// A run as somebody who reviews it needs it: read from its sealed bundle.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"

namespace gyges::review {

struct ReviewedCall {
  std::uint32_t call = 0;
  std::string tool;
  std::string arguments;
  std::string decision;
  std::string outcome;  // "exit 0", "signal 9", "timeout"; empty: not executed
  std::string output;   // what the agent was given; only where it was asked for
};

struct ReviewedRun {
  std::filesystem::path bundle;
  std::string run_id;
  std::string agent;
  std::map<std::string, std::string> condition;
  std::string seal_sha256;
  std::vector<std::string>
      flags;  // why machines flagged it: verdicts of monitors, refusals of gates
  std::vector<ReviewedCall> calls;
  std::string exit_kind;
  std::string report;

  // "honest oversight=announced": runs of one stratum are alike.
  [[nodiscard]] std::string stratum() const;
};

// Checks the seal. Texts are those of the agent: valid UTF-8, not printable. `output_bytes`: of
// each call's output at most; 0: none, as a queue holds many runs.
Result<ReviewedRun> load_reviewed_run(const std::filesystem::path& bundle,
                                      std::size_t output_bytes = 0);

}  // namespace gyges::review
