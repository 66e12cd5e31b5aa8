#include "tests/agent_runtime/experiment/slurm_disturbance.h"

#include <csignal>

#include "agent_runtime/experiment/command_output.h"
#include "agent_runtime/experiment/slurm_batch.h"
#include "agent_runtime/experiment/slurm_commands.h"
#include "base/files.h"

namespace gyges::experiment {
namespace {

namespace fs = std::filesystem;

bool succeeds(const std::vector<std::string>& argv) {
  auto done = run_command(argv);
  return done && done->status == 0;
}

std::string name_of(const SlurmTask& task) {
  return task.first + "_" + std::to_string(task.second);
}

}  // namespace

void SlurmDisturbance::strike() {
  hasten();
  if (turn_ % 3 == 2) {
    kill_a_worker();
    ++turn_;
    return;
  }
  const std::string task = running_task();
  if (task.empty()) return;
  if (turn_ % 3 == 0) {
    cancelled += succeeds({"scancel", task}) ? 1 : 0;
  } else if (succeeds({"scontrol", "requeue", task})) {
    ++requeued;
    held_.push_back(task);
  }
  ++turn_;
}

// Slurm holds a requeued task back for two minutes, lest its node was at fault. A node refuses what
// was granted in the second in which it ended the task before: hence the four.
void SlurmDisturbance::hasten() {
  std::erase_if(held_, [](const std::string& task) {
    auto shown = run_command({"squeue", "--noheader", "--array", "--job=" + task, "--format=%T"});
    if (shown && shown->status == 0 && shown->out.rfind("PENDING", 0) != 0)
      return shown->out.rfind("COMPLETING", 0) != 0 && shown->out.rfind("REQUEUE", 0) != 0;
    return succeeds({"scontrol", "update", "JobId=" + task, "StartTime=now+4"});
  });
}

std::string SlurmDisturbance::running_task() {
  auto jobs = slurm_jobs_of(directory_);
  if (!jobs || jobs->empty()) return {};
  auto tasks = slurm_tasks(*jobs);
  if (!tasks) return {};
  std::vector<std::string> running;
  for (const auto& [task, state] : *tasks)
    if (state == "RUNNING") running.push_back(name_of(task));
  return running.empty() ? std::string() : running[random_() % running.size()];
}

void SlurmDisturbance::kill_a_worker() {
  const std::string batches = (directory_ / "slurm").string();
  std::vector<pid_t> workers;
  std::error_code error;
  for (fs::directory_iterator entry("/proc", error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    auto command = read_file(entry->path() / "cmdline");
    if (command && command->find("--slurm-batch") != std::string::npos &&
        command->find(batches) != std::string::npos)
      workers.push_back(std::stoi(name));
  }
  if (!workers.empty() && kill(workers[random_() % workers.size()], SIGKILL) == 0) ++killed;
}

}  // namespace gyges::experiment
