#include "agent_runtime/experiment/local_executor.h"

#include <poll.h>

#include <algorithm>
#include <csignal>
#include <deque>
#include <utility>

#include "agent_runtime/experiment/worker_process.h"

namespace gyges::experiment {
namespace {

using Clock = std::chrono::steady_clock;

// For an idle worker to close its recorder and exit.
constexpr std::chrono::seconds patience_with_idle_workers{5};

// Workers that die in a row before they are ready: the next one would, too.
constexpr unsigned max_false_starts = 3;

}  // namespace

struct LocalExecutor::State {
  LocalExecutorOptions options;
  std::vector<std::unique_ptr<WorkerProcess>> workers;
  std::deque<Completion> completed;
  unsigned false_starts = 0;
  std::optional<Error> refusal;  // why a worker cannot run anything
  bool room = false;             // a worker has said that it could prepare a run

  static bool takes_next(const WorkerProcess& worker) {
    return worker.slot && worker.finishing && !worker.overtime && !worker.next && !worker.withdrawn;
  }

  Status give(const Assignment& assignment) {
    for (auto& worker : workers)
      if (!worker->slot) return begin(*worker, assignment, true);
    if (workers.size() >= options.jobs)
      for (auto& worker : workers) {
        if (!takes_next(*worker)) continue;
        worker->next = assignment;
        return send(*worker, assignment);
      }
    GYGES_TRY(WorkerProcess * worker, new_worker());
    return begin(*worker, assignment, true);
  }

  Status begin(WorkerProcess& worker, const Assignment& assignment, bool unsent) {
    worker.slot = assignment.slot;
    worker.finishing = false;
    worker.deadline = Clock::now() + options.episode_limit;
    return unsent ? send(worker, assignment) : ok();
  }

  // A worker that is gone is noticed by wait().
  static Status send(WorkerProcess& worker, const Assignment& assignment) {
    GYGES_TRY([[maybe_unused]] bool sent, worker.send(assignment));
    return ok();
  }

  Result<WorkerProcess*> new_worker() {
    GYGES_TRY(auto worker, WorkerProcess::start(options.command, options.lock_fd));
    workers.push_back(std::move(worker));
    return workers.back().get();
  }

  // Takes what the worker has said. False: it has ended. An error: it does not keep the protocol.
  Result<bool> listen(WorkerProcess& worker) {
    GYGES_TRY(bool more, worker.lines.fill(worker.stream.get()));
    while (auto line = worker.lines.next()) {
      GYGES_TRY(WorkerMessage message, decode_worker_message(*line));
      if (auto* refused = std::get_if<WorkerRefused>(&message)) {
        refusal = std::move(refused->error);
        return false;
      }
      if (std::holds_alternative<WorkerReady>(message)) {
        worker.ready = true;
        false_starts = 0;
        continue;
      }
      if (const auto* finishing = std::get_if<RunFinishing>(&message)) {
        if (worker.slot != finishing->slot) return not_its_run(finishing->slot);
        worker.finishing = room = true;
        continue;
      }
      GYGES_CHECK(complete(worker, message));
      // It has begun what was taken from it, or is about to.
      if (worker.withdrawn) return false;
    }
    return more || !worker.lines.end();
  }

  Status complete(WorkerProcess& worker, const WorkerMessage& message) {
    Completion completion;
    if (const auto* done = std::get_if<RunDone>(&message)) {
      completion = {done->slot, Completion::Kind::done, done->outcome, {}};
    } else if (const auto* failed = std::get_if<RunFailed>(&message)) {
      completion = {failed->slot, Completion::Kind::failed, {}, failed->error.line()};
    }
    if (!worker.slot || completion.slot != *worker.slot) return not_its_run(completion.slot);
    worker.slot.reset();
    completed.push_back(std::move(completion));
    std::optional<Assignment> next = std::exchange(worker.next, std::nullopt);
    return next ? begin(worker, *next, false) : ok();
  }

  static tl::unexpected<Error> not_its_run(const std::string& slot) {
    return fail("read message", slot, "a worker reports a run that it does not have",
                "report this as a defect");
  }

  // The worker has ended, or is of no use any more and is ended.
  Status bury(std::size_t index, const std::string& reason) {
    std::unique_ptr<WorkerProcess> worker = std::move(workers[index]);
    workers.erase(workers.begin() + static_cast<std::ptrdiff_t>(index));
    // One that has begun to exit keeps its exit status.
    kill(worker->child.id(), SIGKILL);
    std::string end = worker->reap();
    if (!reason.empty()) end = reason + "; " + end;
    if (!worker->ready && !worker->overtime && ++false_starts >= max_false_starts)
      return fail("start worker", options.command.front(),
                  std::to_string(false_starts) + " workers ended before they were ready; " + end,
                  "run the experiment with --jobs 1 and see `gyges doctor`");
    if (worker->slot)
      completed.push_back({*worker->slot,
                           worker->overtime ? Completion::Kind::overtime : Completion::Kind::lost,
                           {},
                           worker->overtime ? "exceeded the time limit of the experiment" : end});
    // It had not begun the next one: that is not lost.
    return worker->next ? give(*worker->next) : ok();
  }

