#include "agent_runtime/experiment/status.h"

#include <set>

#include "agent_runtime/experiment/index.h"
#include "agent_runtime/experiment/plan.h"
#include "agent_runtime/experiment/record.h"

namespace gyges::experiment {

Result<ExperimentStatus> experiment_status(const std::filesystem::path& directory) {
  GYGES_TRY(Experiment experiment, registered_experiment(directory));
  GYGES_TRY(std::optional<Record> record, read_record(directory));
  ExperimentStatus status;
  status.name = experiment.name;
  status.sha256 = record->sha256;
  status.registered_at = record->created_at;
  status.running = in_use(directory);
  std::map<std::string, ConditionStatus*> by_name;
  for (const Condition& condition : experiment.conditions)
    status.conditions.push_back({condition.id, 0, 0, {}, 0});
  for (ConditionStatus& condition : status.conditions) by_name[condition.condition] = &condition;
  GYGES_TRY(std::set<std::string> finished, finished_slots(directory));
  for (const Slot& slot : make_plan(experiment)) {
    ConditionStatus& condition = status.conditions[slot.condition];
    const bool is_finished = finished.contains(slot.name);
    ++condition.planned;
    ++status.planned;
    condition.finished += is_finished ? 1 : 0;
    status.finished += is_finished ? 1 : 0;
  }
  GYGES_TRY(auto counts, Index::exit_counts(directory));
  for (const Index::ExitCount& count : counts)
    if (auto found = by_name.find(count.condition); found != by_name.end()) {
      found->second->exits[count.exit_kind] += count.runs;
      found->second->lost += count.lost;
      status.indexed += count.runs;
    }
  GYGES_TRY(std::vector<FailedAttempt> attempts, failed_attempts(directory));
  for (FailedAttempt& attempt : attempts)
    if (!finished.contains(attempt.slot)) status.failures.push_back(std::move(attempt));
  return status;
}

}  // namespace gyges::experiment
