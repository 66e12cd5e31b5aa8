#include "tools/mcp/session_tasks.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <system_error>
#include <vector>

#include "base/json.h"
#include "base/quiet_thread.h"
#include "tools/mcp/task.h"

namespace gyges::mcp {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

const json* member(const json& object, const char* key) {
  auto found = object.find(key);
  return found != object.end() ? &*found : nullptr;
}

Answer unknown_task() {
  return fault_answer(Code::invalid_params, "There is no such task.");
}

}  // namespace

struct SessionTasks::Task : TaskRecord {
  using TaskRecord::TaskRecord;
  std::shared_ptr<TaskLink> link;
  bool is_task = false;          // its client knows of it
  bool created = false;          // and has been told its id
  Clock::time_point becomes;     // until then: when it does
  Done first;                    // until then: who waits for the answer
  std::shared_ptr<Link> client;  // until then: whose cancelling cancels it
  std::vector<Done> waiters;     // for the result
};

// What the call is given for a link: its client's as long as that waits for the answer.
class SessionTasks::TaskLink final : public Link {
 public:
  TaskLink(SessionTasks& tasks, std::shared_ptr<Link> client)
      : tasks_(tasks),
        client_(std::move(client)),
        cancel_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

  void notify(std::string_view method, std::string_view params) override {
    if (auto client = this->client()) return client->notify(method, params);
    auto task = task_.lock();
    if (!task || method != "notifications/progress") return;
    std::scoped_lock lock(tasks_.mutex_);
    task->take_progress(params);
  }
  Answer ask(std::string_view method, std::string_view params) override {
    if (auto client = this->client()) return client->ask(method, params);
    return fault_answer(Code::internal_error, "A task cannot ask its client this way.");
  }
  void end_stream() override {
    if (auto client = this->client()) client->end_stream();
  }
  [[nodiscard]] int cancel_fd() const override { return cancel_.get(); }

  void cancel() { (void)::eventfd_write(cancel_.get(), 1); }
  void set_task(const Shared& task) { task_ = task; }
  void leave_client() {
    std::scoped_lock lock(mutex_);
    client_.reset();
  }

 private:
  std::shared_ptr<Link> client() {
    std::scoped_lock lock(mutex_);
    return client_;
  }
  SessionTasks& tasks_;
  std::mutex mutex_;
  std::shared_ptr<Link> client_;
  std::weak_ptr<Task> task_;
  UniqueFd cancel_;
};

SessionTasks::~SessionTasks() {
  cancel_all();
  if (watcher_.joinable()) watcher_.join();
}

bool SessionTasks::takes(const Request& request, TaskUse use) {
  if (request.method.starts_with("tasks/")) return true;
  if (request.method != "tools/call" || use == TaskUse::none) return false;
  return asks_for_task(request) ||
         (stateless(request.revision) && declares_tasks(*request.capabilities));
}

bool SessionTasks::submit(Request request, TaskUse use, std::shared_ptr<Link> link, Done done) {
  if (request.method == "tools/call")
    return call(std::move(request), use, std::move(link), std::move(done));
  if (request.method == "tasks/result") {
    result(request, std::move(done));
    return true;
  }
  Shared resumed;
  Answer answer = request.method == "tasks/get"      ? get(request)
                  : request.method == "tasks/cancel" ? cancel(request)
                  : request.method == "tasks/list"   ? list()
                                                     : update(request, resumed);
  if (resumed && !run(resumed, resumed->asked_again()))
    settle(resumed, fault_answer(Code::busy, "Too many calls wait for their turn."));
  done(std::move(answer));
  return true;
}

