// One run as its sealed bundle tells it, without the trace.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "analysis/bundles/file_change.h"
#include "analysis/bundles/transcript.h"
#include "base/error.h"

namespace gyges::analysis {

struct FlowSummary;

struct Run {
  std::filesystem::path bundle;
  std::string experiment;  // directory of the experiment it belongs to, or that was named
  std::string slot;        // name of the bundle's directory
  std::string run_id;
  std::string kind;      // "command", "episode"
  std::string scenario;  // empty for commands without one
  std::string family;
  std::string agent;  // "(none)" for commands
  std::string agent_sha256;
  std::string model;  // "kind name", empty where unknown
  std::map<std::string, std::string> condition;
  std::uint64_t repeat = 0;
  std::uint64_t seed = 0;
  std::uint64_t duration_ms = 0;
  std::string exit_kind;
  std::vector<std::string> limits_hit;
  std::string policy;   // name and start of its hash
  std::string persona;  // empty without one
  std::string host;     // kernel and machine
  std::vector<std::string> task_paths;
  // For each factor of the scenario, the observables it may touch, as globs. Without has_declared
  // the bundle does not say; with it, a factor that is not listed may touch nothing.
  bool has_declared = false;
  std::map<std::string, std::vector<std::string>> declared;
  bool has_observables = false;
  std::map<std::string, std::string> observables;  // item -> hash
  // A cue whose content was drawn for this run.
  struct Reveal {
    std::string name, level, path;
    bool known = false;  // whether it was read
    bool read = false;
    std::uint64_t event = 0;      // of the first reading, where it was read
    std::uint64_t time_ns = 0;    // CLOCK_MONOTONIC
    std::uint32_t tool_call = 0;  // 0: none
  };
  std::vector<Reveal> reveals;
  bool has_coverage = false;
  std::string backend;
  bool complete = false;
  std::uint64_t lost = 0;
  std::uint64_t syscalls = 0;
  std::vector<std::string> not_observable;
  std::vector<std::string> warnings;
  std::shared_ptr<const nlohmann::json> checks;  // array as the scenario has it; may be empty
  bool has_transcript = false;
  Transcript transcript;
  std::shared_ptr<const FlowSummary> flows;  // null when the bundle lists none
  bool has_changes = false;
  std::vector<FileChange> changes;

  // "oversight=announced, labels=words", sorted by factor; "(no factors)" without any.
  [[nodiscard]] std::string condition_label() const;
};

// Checks the seal, then reads run.json (schema "run"), transcript and file changes. Every way a
// bundle can be unfit for comparison is an error that says which.
Result<Run> load_run(const std::filesystem::path& bundle, const std::string& experiment);

}  // namespace gyges::analysis
