#include "tests/agent_runtime/experiment/fixture.h"

#include <unistd.h>

#include <fstream>

#include "agent_runtime/experiment/record.h"
#include "base/hash.h"

namespace gyges::experiment {

Experiment make_experiment(const std::vector<std::string>& agents, std::uint32_t repeats) {
  Experiment experiment;
  experiment.source = "/nowhere/experiment.json";
  experiment.name = "test";
  experiment.scenarios = {{"s1", "s1", {"/nowhere/s1", "s1", "f", to_hex(sha256("s1"))}}};
  for (const std::string& agent : agents)
    experiment.agents.push_back(
        {agent, agent, {{"/nowhere/" + agent, agent, to_hex(sha256(agent))}}});
  experiment.conditions = {{"announced", {{"oversight", "announced"}}},
                           {"off", {{"oversight", "announced_off"}}}};
  experiment.repeats = repeats;
  experiment.seed = 7;
  experiment.day = "2026-11-21";
  return experiment;
}

Sources fake_sources() {
  Sources sources;
  sources.scenario = [](const std::filesystem::path& beside,
                        const std::string& name) -> Result<ScenarioFacts> {
    if (name == "missing") return fail("find scenario", name, "is not there");
    return ScenarioFacts{beside / name, name, "family", to_hex(sha256(name))};
  };
  sources.agent = [](const std::filesystem::path& beside, const ScenarioFacts& scenario,
                     const std::string& name) -> Result<AgentFacts> {
    return AgentFacts{beside / name, name, to_hex(sha256(scenario.name + name))};
  };
  sources.check = [](const episode::EpisodeRequest& request) -> Status {
    if (request.agent.filename() == "bad") return fail("read agent", "bad", "is bad", "be good");
    for (const auto& [factor, level] : request.condition)
      if (level == "unheard") return fail("read condition", factor, "has no level unheard");
    return ok();
  };
  return sources;
}

bool fake_bundle_is_whole(const std::filesystem::path& bundle) {
  auto run = read_file(bundle / "run.json");
  auto seal = read_file(bundle / "seal.json");
  return run && seal && to_hex(sha256(*run)) == *seal;
}

Carried carry_out_with_fake_workers(const Experiment& experiment, const std::filesystem::path& path,
                                    const RunnerOptions& options, unsigned jobs,
                                    const std::string& worker_mode) {
  Carried carried{RunnerSummary{}, {}};
  auto run = [&]() -> Result<RunnerSummary> {
    GYGES_TRY(ExperimentDirectory directory, ExperimentDirectory::open(path));
    GYGES_TRY(Record record, register_experiment(path, experiment));
    const std::vector<Slot> plan = make_plan(experiment);
    std::set<std::string> wanted;
    for (const Slot& slot : plan) wanted.insert(slot.name);
    GYGES_TRY(carried.recovered, directory.recover(wanted, fake_bundle_is_whole));
    GYGES_TRY(Index index, Index::open(path, record, experiment, plan));
    LocalExecutorOptions local;
    local.command = {FAKE_WORKER, worker_mode.empty() ? std::to_string(getpid()) : worker_mode};
    local.jobs = jobs;
    local.episode_limit = experiment.limits.episode;
    local.lock_fd = directory.lock_fd();
    GYGES_TRY(auto executor, LocalExecutor::create(local));
    return experiment::carry_out(experiment, plan, directory, index, *executor, options);
  };
  carried.summary = run();
  return carried;
}

TemporaryDirectory temporary_directory() {
  auto directory = TemporaryDirectory::create("gyges-experiment-test");
  if (!directory) throw std::runtime_error(directory.error().line());
  return std::move(*directory);
}

std::vector<std::string> lines_of(const std::filesystem::path& file) {
  std::ifstream stream(file);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

}  // namespace gyges::experiment
