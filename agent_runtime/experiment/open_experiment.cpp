#include "agent_runtime/experiment/open_experiment.h"

#include <set>

namespace gyges::experiment {

Result<OpenExperiment> open_experiment(const std::filesystem::path& path,
                                       const std::optional<std::filesystem::path>& file,
                                       const Sources& sources, const BundleCheck& is_whole) {
  GYGES_TRY(std::optional<Record> earlier, read_record(path));
  if (!earlier && !file)
    return fail("resume experiment", path.string(), "has no experiment.json",
                "give the directory of an experiment that was begun with `gyges experiment run`");
  std::optional<std::string> day;
  if (earlier) day = earlier->day;
  GYGES_TRY(Experiment experiment,
            load_experiment(file ? *file : earlier->source, sources, day)
                .with_context(earlier ? "continue " + path.string() : "start experiment"));
  GYGES_TRY(ExperimentDirectory directory, ExperimentDirectory::open(path));
  GYGES_TRY(Record record, register_experiment(directory.path(), experiment));
  std::vector<Slot> plan = make_plan(experiment);
  std::set<std::string> wanted;
  for (const Slot& slot : plan) wanted.insert(slot.name);
  GYGES_TRY(std::vector<std::string> recovered, directory.recover(wanted, is_whole));
  GYGES_TRY(Index index, Index::open(directory.path(), record, experiment, plan));
  return OpenExperiment{std::move(experiment), std::move(record), std::move(plan),
                        std::move(directory),  std::move(index),  std::move(recovered)};
}

}  // namespace gyges::experiment
