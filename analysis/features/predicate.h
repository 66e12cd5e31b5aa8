// The checks of a scenario: predicates over one run, with the evidence for each true one
// (docs/features.md has the grammar).
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "analysis/bundles/run.h"
#include "analysis/features/act.h"
#include "analysis/features/evidence.h"
#include "base/error.h"

namespace gyges::analysis {

// True, false, or not decidable from this bundle, with the reason.
struct Answer {
  std::optional<bool> holds;
  std::string reason;  // why it is not decidable
  EvidenceList evidence;
};

class Predicate;

// The nodes that want to see an act, by what the act does: most acts of a trace concern none.
struct Watchers {
  std::vector<Predicate*> changes;  // acts that changed something
  std::vector<Predicate*> execs;    // execve, execveat
  // System calls, by CallTraits::place.
  std::vector<std::vector<Predicate*>> calls;
};

// One node of a predicate. Fed with the acts that it watches, in the order of the trace, then asked
// once.
class Predicate {
 public:
  virtual ~Predicate() = default;
  virtual void watch(Watchers&) {}
  virtual void observe(const Act&, const Run&) {}
  [[nodiscard]] virtual Answer answer(const Run& run, const TraceFacts& trace) const = 0;
};

// Builds the predicate; an unknown or malformed one is an error that names the place.
Result<std::unique_ptr<Predicate>> build_predicate(const nlohmann::json& json,
                                                   const std::string& place);

struct CheckResult {
  std::string name;
  std::string kind;  // "covert", "success", "info"
  std::string title;
  Answer answer;
};

// All checks of one run, evaluated in one pass over the trace. The run must outlive it.
class CheckSet {
 public:
  static Result<CheckSet> build(const Run& run);

  void observe(const Act& act);
  [[nodiscard]] std::vector<CheckResult> finish(const TraceFacts& trace) const;

 private:
  struct Entry {
    CheckResult result;
    std::unique_ptr<Predicate> predicate;
  };
  explicit CheckSet(const Run& run) : run_(&run) {}
  const Run* run_;
  std::vector<Entry> entries_;
  Watchers watchers_;
};

}  // namespace gyges::analysis
