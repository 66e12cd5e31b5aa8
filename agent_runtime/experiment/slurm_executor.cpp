#include "agent_runtime/experiment/slurm_executor.h"

#include <algorithm>
#include <deque>
#include <map>
#include <thread>
#include <utility>

#include "agent_runtime/experiment/slurm_batch.h"
#include "agent_runtime/experiment/slurm_commands.h"

namespace gyges::experiment {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::minutes patience_with_slurm{10};
constexpr std::chrono::seconds patience_with_ending_tasks{60};

Status wait_until_gone(const std::vector<std::string>& jobs) {
  const Clock::time_point give_up = Clock::now() + patience_with_ending_tasks;
  while (true) {
    GYGES_TRY(auto tasks, slurm_tasks(jobs));
    if (tasks.empty()) return ok();
    if (Clock::now() >= give_up)
      return fail("end jobs", tasks.begin()->first.first,
                  "its tasks are still there a minute after they were cancelled",
                  "see squeue, and resume when they are gone");
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
}

bool is_running(const std::string& state) {
  return state == "RUNNING" || state == "COMPLETING";
}

}  // namespace

struct SlurmExecutor::State {
  struct Task {
    std::string job;
    std::size_t number = 0;
    std::size_t batch = 0;
    std::vector<Assignment> left;  // without an answer, in order
    std::uint64_t read = 0;        // bytes of its answers
    bool begun = false;            // it has said something
    bool running = false;          // it has, or Slurm says so; no more once it is requeued
    Clock::time_point missed{};    // when Slurm first did not list it any more; 0: it does
  };
  struct Batch {
    SlurmBatch files;
    std::size_t tasks = 0;  // that have not ended
    bool keep = false;      // a task failed: its log may be wanted
  };

  SlurmExecutorOptions options;
  std::size_t largest_array = 1;
  std::deque<Assignment> waiting;  // not yet with Slurm
  std::vector<Batch> batches;
  std::vector<Task> tasks;
  std::deque<Completion> completed;
  Clock::time_point asked{};
  Clock::time_point looked{};
  Clock::time_point answered = Clock::now();  // when Slurm last did

  [[nodiscard]] std::vector<std::string> jobs() const {
    std::vector<std::string> jobs;
    for (const Task& task : tasks)
      if (std::find(jobs.begin(), jobs.end(), task.job) == jobs.end()) jobs.push_back(task.job);
    return jobs;
  }

  [[nodiscard]] std::size_t in_flight() const {
    std::size_t count = waiting.size();
    for (const Task& task : tasks) count += task.left.size();
    return count;
  }

  Status send_waiting() {
    while (!waiting.empty()) {
      std::vector<std::vector<Assignment>> parts;
      while (!waiting.empty() && parts.size() < largest_array) {
        std::vector<Assignment>& part = parts.emplace_back();
        while (!waiting.empty() && part.size() < options.runs_of_a_task) {
          part.push_back(std::move(waiting.front()));
          waiting.pop_front();
        }
      }
      GYGES_CHECK(send(std::move(parts)));
    }
    return ok();
  }

  Status send(std::vector<std::vector<Assignment>> parts) {
    GYGES_TRY(SlurmBatch files, SlurmBatch::create(options.directory, parts, options.command));
    SlurmSubmission submission;
    submission.script = files.script();
    submission.log_directory = files.logs();
    submission.name = options.name;
    submission.tasks = parts.size();
    submission.at_once = options.jobs;
    submission.further = options.options;
    // For starting and sealing on a slow node.
    constexpr std::uint64_t besides_seconds = 120;
    submission.limit_seconds =
        besides_seconds + static_cast<std::uint64_t>(options.episode_limit.count() / 1000 + 1) *
                              options.runs_of_a_task;
    GYGES_TRY(std::string job, slurm_submit(submission));
    GYGES_CHECK(note_slurm_job(options.directory, job));
    batches.push_back({std::move(files), parts.size(), false});
    for (std::size_t i = 0; i < parts.size(); ++i)
      tasks.push_back({job, i, batches.size() - 1, std::move(parts[i]), 0, false, false, {}});
    return ok();
  }

  // Takes what tasks have said.
  Status look() {
    looked = Clock::now();
    for (Task& task : tasks) GYGES_CHECK(listen(task));
    drop_ended();
    return ok();
  }

  Status listen(Task& task) {
    if (task.left.empty()) return ok();
    GYGES_TRY(auto messages, batches[task.batch].files.answers(task.number, task.read));
    for (WorkerMessage& message : messages) {
      task.begun = true;
      task.running = true;
      if (auto* refused = std::get_if<WorkerRefused>(&message))
        return tl::unexpected<Error>(std::move(refused->error));
      if (auto* done = std::get_if<RunDone>(&message))
        complete(task, {done->slot, Completion::Kind::done, done->outcome, {}});
      if (auto* failed = std::get_if<RunFailed>(&message))
        complete(task, {failed->slot, Completion::Kind::failed, {}, failed->error.line()});
    }
    return ok();
  }

  void complete(Task& task, Completion completion) {
    auto found = std::find_if(task.left.begin(), task.left.end(),
                              [&](const Assignment& one) { return one.slot == completion.slot; });
    // A requeued task may say twice what it said already.
    if (found == task.left.end()) return;
    task.left.erase(found);
    completed.push_back(std::move(completion));
  }

  void drop_ended() {
    for (std::size_t i = 0; i < tasks.size();) {
      if (!tasks[i].left.empty()) {
        ++i;
        continue;
      }
      Batch& batch = batches[tasks[i].batch];
      if (--batch.tasks == 0 && !batch.keep) batch.files.remove();
      std::swap(tasks[i], tasks.back());
      tasks.pop_back();
    }
  }