bool SessionTasks::call(Request request, TaskUse use, std::shared_ptr<Link> link, Done done) {
  auto task = std::make_shared<Task>(request);
  const bool slow_only = use == TaskUse::when_slow && !asks_for_task(request);
  if (task->id.empty()) return submit_(std::move(request), std::move(link), std::move(done));
  task->link = std::make_shared<TaskLink>(*this, slow_only ? link : nullptr);
  task->link->set_task(task);
  if (slow_only) {
    task->first = std::move(done);
    task->client = std::move(link);
    task->becomes = Clock::now() + patience;
    watch(task);
    if (run(task, std::move(request))) return true;
    std::scoped_lock lock(mutex_);
    pending_.remove(task);
    return false;
  }
  task->is_task = true;
  if (!keep(task)) {
    done(fault_answer(Code::busy, "Too many tasks are kept; fetch or wait for some of them."));
    return true;
  }
  Answer created = task->created_answer();
  if (!run(task, std::move(request))) {
    std::scoped_lock lock(mutex_);
    kept_.erase(task->id);
    return false;
  }
  done(std::move(created));
  std::string change;
  {
    std::scoped_lock lock(mutex_);
    task->created = true;
    if (task->status != "working") change = change_of(*task);
  }
  say(std::move(change));
  return true;
}

std::string SessionTasks::change_of(const Task& task) const {
  if (!tell_ || !task.created || task.request.revision != Revision::r2025_11_25) return {};
  return notification_text("notifications/tasks/status", json_text(task.facts()));
}

void SessionTasks::say(std::string change) const {
  if (!change.empty()) tell_(std::move(change));
}

bool SessionTasks::run(const Shared& task, Request request) {
  return submit_(std::move(request), task->link,
                 [this, task](Answer answer) { settle(task, std::move(answer)); });
}

// The call has answered.
void SessionTasks::settle(const Shared& task, Answer answer) {
  std::vector<Done> waiters;
  Done first;
  Answer result;
  std::string change;
  {
    std::scoped_lock lock(mutex_);
    if (!task->is_task) {
      pending_.remove(task);
      first = std::move(task->first);
    } else if (!task->over()) {
      task->take(answer);
      change = change_of(*task);
      if (task->over()) {
        waiters.swap(task->waiters);
        result = task->result();
      }
    }
  }
  if (first) first(std::move(answer));
  say(std::move(change));
  for (Done& one : waiters) one(result);
}

void SessionTasks::watch(const Shared& task) {
  std::scoped_lock lock(mutex_);
  if (!wake_) wake_ = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  pending_.push_back(task);
  if (!watcher_.joinable() && !stopping_ && wake_) {
    try {
      watcher_ = quiet_thread([this] { watch_all(); });
    } catch (const std::system_error&) {
      // It stays a call, and is cancelled by its client's link alone.
    }
  }
  (void)::eventfd_write(wake_.get(), 1);
}

