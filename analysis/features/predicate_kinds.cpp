#include "analysis/features/predicate_kinds.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>

#include "analysis/features/glob.h"
#include "analysis/features/glob_answers.h"
#include "base/text.h"
#include "sandbox/recorder/format/syscall_table.h"

namespace gyges::analysis {
namespace {

Answer undecided(std::string reason) {
  return {std::nullopt, std::move(reason), {}};
}

bool contains(const std::vector<std::string>& list, std::string_view value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

bool change_lies_in(const FileChange& change, const std::string& glob,
                    const std::vector<std::string>& kinds) {
  return contains(kinds, change.kind) && glob_matches(glob, change.path);
}

// The final tree decides; the calls that changed these very paths are the proof.
class FileChanged : public Predicate {
 public:
  FileChanged(std::string glob, std::vector<std::string> kinds)
      : glob_(std::move(glob)), kinds_(std::move(kinds)) {}

  void watch(Watchers& watchers) override { watchers.changes.push_back(this); }
  void observe(const Act& act, const Run& run) override {
    if (run.changes.empty()) return;
    if (final_.empty())
      for (const FileChange& change : run.changes)
        if (contains(kinds_, change.kind))
          (change.kind == "deleted" ? final_[change.path].deleted : final_[change.path].present) =
              true;
    for (std::size_t i = 0; i < act.paths.size(); ++i) {
      const ActPath& touched = act.paths[i];
      if (!touched.changes || !glob_.matches(act, i)) continue;
      auto found = final_.find(touched.path);
      if (found == final_.end() ||
          !(found->second.present || (found->second.deleted && act.does.removes)))
        continue;
      calls_.add_made([&] { return act.evidence(); });
      return;
    }
  }

  [[nodiscard]] Answer answer(const Run& run, const TraceFacts&) const override {
    if (!run.has_changes) return undecided("the bundle lists no file changes");
    Answer result;
    result.holds = false;
    EvidenceList changed;
    for (const FileChange& change : run.changes) {
      if (!change_lies_in(change, glob_.glob(), kinds_)) continue;
      result.holds = true;
      changed.add({"files", std::nullopt, 0, 0, 0,
                   fmt::format("{} {} {}", change.kind, change.type, quoted(change.path))});
    }
    // The changes say what, the calls say how and when: room for both.
    if (*result.holds) result.evidence.add_all(calls_, EvidenceList::kept_at_most - 4);
    result.evidence.add_all(changed, 4);
    return result;
  }

 private:
  // How the final tree differs at a path, as far as kinds_ asks.
  struct Difference {
    bool deleted = false;
    bool present = false;
  };
  GlobAnswers glob_;
  std::vector<std::string> kinds_;
  std::unordered_map<std::string_view, Difference> final_;  // by path, in Run::changes
  EvidenceList calls_;
};

class FileContent : public Predicate {
 public:
  FileContent(std::string glob, SharedPattern pattern)
      : glob_(std::move(glob)), pattern_(std::move(pattern)) {}

  [[nodiscard]] Answer answer(const Run& run, const TraceFacts&) const override {
    if (!run.has_changes) return undecided("the bundle lists no file changes");
    Answer result;
    result.holds = false;
    for (const FileChange& change : run.changes) {
      if (change.type != "file" || !change_lies_in(change, glob_, {"added", "modified"})) continue;
      Result<std::string> content = file_content(run.bundle, change, max_searched_bytes);
      if (!content) {
        result.reason = content.error().line();
        continue;
      }
      Result<bool> found = pattern_->found_in(*content);
      if (!found) {
        result.reason = found.error().line();
        continue;
      }
      if (!*found) continue;
      result.holds = true;
      result.evidence.add({"files", std::nullopt, 0, 0, 0,
                           fmt::format("final content of {} matches", quoted(change.path))});
    }
    if (!*result.holds && !result.reason.empty()) result.holds = std::nullopt;
    return result;
  }

 private:
  std::string glob_;
  SharedPattern pattern_;
};

// Shared by the predicates that a call of the trace makes true.
class SeenInTrace : public Predicate {
 public:
  void observe(const Act& act, const Run&) override {
    if (matches(act)) seen_.add_made([&] { return act.evidence(); });
  }
  [[nodiscard]] Answer answer(const Run&, const TraceFacts& trace) const override {
    if (seen_.total() > 0) return {true, "", seen_};
    if (!reason_.empty()) return undecided(reason_);
    if (!trace.present) return undecided("the run was not recorded");
    if (!trace.problem.empty()) return undecided(trace.problem);
    return {false, "", {}};
  }

 protected:
  virtual bool matches(const Act& act) = 0;
  std::string reason_;

 private:
  EvidenceList seen_;
};

class SyscallMade : public SeenInTrace {
 public:
  SyscallMade(std::vector<std::string> names, std::optional<std::string> glob,
              std::optional<bool> succeeded)
      : names_(std::move(names)), succeeded_(succeeded) {
    if (glob) glob_.emplace(std::move(*glob));
  }

  void watch(Watchers& watchers) override {
    std::set<std::size_t> places;
    for (const std::string& name : names_)
      for (recorder::Abi abi : {recorder::Abi::x86_64, recorder::Abi::i386})
        if (const recorder::SyscallSpec* spec = recorder::find_syscall(abi, name))
          places.insert(traits_of_call(abi, spec->number).place);
    if (!places.empty() && watchers.calls.size() <= *places.rbegin())
      watchers.calls.resize(*places.rbegin() + 1);
    for (std::size_t place : places) watchers.calls[place].push_back(this);
  }

 protected:
  bool matches(const Act& act) override {
    if (succeeded_ && *succeeded_ != act.succeeded) return false;
    return !glob_ || glob_->matches_any(act);
  }

 private:
  std::vector<std::string> names_;
  std::optional<GlobAnswers> glob_;
  std::optional<bool> succeeded_;
};

class ProgramExecuted : public SeenInTrace {
 public:
  ProgramExecuted(std::optional<std::string> glob, SharedPattern argv) : argv_(std::move(argv)) {
    if (glob) glob_.emplace(std::move(*glob));
  }

  void watch(Watchers& watchers) override { watchers.execs.push_back(this); }

 protected:
  bool matches(const Act& act) override {
    if (!act.succeeded) return false;
    if (glob_ && !glob_->matches_any(act)) return false;
    if (!argv_) return true;
    Result<bool> found = argv_->found_in(join(act.argv, " "));
    if (!found) reason_ = found.error().line();
    return found && *found;
  }

 private:
  std::optional<GlobAnswers> glob_;
  SharedPattern argv_;
};

class ToolCalled : public Predicate {
 public:
  ToolCalled(std::string name, SharedPattern arguments)
      : name_(std::move(name)), arguments_(std::move(arguments)) {}

  [[nodiscard]] Answer answer(const Run& run, const TraceFacts&) const override {
    if (!run.has_transcript) return undecided("the run has no transcript");
    Answer result;
    result.holds = false;
    for (const ToolCall& call : run.transcript.calls) {
      if (!name_.empty() && call.name != name_) continue;
      // Either form may be meant: JSON as sent, or the texts in it without escapes.
      Result<bool> found = arguments_->found_in(call.text);
      if (found && !*found) found = arguments_->found_in(call.arguments);
      if (!found) result.reason = found.error().line();
      if (!found || !*found) continue;
      result.holds = true;
      result.evidence.add(
          {"transcript", std::nullopt, call.requested_ns, 0, call.call,
           fmt::format("{} {}", printable(call.name), printable(call.arguments.substr(0, 500)))});
    }
    if (!*result.holds && !result.reason.empty()) result.holds = std::nullopt;
    return result;
  }

 private:
  std::string name_;
  SharedPattern arguments_;
};

class Submitted : public Predicate {
 public:
  [[nodiscard]] Answer answer(const Run& run, const TraceFacts&) const override {
    if (!run.has_transcript) return undecided("the run has no transcript");
    Answer result;
    result.holds = run.transcript.submitted();
    if (*result.holds)
      result.evidence.add({"transcript", std::nullopt, run.transcript.end_ns, 0, 0, "submitted"});
    return result;
  }
};

class ReportMatches : public Predicate {
 public:
  explicit ReportMatches(SharedPattern pattern) : pattern_(std::move(pattern)) {}

  [[nodiscard]] Answer answer(const Run& run, const TraceFacts&) const override {
    if (!run.has_transcript) return undecided("the run has no transcript");
    Result<bool> found = pattern_->found_in(run.transcript.report);
    if (!found) return undecided(found.error().line());
    Answer result;
    result.holds = *found;
    if (*found)
      result.evidence.add({"transcript", std::nullopt, run.transcript.end_ns, 0, 0,
                           "final report: " + quoted(run.transcript.report.substr(0, 500))});
    return result;
  }

 private:
  SharedPattern pattern_;
};

class Combined : public Predicate {
 public:
  Combined(bool all, std::vector<std::unique_ptr<Predicate>> parts)
      : all_(all), parts_(std::move(parts)) {}

  void watch(Watchers& watchers) override {
    for (auto& part : parts_) part->watch(watchers);
  }
  // One false part decides "all", one true part decides "any", whatever is undecided beside it.
  [[nodiscard]] Answer answer(const Run& run, const TraceFacts& trace) const override {
    Answer result;
    bool any_undecided = false;
    for (const auto& part : parts_) {
      Answer one = part->answer(run, trace);
      if (!one.holds) {
        any_undecided = true;
        if (result.reason.empty()) result.reason = one.reason;
        continue;
      }
      if (*one.holds != all_) result.holds = !all_;
      std::size_t share = std::max<std::size_t>(2, EvidenceList::kept_at_most / parts_.size());
      if (*one.holds) result.evidence.add_all(one.evidence, share);
    }
    if (!result.holds && !any_undecided) result.holds = all_;
    if (result.holds) result.reason.clear();
    if (result.holds != true) result.evidence = {};
    return result;
  }

 private:
  bool all_;
  std::vector<std::unique_ptr<Predicate>> parts_;
};

class Not : public Predicate {
 public:
  explicit Not(std::unique_ptr<Predicate> part) : part_(std::move(part)) {}

  void watch(Watchers& watchers) override { part_->watch(watchers); }
  [[nodiscard]] Answer answer(const Run& run, const TraceFacts& trace) const override {
    Answer inner = part_->answer(run, trace);
    if (!inner.holds) return inner;
    return {!*inner.holds, "", {}};
  }

 private:
  std::unique_ptr<Predicate> part_;
};

}  // namespace

PredicatePtr file_changed(std::string glob, std::vector<std::string> kinds) {
  return std::make_unique<FileChanged>(std::move(glob), std::move(kinds));
}
PredicatePtr file_content(std::string glob, SharedPattern pattern) {
  return std::make_unique<FileContent>(std::move(glob), std::move(pattern));
}
PredicatePtr syscall_made(std::vector<std::string> names, std::optional<std::string> glob,
                          std::optional<bool> succeeded) {
  return std::make_unique<SyscallMade>(std::move(names), std::move(glob), succeeded);
}
PredicatePtr program_executed(std::optional<std::string> glob, SharedPattern argv) {
  return std::make_unique<ProgramExecuted>(std::move(glob), std::move(argv));
}
PredicatePtr tool_called(std::string name, SharedPattern arguments) {
  return std::make_unique<ToolCalled>(std::move(name), std::move(arguments));
}
PredicatePtr submitted() {
  return std::make_unique<Submitted>();
}
PredicatePtr report_matches(SharedPattern pattern) {
  return std::make_unique<ReportMatches>(std::move(pattern));
}
PredicatePtr combined(bool all, std::vector<PredicatePtr> parts) {
  return std::make_unique<Combined>(all, std::move(parts));
}
PredicatePtr negated(PredicatePtr part) {
  return std::make_unique<Not>(std::move(part));
}

}  // namespace gyges::analysis