  // Finds tasks that have ended without answering for all their runs.
  Status ask() {
    asked = Clock::now();
    auto listed = slurm_tasks(jobs());
    if (!listed) {
      if (Clock::now() - answered < patience_with_slurm) return ok();
      return tl::unexpected<Error>(std::move(listed.error()));
    }
    answered = Clock::now();
    for (Task& task : tasks) {
      auto found = listed->find({task.job, task.number});
      if (found != listed->end()) {
        task.running = is_running(found->second);
        task.missed = {};
        continue;
      }
      if (task.missed == Clock::time_point{}) task.missed = Clock::now();
      if (Clock::now() - task.missed < options.late_answers) continue;
      GYGES_CHECK(listen(task));
      if (!task.left.empty()) lose(task);
    }
    drop_ended();
    return ok();
  }

  void lose(Task& task) {
    std::string end = slurm_end_of({task.job, task.number});
    std::string words = batches[task.batch].files.last_words(task.number);
    std::string detail = "Slurm task " + task.job + "_" + std::to_string(task.number) +
                         " ended as " + end + " without an answer" +
                         (words.empty() ? std::string() : "; its last words: " + words);
    batches[task.batch].keep = true;
    complete(task, {task.left.front().slot,
                    end == "TIMEOUT" ? Completion::Kind::overtime : Completion::Kind::lost,
                    {},
                    detail});
    // What it had not begun is not lost.
    for (Assignment& assignment : task.left) waiting.push_back(std::move(assignment));
    task.left.clear();
  }
};

SlurmExecutor::SlurmExecutor(std::unique_ptr<State> state) : state_(std::move(state)) {}

SlurmExecutor::~SlurmExecutor() {
  stop();
}

Result<std::unique_ptr<SlurmExecutor>> SlurmExecutor::create(SlurmExecutorOptions options) {
  if (options.command.empty() || options.jobs == 0 || options.runs_of_a_task == 0 ||
      options.in_flight == 0)
    return fail("start executor", "slurm", "no command, or nothing may run at once");
  auto state = std::make_unique<State>();
  GYGES_TRY(state->largest_array, slurm_largest_array());
  state->options = std::move(options);
  return std::unique_ptr<SlurmExecutor>(new SlurmExecutor(std::move(state)));
}

std::size_t SlurmExecutor::capacity() const {
  return state_->options.in_flight;
}

Status SlurmExecutor::submit(const Assignment& assignment) {
  state_->waiting.push_back(assignment);
  return ok();
}

Result<std::optional<Completion>> SlurmExecutor::wait(std::chrono::milliseconds timeout) {
  const Clock::time_point end = Clock::now() + timeout;
  while (true) {
    if (!state_->completed.empty()) {
      Completion completion = std::move(state_->completed.front());
      state_->completed.pop_front();
      return completion;
    }
    GYGES_CHECK(state_->send_waiting());
    if (Clock::now() - state_->looked >= state_->options.look_at_answers)
      GYGES_CHECK(state_->look());
    if (Clock::now() - state_->asked >= state_->options.ask_slurm) GYGES_CHECK(state_->ask());
    if (!state_->completed.empty()) continue;
    if (Clock::now() >= end) return std::nullopt;
    std::this_thread::sleep_for(
        std::min<Clock::duration>(std::chrono::milliseconds(50), end - Clock::now()));
  }
}

std::size_t SlurmExecutor::queued() const {
  std::size_t running = 0;  // one run of each task that has begun
  for (const State::Task& task : state_->tasks)
    running += task.running && !task.left.empty() ? 1 : 0;
  return state_->in_flight() - running;
}

std::vector<std::string> SlurmExecutor::withdraw() {
  std::vector<std::string> slots;
  for (const Assignment& assignment : state_->waiting) slots.push_back(assignment.slot);
  state_->waiting.clear();
  std::vector<std::string> jobs = state_->jobs();
  // What cannot be taken back stays in flight and is ended by stop().
  if (jobs.empty() || !slurm_cancel(jobs, true)) return slots;
  auto listed = slurm_tasks(jobs);
  if (!listed) return slots;
  for (State::Task& task : state_->tasks) {
    if (!state_->listen(task)) continue;
    if (task.begun || listed->count({task.job, task.number}) != 0) continue;
    for (const Assignment& assignment : task.left) slots.push_back(assignment.slot);
    task.left.clear();
  }
  state_->drop_ended();
  return slots;
}

void SlurmExecutor::stop() {
  std::vector<std::string> jobs = state_->jobs();
  state_->waiting.clear();
  // Jobs that could not be ended are left to the next runner, by their file.
  bool gone = jobs.empty() || (slurm_cancel(jobs) && wait_until_gone(jobs));
  for (State::Task& task : state_->tasks) {
    State::Batch& batch = state_->batches[task.batch];
    if (--batch.tasks == 0 && gone && !batch.keep) batch.files.remove();
  }
  if (gone) static_cast<void>(forget_slurm_jobs(state_->options.directory));
  state_->tasks.clear();
  state_->completed.clear();
}

std::vector<std::string> SlurmExecutor::jobs() const {
  return state_->jobs();
}

Result<std::size_t> end_left_slurm_jobs(const std::filesystem::path& directory) {
  GYGES_TRY(std::vector<std::string> jobs, slurm_jobs_of(directory));
  if (jobs.empty()) return 0;
  GYGES_CHECK(slurm_cancel(jobs));
  GYGES_CHECK(wait_until_gone(jobs));
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory / "slurm", error), end;
       !error && entry != end; entry.increment(error))
    if (entry->is_directory(error)) std::filesystem::remove_all(entry->path(), error);
  GYGES_CHECK(forget_slurm_jobs(directory));
  return jobs.size();
}

}  // namespace gyges::experiment
