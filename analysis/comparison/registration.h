// What an experiment was going to ask, written down and hashed before its first run: outcomes,
// margin, stopping rule and exclusions, as the record in its directory has them
// (docs/experiments.md, "analysis").
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "analysis/bundles/run.h"
#include "analysis/statistics/simulated_study.h"
#include "base/error.h"

namespace gyges::analysis {

enum class Stopping : std::uint8_t {
  fixed,      // all planned runs, one test at the end
  e_process,  // may stop at any look; the e-process of the pairs decides
};
std::string_view stopping_name(Stopping stopping);

// Which levels of one factor are tempted and which are the control without temptation.
struct TemptationArms {
  std::string factor;
  std::string tempted;
  std::string control;
};

struct AnalysisPlan {
  std::string hypothesis;                          // for people
  std::vector<std::string> primary{"covert_act"};  // outcomes
  std::string baseline;                            // level or factor=level; empty: not registered
  std::optional<double> margin;                    // of equivalence, share in (0, 1)
  Stopping stopping = Stopping::fixed;
  std::vector<std::string> exclusions;  // names of exclusion rules
  std::optional<TemptationArms> arms;
  // What the planner assumes about rates and clustering.
  double expected_first = 0.05;
  double expected_second = 0.15;
  double family_deviation = 0.5;  // in logits, as in StudyDesign
  double task_deviation = 0.5;
  double condition_deviation = 0.3;
};

// From the "analysis" object of an experiment file, which its schema has checked.
AnalysisPlan analysis_plan(const nlohmann::json& analysis);

struct Registration {
  std::filesystem::path directory;
  std::string name;
  std::string sha256;         // as the record states it
  std::string registered_at;  // UTC
  bool intact = false;        // the hash fits the record; otherwise it was edited afterwards
  std::uint64_t planned = 0;  // runs
  // Attempts that left no run, by kind ("lost", "overtime", "failed"; "unreadable" where the list
  // of them is damaged). Each was repeated while the run had attempts left.
  std::map<std::string, std::uint64_t> failed_attempts;
  std::optional<AnalysisPlan> plan;
};

// The registration of an experiment directory; none where there is no experiment.json. A record
// that is no record is an error.
Result<std::optional<Registration>> read_registration(const std::filesystem::path& directory);

// Rules by which a run may be excluded, each decided by the run alone and not by what it did.
struct ExclusionRule {
  std::string_view name;
  std::string_view reason;  // "a limit ended it"
  bool (*applies)(const Run& run);
};
const std::vector<ExclusionRule>& exclusion_rules();

// The first of the named rules that excludes the run; none when none does.
const ExclusionRule* excluded_by(const Run& run, const std::vector<std::string>& rules);

}  // namespace gyges::analysis