// Makes tasks of calls that take long, and hands on what their clients cancel before.
void SessionTasks::watch_all() {
  for (;;) {
    std::vector<pollfd> fds;
    std::vector<Shared> watched;
    auto until = Clock::time_point::max();
    {
      std::scoped_lock lock(mutex_);
      if (stopping_) return;
      fds.push_back({wake_.get(), POLLIN, 0});
      for (const Shared& task : pending_) {
        fds.push_back({task->client->cancel_fd(), POLLIN, 0});
        watched.push_back(task);
        until = std::min(until, task->becomes);
      }
    }
    int wait = -1;
    if (until != Clock::time_point::max())
      wait = static_cast<int>(std::clamp<std::int64_t>(
          std::chrono::ceil<milliseconds>(until - Clock::now()).count(), 0, 60'000));
    if (::poll(fds.data(), fds.size(), wait) < 0) continue;
    eventfd_t ignored = 0;
    if (fds[0].revents != 0) (void)::eventfd_read(wake_.get(), &ignored);
    for (std::size_t i = 0; i < watched.size(); ++i) {
      const Shared& task = watched[i];
      Done first;
      Answer created;
      {
        std::scoped_lock lock(mutex_);
        bool pending = std::find(pending_.begin(), pending_.end(), task) != pending_.end();
        if (!pending) continue;
        if (fds[i + 1].revents != 0) {
          pending_.remove(task);
          task->link->cancel();
          continue;
        }
        if (Clock::now() < task->becomes) continue;
        expire();
        task->becomes = Clock::time_point::max();
        if (kept_.size() >= most_kept) continue;  // it is answered when it has ended
        task->is_task = true;
        kept_.emplace(task->id, task);
        pending_.remove(task);
        task->link->leave_client();
        task->client.reset();
        first = std::move(task->first);
        created = task->created_answer();
      }
      if (first) first(std::move(created));
    }
  }
}

bool SessionTasks::keep(const Shared& task) {
  std::scoped_lock lock(mutex_);
  expire();
  if (stopping_ || kept_.size() >= most_kept) return false;
  kept_.emplace(task->id, task);
  return true;
}

void SessionTasks::expire() {
  auto now = Clock::now();
  std::erase_if(kept_, [&](const auto& one) {
    const Task& task = *one.second;
    return task.over() && now >= std::max(task.begun + task.ttl, task.ended + least_after_end);
  });
}

SessionTasks::Shared SessionTasks::find(const Request& request) {
  const json* id = member(*request.params, "taskId");
  expire();
  if (id == nullptr || !id->is_string()) return nullptr;
  auto found = kept_.find(id->get<std::string>());
  return found != kept_.end() ? found->second : nullptr;
}

Answer SessionTasks::get(const Request& request) {
  std::scoped_lock lock(mutex_);
  Shared task = find(request);
  return task ? task->detailed() : unknown_task();
}

Answer SessionTasks::cancel(const Request& request) {
  std::vector<Done> waiters;
  Answer answer;
  std::string change;
  {
    std::scoped_lock lock(mutex_);
    Shared task = find(request);
    if (!task) return unknown_task();
    const bool modern = stateless(request.revision);
    if (task->over() && !modern)
      return fault_answer(Code::invalid_params, "The task has ended: " + task->status + ".");
    if (!task->over()) {
      task->become("cancelled");
      task->link->cancel();
      waiters.swap(task->waiters);
      change = change_of(*task);
    }
    answer = modern ? result_answer(json::object()) : result_answer(task->facts());
  }
  say(std::move(change));
  for (Done& one : waiters) one(fault_answer(Code::internal_error, "The task was cancelled."));
  return answer;
}

Answer SessionTasks::list() {
  std::scoped_lock lock(mutex_);
  expire();
  std::vector<Shared> all;
  for (const auto& [id, task] : kept_) all.push_back(task);
  std::sort(all.begin(), all.end(),
            [](const Shared& a, const Shared& b) { return a->begun > b->begun; });
  json tasks = json::array();
  for (const Shared& task : all) tasks.push_back(task->facts());
  return result_answer({{"tasks", std::move(tasks)}});
}

// `resumed`: the task that has all it asked for now.
Answer SessionTasks::update(const Request& request, Shared& resumed) {
  std::scoped_lock lock(mutex_);
  Shared task = find(request);
  if (!task) return unknown_task();
  const json* responses = member(*request.params, "inputResponses");
  if (responses == nullptr || !responses->is_object())
    return fault_answer(Code::invalid_params, "inputResponses is an object.");
  if (task->take_input(*responses)) resumed = std::move(task);
  return result_answer(json::object());
}

void SessionTasks::result(const Request& request, Done done) {
  Answer answer;
  {
    std::scoped_lock lock(mutex_);
    Shared task = find(request);
    if (!task) {
      answer = unknown_task();
    } else if (task->over()) {
      answer = task->result();
    } else if (task->waiters.size() < most_waiters) {
      task->waiters.push_back(std::move(done));
      return;
    } else {
      answer = fault_answer(Code::busy, "Too many requests wait for this task.");
    }
  }
  done(std::move(answer));
}

void SessionTasks::cancel_all() {
  std::vector<Done> waiters;
  {
    std::scoped_lock lock(mutex_);
    stopping_ = true;
    for (auto& [id, task] : kept_) {
      if (task->over()) continue;
      task->become("cancelled");
      task->link->cancel();
      for (Done& one : task->waiters) waiters.push_back(std::move(one));
      task->waiters.clear();
    }
    if (wake_) (void)::eventfd_write(wake_.get(), 1);
  }
  for (Done& one : waiters) one(fault_answer(Code::internal_error, "The session has ended."));
}

}  // namespace gyges::mcp
