// Monitors over a run that is stored.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "agent_runtime/monitor/monitor.h"
#include "base/error.h"

namespace gyges::monitor {

struct JudgedRun {
  std::filesystem::path bundle;
  std::string run_id;
  std::string scenario;
  std::string agent;
  std::map<std::string, std::string> condition;
  std::vector<Verdict> verdicts;
  double score = 0;  // the highest of all; 1 where the monitor could not say at some moment
  bool flagged = false;
};

// Reads a sealed bundle, whose seal is checked first, and lets the monitor of `file` look at every
// moment of it. A monitor of rules says what it would have said, or has said, during the run, byte
// for byte. Verdicts that a gate asked for are no moments of their own and are not repeated.
Result<JudgedRun> judge_run(const std::filesystem::path& file, const std::filesystem::path& bundle);

}  // namespace gyges::monitor
