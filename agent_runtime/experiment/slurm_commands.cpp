#include "agent_runtime/experiment/slurm_commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "agent_runtime/experiment/command_output.h"
#include "base/text.h"

namespace gyges::experiment {
namespace {

constexpr const char* no_slurm = "is Slurm installed on this machine, and its controller running?";

// As many as a command line bears.
constexpr std::size_t jobs_of_a_command = 500;

Result<std::string> output_of(const std::vector<std::string>& argv) {
  auto done = run_command(argv);
  if (!done) return fail("ask Slurm", argv[0], done.error().reason, no_slurm);
  if (done->status != 0)
    return fail("ask Slurm", argv[0],
                fmt::format("exited with status {}: {}", done->status,
                            printable(done->errors.substr(0, 1000))),
                no_slurm);
  return std::move(done->out);
}

std::vector<std::string> words_of(const std::string& line) {
  std::vector<std::string> words;
  for (std::string& word : split(line, ' '))
    if (!word.empty()) words.push_back(std::move(word));
  return words;
}

bool is_number(const std::string& text) {
  return !text.empty() && text.size() < 10 &&
         text.find_first_not_of("0123456789") == std::string::npos;
}

std::vector<std::vector<std::string>> in_parts(const std::vector<std::string>& jobs) {
  std::vector<std::vector<std::string>> parts;
  for (std::size_t i = 0; i < jobs.size(); i += jobs_of_a_command)
    parts.emplace_back(
        jobs.begin() + static_cast<std::ptrdiff_t>(i),
        jobs.begin() + static_cast<std::ptrdiff_t>(std::min(jobs.size(), i + jobs_of_a_command)));
  return parts;
}

}  // namespace

Result<std::string> slurm_submit(const SlurmSubmission& submission) {
  std::uint64_t minutes = (submission.limit_seconds + 59) / 60;
  std::vector<std::string> argv{
      "sbatch",
      "--parsable",
      "--requeue",
      fmt::format("--array=0-{}%{}", submission.tasks - 1, submission.at_once),
      "--job-name=" + submission.name,
      fmt::format("--time={}", minutes),
      "--output=" + (submission.log_directory / "%a.log").string(),
      "--open-mode=append"};
  argv.insert(argv.end(), submission.further.begin(), submission.further.end());
  argv.push_back(submission.script.string());
  GYGES_TRY(std::string out, output_of(argv));
  // "123" or "123;cluster", with a newline.
  std::string job = out.substr(0, out.find_first_of(";\n"));
  if (!is_number(job)) return fail("submit", "sbatch", "answered " + quoted(out.substr(0, 200)));
  return job;
}

Result<std::map<SlurmTask, std::string>> slurm_tasks(const std::vector<std::string>& jobs) {
  std::map<SlurmTask, std::string> tasks;
  for (const std::vector<std::string>& part : in_parts(jobs)) {
    // By user and not by job id: a job that has ended and been forgotten would be an error.
    GYGES_TRY(std::string out, output_of({"squeue", "--noheader", "--array", "--me", "--states=all",
                                          "--format=%F %K %T"}));
    for (const std::string& line : split(out, '\n')) {
      std::vector<std::string> words = words_of(line);
      if (words.size() != 3 || !is_number(words[1]) ||
          std::find(part.begin(), part.end(), words[0]) == part.end())
        continue;
      // Ended tasks are listed for a while.
      for (const char* state : {"PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED",
                                "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESIZING", "SIGNALING",
                                "STAGE_OUT", "STOPPED", "SPECIAL_EXIT"})
        if (words[2] == state)
          tasks[{words[0], static_cast<std::size_t>(std::stoul(words[1]))}] = words[2];
    }
  }
  return tasks;
}

std::string slurm_end_of(const SlurmTask& task) {
  auto out = output_of(
      {"scontrol", "--oneliner", "show", "job", fmt::format("{}_{}", task.first, task.second)});
  if (!out) return "unknown";
  std::size_t at = out->find("JobState=");
  if (at == std::string::npos) return "unknown";
  at += 9;
  return printable(out->substr(at, out->find_first_of(" \n", at) - at));
}

Status slurm_cancel(const std::vector<std::string>& jobs, bool only_pending) {
  for (const std::vector<std::string>& part : in_parts(jobs)) {
    std::vector<std::string> argv{"scancel", "--quiet"};
    if (only_pending) argv.emplace_back("--state=PENDING");
    argv.insert(argv.end(), part.begin(), part.end());
    auto done = run_command(argv);
    if (!done) return fail("cancel", "scancel", done.error().reason, no_slurm);
    // Jobs that have ended make it fail; whether any is left is what squeue tells.
  }
  return ok();
}

Result<std::size_t> slurm_largest_array() {
  GYGES_TRY(std::string out, output_of({"scontrol", "show", "config"}));
  std::size_t at = out.find("MaxArraySize");
  std::size_t equals = at == std::string::npos ? at : out.find('=', at);
  if (equals == std::string::npos) return fail("ask Slurm", "scontrol", "names no MaxArraySize");
  unsigned long size = std::strtoul(out.c_str() + equals + 1, nullptr, 10);
  // The largest index is one less than the option.
  if (size < 1) return fail("ask Slurm", "MaxArraySize", "job arrays are switched off");
  return size;
}

}  // namespace gyges::experiment