  void end_overtime() {
    for (auto& worker : workers)
      if (worker->slot && !worker->overtime && Clock::now() >= worker->deadline) {
        worker->overtime = true;
        kill(worker->child.id(), SIGKILL);
      }
  }

  Status serve(const std::vector<pollfd>& polled) {
    // Backwards, because burying a worker removes it from the list.
    for (std::size_t i = workers.size(); i-- > 0;) {
      if (polled[2 * i + 1].revents != 0) workers[i]->drain_errors();
      if (polled[2 * i].revents == 0) continue;
      auto alive = listen(*workers[i]);
      if (refusal) return tl::unexpected<Error>(*refusal);
      if (!alive) {
        GYGES_CHECK(bury(i, alive.error().line()));
      } else if (!*alive) {
        GYGES_CHECK(bury(i, {}));
      }
    }
    return ok();
  }
};

LocalExecutor::LocalExecutor(std::unique_ptr<State> state) : state_(std::move(state)) {}

LocalExecutor::~LocalExecutor() {
  stop();
}

Result<std::unique_ptr<LocalExecutor>> LocalExecutor::create(LocalExecutorOptions options) {
  if (options.command.empty() || options.jobs == 0)
    return fail("start local executor", "", "needs a worker command and at least one job");
  auto state = std::make_unique<State>();
  state->options = std::move(options);
  return std::unique_ptr<LocalExecutor>(new LocalExecutor(std::move(state)));
}

std::size_t LocalExecutor::capacity() const {
  auto finishing = std::count_if(state_->workers.begin(), state_->workers.end(),
                                 [](const auto& worker) { return State::takes_next(*worker); });
  auto given = std::count_if(state_->workers.begin(), state_->workers.end(),
                             [](const auto& worker) { return worker->next.has_value(); });
  return state_->options.jobs + static_cast<std::size_t>(finishing + given);
}

Status LocalExecutor::submit(const Assignment& assignment) {
  return state_->give(assignment);
}

Result<std::optional<Completion>> LocalExecutor::wait(std::chrono::milliseconds timeout) {
  const Clock::time_point end = Clock::now() + timeout;
  while (state_->completed.empty()) {
    state_->end_overtime();
    Clock::time_point wake = end;
    for (const auto& worker : state_->workers)
      if (worker->slot && !worker->overtime) wake = std::min(wake, worker->deadline);
    auto left = std::chrono::ceil<std::chrono::milliseconds>(wake - Clock::now()).count();
    std::vector<pollfd> polled;
    for (const auto& worker : state_->workers) {
      polled.push_back({worker->stream.get(), POLLIN, 0});
      polled.push_back({worker->errors.get(), POLLIN, 0});
    }
    int ready = poll(polled.data(), polled.size(), static_cast<int>(std::max<long>(left, 0)));
    if (ready < 0 && errno == EINTR) return std::nullopt;
    if (ready < 0) return fail_errno("poll", "workers");
    GYGES_CHECK(state_->serve(polled));
    bool room = std::exchange(state_->room, false);
    if (state_->completed.empty() && (room || Clock::now() >= end)) return std::nullopt;
  }
  Completion completion = std::move(state_->completed.front());
  state_->completed.pop_front();
  return completion;
}

std::vector<std::string> LocalExecutor::withdraw() {
  std::vector<std::string> slots;
  for (auto& worker : state_->workers) {
    if (!worker->next) continue;
    slots.push_back(worker->next->slot);
    worker->next.reset();
    worker->withdrawn = true;
  }
  return slots;
}

void LocalExecutor::stop() {
  // An idle worker ends by itself when its stream closes; one in a run is killed, and its sandbox
  // dies with it.
  for (auto& worker : state_->workers) {
    if (worker->slot || !worker->ready) kill(worker->child.id(), SIGKILL);
    worker->stream.reset();
    worker->errors.reset();
  }
  const Clock::time_point give_up = Clock::now() + patience_with_idle_workers;
  for (auto& worker : state_->workers) {
    if (!worker->ends_before(give_up)) kill(worker->child.id(), SIGKILL);
    worker->reap();
  }
  state_->workers.clear();
  state_->completed.clear();
}

std::vector<int> LocalExecutor::worker_pids() const {
  std::vector<int> pids;
  for (const auto& worker : state_->workers) pids.push_back(worker->child.id());
  return pids;
}

}  // namespace gyges::experiment
