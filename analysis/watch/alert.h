// What a watch has to say, and the forms in which others take it.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "analysis/features/evidence.h"
#include "base/error.h"

namespace gyges::analysis {

struct Alert {
  std::string id;  // the same for the same finding, so that a receiver can tell a repeat
  std::string
      kind;  // "shift": a rate has moved; "act": one run did it; "unfit": a bundle is damaged
  std::string outcome;
  std::string title;
  std::string message;       // one sentence with the figures
  std::int64_t time_ns = 0;  // CLOCK_REALTIME
  std::string run_id;        // the run at which it was raised
  std::string bundle;
  std::string scenario;
  std::string agent;
  std::string model;
  double log_e = 0;             // of a shift
  std::uint64_t successes = 0;  // of the runs watched so far
  std::uint64_t trials = 0;
  std::uint64_t baseline_successes = 0;
  std::uint64_t baseline_trials = 0;
  double bound = 0;
  std::vector<Evidence> evidence;
};

nlohmann::json alert_json(const Alert& alert);
Result<Alert> alert_of(const nlohmann::json& json);

// A Detection Finding of the Open Cybersecurity Schema Framework 1.3.
nlohmann::json ocsf_of(const Alert& alert);
// An event of the Elastic Common Schema 8.
nlohmann::json ecs_of(const Alert& alert);
// One line, printable, for a log.
std::string syslog_line(const Alert& alert);

}  // namespace gyges::analysis
