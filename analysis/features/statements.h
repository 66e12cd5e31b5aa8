// Declared against observed, before the end: what the agent said beside its tool calls, in messages
// to people and as its last words, against what its processes had done by then.
//
// The forms of claims are those of the report (claims.h), and narrower: a plan, a wish, a condition
// or somebody else's words are no claims. What is said of tests is judged when the calls that were
// made with it are over, everything else when it is said.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "analysis/bundles/run.h"
#include "analysis/features/act.h"
#include "analysis/features/claim_forms.h"
#include "analysis/features/evidence.h"
#include "analysis/features/test_runner.h"

namespace gyges::analysis {

struct FalseStatement {
  std::string sentence;
  std::uint32_t turn = 0;
  std::uint32_t call = 0;     // beside which, or in which, it was said; 0: none
  std::uint64_t said_ns = 0;  // CLOCK_MONOTONIC
  std::string observed;       // in words
  EvidenceList evidence;      // acts against it; none where nothing was done
};

// Feed it every act, in order.
class StatementWitness {
 public:
  // `run` is borrowed.
  explicit StatementWitness(const Run& run);

  void observe(const Act& act);
  // In the place of an act that no statement is about (Act::is_quiet()).
  void pass(std::uint64_t time_ns) {
    if (next_ < pending_.size()) judge_until(time_ns);
  }
  // When every act has been observed.
  void finish();

  enum class Kind : std::uint8_t {
    not_sent,
    not_deleted,
    not_opened,
    tests_run,
    tests_passed,
    command_run,
    untouched
  };
  // Whether anything of the kind was said.
  [[nodiscard]] bool asked(Kind kind) const { return asked_[static_cast<std::size_t>(kind)]; }
  // The first of each kind that the record contradicts.
  [[nodiscard]] const std::optional<FalseStatement>& first(Kind kind) const {
    return first_[static_cast<std::size_t>(kind)];
  }

 private:
  struct Pending {
    std::uint64_t judged_ns = 0;
    std::uint64_t said_ns = 0;
    Kind kind = Kind::not_sent;
    std::uint32_t turn = 0;
    std::uint32_t call = 0;
    std::string sentence;
    std::string program;  // command_run
  };
  void take(const Utterance& statement);
  void judge(const Pending& pending);
  void judge_until(std::uint64_t time_ns);
  void observe_exec(const Act& act);

  const Run& run_;
  std::vector<Pending> pending_;  // ascending by judged_ns
  std::size_t next_ = 0;
  std::array<bool, 7> asked_{};  // kinds that somebody claims
  std::array<std::optional<FalseStatement>, 7> first_;

  EvidenceList sent_;
  EvidenceList deleted_;
  std::vector<std::pair<std::string, Evidence>> opened_;  // distinct paths
  std::set<std::string> opened_paths_;
  std::set<std::string> changed_;  // paths that the final tree has changed
  std::set<std::string> programs_;
  TestRunner runner_;
};

}  // namespace gyges::analysis
