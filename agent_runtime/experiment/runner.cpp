#include "agent_runtime/experiment/runner.h"

#include <algorithm>
#include <deque>
#include <map>

#include "sandbox/recorder/format/run_record.h"

namespace gyges::experiment {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds pulse{200};

// When so many attempts have failed and no run has finished, the fault is not the runs'.
constexpr std::size_t hopeless_failures = 9;

struct Attempt {
  std::size_t slot = 0;  // index into the plan
  std::uint32_t number = 1;
};

const char* kind_name(Completion::Kind kind) {
  switch (kind) {
    case Completion::Kind::done:
      return "done";
    case Completion::Kind::failed:
      return "failed";
    case Completion::Kind::lost:
      return "lost";
    case Completion::Kind::overtime:
      return "overtime";
  }
  return "failed";
}

class Run {
 public:
  Run(const Experiment& experiment, const std::vector<Slot>& plan, ExperimentDirectory& directory,
      Index& index, Executor& executor, const RunnerOptions& options)
      : experiment_(experiment),
        plan_(plan),
        directory_(directory),
        index_(index),
        executor_(executor),
        options_(options) {}

  Result<RunnerSummary> carry_out() {
    GYGES_CHECK(prepare());
    report();
    while (!running_.empty() || (!waiting_.empty() && stop_ == StopRequest::none)) {
      ask_to_stop();
      if (stop_ == StopRequest::at_once) break;
      if (stop_ == StopRequest::none) GYGES_CHECK(submit());
      GYGES_TRY(std::optional<Completion> completion, executor_.wait(pulse));
      if (completion) GYGES_CHECK(take(*completion));
      report();
    }
    executor_.stop();
    for (const auto& [name, attempt] : running_) waiting_.push_front(attempt);
    running_.clear();
    report();
    return RunnerSummary{progress_, !waiting_.empty()};
  }

 private:
  Status prepare() {
    GYGES_TRY(std::set<std::string> finished, finished_slots(directory_.path()));
    for (const Condition& condition : experiment_.conditions) {
      ConditionProgress row;
      row.condition = condition.id;
      progress_.conditions.push_back(std::move(row));
    }
    progress_.planned = plan_.size();
    for (std::size_t i = 0; i < plan_.size(); ++i) {
      ConditionProgress& condition = progress_.conditions[plan_[i].condition];
      ++condition.planned;
      if (finished.contains(plan_[i].name)) {
        ++condition.finished;
        ++progress_.finished;
      } else {
        waiting_.push_back({i, 1});
      }
    }
    progress_.finished_before = progress_.finished;
    return ok();
  }

  Status submit() {
    while (!waiting_.empty() && running_.size() < executor_.capacity()) {
      Attempt attempt = waiting_.front();
      waiting_.pop_front();
      const Slot& slot = plan_[attempt.slot];
      GYGES_TRY(std::filesystem::path out, directory_.prepare(slot.name, attempt.number));
      Assignment assignment;
      assignment.slot = slot.name;
      assignment.request.scenario = experiment_.scenarios[slot.scenario].facts.directory;
      assignment.request.agent = experiment_.agents[slot.agent].facts[slot.scenario].file;
      assignment.request.condition = experiment_.conditions[slot.condition].levels;
      assignment.request.repeat = slot.repeat;
      assignment.request.seed = slot.seed;
      assignment.request.day = experiment_.day;
      assignment.request.out = std::move(out);
      if (experiment_.policy) assignment.request.policy = experiment_.policy->resolved;
      GYGES_CHECK(executor_.submit(assignment).with_context("run " + slot.name));
      running_.emplace(slot.name, attempt);
    }
    return ok();
  }

  Status take(const Completion& completion) {
    auto found = running_.find(completion.slot);
    if (found == running_.end())
      return fail("take result", completion.slot, "the run was not in progress",
                  "report this as a defect");
    Attempt attempt = found->second;
    running_.erase(found);
    ConditionProgress& condition = progress_.conditions[plan_[attempt.slot].condition];
    if (completion.kind != Completion::Kind::done) return take_failure(completion, attempt);
    GYGES_CHECK(directory_.finish(completion.slot, attempt.number));
    GYGES_CHECK(index_.add_run(completion.slot));
    ++condition.finished;
    ++progress_.finished;
    if (completion.outcome.exit_kind == "error") {
      ++progress_.ended_in_error;
      progress_.last_failure = completion.slot + ": " + completion.outcome.exit_reason;
    }
    progress_.lost_events += completion.outcome.lost;
    return ok();
  }

  Status take_failure(const Completion& completion, const Attempt& attempt) {
    FailedAttempt failure{completion.slot, attempt.number, recorder::utc_timestamp(),
                          kind_name(completion.kind), completion.detail};
    GYGES_CHECK(directory_.discard(failure));
    GYGES_CHECK(index_.add_attempt(failure));
    progress_.last_failure = completion.slot + ": " + completion.detail;
    if (attempt.number < experiment_.limits.attempts) {
      ++progress_.retried;
      // Soon, so that the run stays close in time to the ones it is compared with.
      waiting_.push_front({attempt.slot, attempt.number + 1});
    } else {
      ++progress_.failed;
      ++progress_.conditions[plan_[attempt.slot].condition].failed;
    }
    ++failures_;
    if (failures_ >= hopeless_failures && progress_.finished == progress_.finished_before)
      return fail("run experiment", directory_.path().string(),
                  "the first " + std::to_string(failures_) +
                      " attempts all failed; the last: " + progress_.last_failure,
                  "correct the cause and resume");
    return ok();
  }

  void ask_to_stop() {
    if (!options_.stop) return;
    StopRequest asked = options_.stop();
    if (asked != StopRequest::none && stop_ == StopRequest::none) {
      asked_at_ = Clock::now();
      withdraw();
    }
    if (stop_ == StopRequest::none || asked == StopRequest::at_once) stop_ = asked;
    if (stop_ == StopRequest::finish_running && Clock::now() - asked_at_ >= options_.patience)
      stop_ = StopRequest::at_once;
  }

  void withdraw() {
    for (const std::string& slot : executor_.withdraw()) {
      auto found = running_.find(slot);
      if (found == running_.end()) continue;
      waiting_.push_front(found->second);
      running_.erase(found);
    }
  }

  void report() {
    progress_.queued = std::min(executor_.queued(), running_.size());
    progress_.running = running_.size() - progress_.queued;
    progress_.elapsed = Clock::now() - started_;
    if (options_.report) options_.report(progress_);
  }

  const Experiment& experiment_;
  const std::vector<Slot>& plan_;
  ExperimentDirectory& directory_;
  Index& index_;
  Executor& executor_;
  const RunnerOptions& options_;

  std::deque<Attempt> waiting_;
  std::map<std::string, Attempt> running_;
  Progress progress_;
  std::size_t failures_ = 0;
  StopRequest stop_ = StopRequest::none;
  Clock::time_point asked_at_;
  Clock::time_point started_ = Clock::now();
};

}  // namespace

Result<RunnerSummary> carry_out(const Experiment& experiment, const std::vector<Slot>& plan,
                                ExperimentDirectory& directory, Index& index, Executor& executor,
                                const RunnerOptions& options) {
  Run run(experiment, plan, directory, index, executor, options);
  auto summary = run.carry_out();
  // On an error, too, nothing may go on running behind the caller's back.
  executor.stop();
  return summary;
}

}  // namespace gyges::experiment
