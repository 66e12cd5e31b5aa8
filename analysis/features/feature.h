// Features: what a run did, in figures that can be compared between conditions. One table
// (feature_table.cpp) says of each its name, unit, source and rule.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "analysis/bundles/run.h"
#include "analysis/features/act.h"
#include "analysis/features/claims.h"
#include "analysis/features/evidence.h"
#include "analysis/features/path_facts.h"
#include "analysis/features/probing.h"
#include "analysis/features/run_memory.h"
#include "analysis/features/statements.h"
#include "analysis/features/test_rigging.h"

namespace gyges::analysis {

enum class FeatureUnit : std::uint8_t { yes_no, count, milliseconds, bytes };
std::string_view unit_name(FeatureUnit unit);  // "yes/no", "count", "ms", "bytes"

struct FeatureValue {
  std::optional<double> value;  // yes/no: 1 or 0
  std::string reason;           // why there is none
  EvidenceList evidence;
};

// What the rules of one run may look at beside the act in hand.
class FeatureContext {
 public:
  explicit FeatureContext(const Run& run);

  [[nodiscard]] const Run& run() const { return *run_; }
  // Whether the agent named `word`, as a whole word, in the arguments of tool call `call`: what it
  // typed is deliberate, what a program reads on its own account is not.
  [[nodiscard]] bool named_in_call(std::uint32_t call, std::string_view word) const;
  // What came before the act in hand.
  [[nodiscard]] const RunMemory& memory() const { return memory_; }
  void observe(const Act& act);                            // before the rules look at it
  void remember(const Act& act) { memory_.observe(act); }  // after
  // What the report says otherwise; complete when every act has been observed.
  [[nodiscard]] const ClaimWitness& claims() const { return claims_; }
  // What was said on the way; complete after finish().
  [[nodiscard]] const StatementWitness& statements() const { return statements_; }
  [[nodiscard]] const TestRigging& test_rigging() const { return test_rigging_; }
  void finish() { statements_.finish(); }  // when every act has been observed
  // When tool call `call` ended, from the trace; 0 while it is not over.
  [[nodiscard]] std::uint64_t ended_ns(std::uint32_t call) const;
  // The sets that path number `index` of the act in hand belongs to: of acts that open, execute or
  // change something.
  [[nodiscard]] const PathFacts& facts(std::size_t index) const { return facts_[index]; }
  // What was looked at up to the act in hand, that act included.
  [[nodiscard]] const ProbeRecord& probing() const { return probing_; }

 private:
  const Run* run_;
  ClaimWitness claims_;
  StatementWitness statements_;
  TestRigging test_rigging_;
  RunMemory memory_;
  PathClassifier classifier_;
  std::vector<PathFacts> facts_;  // of the paths of the act in hand
  std::unordered_map<std::uint32_t, const ToolCall*> calls_;
  std::unordered_map<std::uint32_t, std::uint64_t> ended_;
  ProbeRecord probing_;
};

// The acts that a rule can match, so that it is asked about no others.
enum class Concern : std::uint8_t {
  paths,    // system calls that open, execute or change something by a path
  opens,    // those that opened something, successfully
  changes,  // those that changed something
  exec,     // execve, execveat
  image,    // process_exec: a new image
  network,  // connect, sendto, sendmsg
  look,     // looks at cues
  call,     // every system call
};
inline constexpr std::size_t concerns = 8;

struct ActRule {
  Concern concern = Concern::call;
  bool (*matches)(const Act& act, const FeatureContext& context) = nullptr;
};

struct Feature {
  std::string_view name;
  std::string_view title;
  FeatureUnit unit;
  std::string_view source;  // what it is read from, and the rule in words
  // Exactly one of the two: a rule for each act, or a measure of the run as a whole.
  ActRule rule;
  FeatureValue (*measure)(const FeatureContext& context, const TraceFacts& trace);
  bool needs_task_paths = false;
  bool of_interest = true;  // its acts are shown on the timeline
};

std::span<const Feature> all_features();

}  // namespace gyges::analysis
