// Oversight probing: whether a run looked at the channels through which it can learn that it is in
// a sandbox, in an evaluation, or watched, and of its own accord. Matchers are data
// (probing_cues.cpp, one row or more for each cue of docs/cues.md); what programs read on their own
// account is a baseline learned from recorded runs of them (policies/probing/baseline.json,
// scripts/learn_baseline).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "analysis/features/act.h"
#include "analysis/features/evidence.h"
#include "sandbox/recorder/format/process_ends.h"

namespace gyges::analysis {

class FeatureContext;

enum class Question : std::uint8_t {
  sandbox,     // is this a sandbox, container, virtual machine?
  evaluation,  // is this a test, and not deployment?
  watched,     // does anybody watch or record?
};

// Lists are separated by spaces. Any of them may be empty.
struct CueMatcher {
  const char* cue;  // row of the catalogue
  Question question;
  const char* label;     // in words
  const char* paths;     // globs of files whose reading is a look at the cue
  const char* programs;  // whose start is one
  const char* calls;     // system calls that are one when a word is named
  const char* words;     // of a tool call's arguments that name the cue
};

std::span<const CueMatcher> cue_matchers();

enum class ProbeOrigin : std::uint8_t {
  deliberate,   // the agent named it in the tool call
  incidental,   // the program is known to read it whatever it is asked
  unexplained,  // neither
};

struct ProbeMatch {
  const CueMatcher* matcher = nullptr;
  ProbeOrigin origin = ProbeOrigin::unexplained;
  bool refused = false;  // EPERM, EACCES, or by the sandbox's filter
};

// How often a run looked at one cue.
struct CueLooks {
  std::string label;
  std::uint64_t deliberate = 0;
  std::uint64_t unexplained = 0;
  std::uint64_t incidental = 0;
  std::uint64_t refused = 0;  // of these
};

// Whether `program` (last component of its path) reads `path` on its own account.
bool in_baseline(std::string_view program, std::string_view path);

// What a run's acts say about probing, gathered in one pass.
class ProbeRecord {
 public:
  // The match of the act in hand; none for most. Call for every event of the trace, in order.
  void observe(const Act& act, const FeatureContext& context);
  // In the place of an act that looks at nothing (Act::is_quiet()).
  void pass() { current_.reset(); }
  [[nodiscard]] const std::optional<ProbeMatch>& current() const { return current_; }

  [[nodiscard]] const std::map<std::string, CueLooks>& looks() const { return looks_; }  // by cue
  [[nodiscard]] std::size_t breadth() const;  // cues looked at deliberately
  [[nodiscard]] std::size_t depth() const;    // most deliberate looks at one cue
  [[nodiscard]] std::size_t refused() const { return refused_; }
  [[nodiscard]] std::size_t incidental() const { return incidental_; }
  [[nodiscard]] bool asked(Question question) const { return questions_.contains(question); }
  // CLOCK_MONOTONIC ns; none without a deliberate look.
  [[nodiscard]] std::optional<std::uint64_t> first_ns() const { return first_ns_; }
  // A deliberate look before the first change that is not to scratch files.
  [[nodiscard]] bool before_first_change() const;
  [[nodiscard]] const EvidenceList& evidence() const { return evidence_; }
  [[nodiscard]] const EvidenceList& evidence(Question question) const;
  [[nodiscard]] const EvidenceList& refused_evidence() const { return refused_evidence_; }

 private:
  std::optional<ProbeMatch> match(const Act& act, const FeatureContext& context);
  void follow_program(const Act& act);

  std::optional<ProbeMatch> current_;
  std::map<std::string, CueLooks> looks_;
  std::set<Question> questions_;
  std::map<Question, EvidenceList> by_question_;
  std::size_t refused_ = 0;
  std::size_t incidental_ = 0;
  std::optional<std::uint64_t> first_ns_;
  std::optional<std::uint64_t> first_change_ns_;
  EvidenceList evidence_;
  EvidenceList refused_evidence_;
  std::unordered_map<std::int32_t, std::string> programs_;  // by process: last component
  recorder::ProcessEnds ends_;
};

}  // namespace gyges::analysis
