#include "tools/mcp/session_calls.h"

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <system_error>

#include "base/quiet_thread.h"
#include "base/text.h"

namespace gyges::mcp {
namespace {

constexpr std::chrono::seconds helper_patience{5};  // without a call, before it ends
constexpr std::chrono::seconds look_at_session{1};  // while nothing runs

bool is_cancelled(const Link& link) {
  pollfd fd{link.cancel_fd(), POLLIN, 0};
  return ::poll(&fd, 1, 0) > 0;
}

Answer cancelled_answer() {
  return fault_answer(Code::internal_error, "The call was cancelled.");
}

}  // namespace

SessionCalls::SessionCalls(Service& service, ClientInfo client, const CallLimits& limits, Over over,
                           SessionTasks::Tell tell)
    : service_(service),
      client_(std::move(client)),
      limits_(limits),
      over_(std::move(over)),
      tasks_(
          [this](Request request, std::shared_ptr<Link> link, SessionTasks::Done done) {
            return queue(std::move(request), std::move(link), std::move(done));
          },
          std::move(tell)) {
  limits_.parallel = std::max<std::size_t>(limits_.parallel, 1);
  keeper_ = quiet_thread([this] { keep(); });
}

SessionCalls::~SessionCalls() {
  stop();
  keeper_.join();
}

bool SessionCalls::submit(Request request, std::shared_ptr<Link> link,
                          std::function<void(Answer)> done) {
  if (service_.has_tasks()) {
    TaskUse use = request.method == "tools/call" ? service_.task_use(request) : TaskUse::none;
    if (SessionTasks::takes(request, use))
      return tasks_.submit(std::move(request), use, std::move(link), std::move(done));
  }
  return queue(std::move(request), std::move(link), std::move(done));
}

bool SessionCalls::queue(Request request, std::shared_ptr<Link> link,
                         std::function<void(Answer)> done) {
  std::string lane = service_.lane(request);
  Lock lock(mutex_);
  if (stopping_ || running_ + jobs_.size() >= limits_.parallel + limits_.waiting) return false;
  jobs_.push_back({std::move(request), std::move(link), std::move(done), std::move(lane)});
  auto runnable = [this](const Job& job) { return lanes_.count(job.lane) == 0; };
  auto ready = static_cast<std::size_t>(std::count_if(jobs_.begin(), jobs_.end(), runnable));
  if (ready > idle_) add_helper();
  // Without a session it is the keeper that has to hear of it.
  if (session_ && !over_by_itself_)
    changed_.notify_one();
  else
    changed_.notify_all();
  return true;
}

void SessionCalls::add_helper() {
  std::erase_if(helpers_, [](Helper& helper) {
    if (helper.ended) helper.thread.join();
    return helper.ended;
  });
  if (1 + helpers_.size() >= limits_.parallel) return;
  Helper& helper = helpers_.emplace_back();
  try {
    helper.thread = quiet_thread([this, &helper] { help(helper); });
  } catch (const std::system_error&) {
    helpers_.pop_back();  // those that are there do it, one after the other
  }
}

void SessionCalls::drop_cancelled() {
  std::deque<Job> dropped;
  {
    Lock lock(mutex_);
    for (auto it = jobs_.begin(); it != jobs_.end();) {
      bool drop = is_cancelled(*it->link);
      if (drop) dropped.push_back(std::move(*it));
      it = drop ? jobs_.erase(it) : it + 1;
    }
  }
  for (const Job& job : dropped) job.done(cancelled_answer());
}

std::size_t SessionCalls::busy() const {
  Lock lock(mutex_);
  return jobs_.size() + running_;
}

bool SessionCalls::finished() const {
  Lock lock(mutex_);
  return finished_;
}

void SessionCalls::stop() {
  tasks_.cancel_all();
  std::deque<Job> dropped;
  {
    Lock lock(mutex_);
    stopping_ = true;
    dropped.swap(jobs_);
  }
  changed_.notify_all();
  for (const Job& job : dropped)
    job.done(fault_answer(Code::internal_error, "The session has ended."));
}

// One that has ended while nothing ran is no place for a call.
bool SessionCalls::session_lives() {
  if (!session_ || over_by_itself_) return false;
  if (session_->alive()) return true;
  over_by_itself_ = true;
  changed_.notify_all();
  return false;
}

// The first call that waits for no other.
std::optional<SessionCalls::Job> SessionCalls::next() {
  auto found = std::find_if(jobs_.begin(), jobs_.end(),
                            [this](const Job& job) { return lanes_.count(job.lane) == 0; });
  if (found == jobs_.end()) return std::nullopt;
  Job job = std::move(*found);
  jobs_.erase(found);
  if (!job.lane.empty()) lanes_.insert(job.lane);
  ++running_;
  return job;
}

void SessionCalls::finish(Job& job, Answer answer, Lock& lock) {
  if (lock) lock.unlock();
  job.done(std::move(answer));
  std::string lane = std::move(job.lane);
  job = {};
  lock.lock();
  --running_;
  lanes_.erase(lane);
  // The keeper may wait for this one to end; others for the lane.
  if (stopping_ || over_by_itself_ || !jobs_.empty()) changed_.notify_all();
}

void SessionCalls::run(Job job, Lock& lock) {
  lock.unlock();
  Answer answer;
  if (is_cancelled(*job.link))
    answer = cancelled_answer();
  else if (job.link->cancel_fd() < 0)  // what cannot be cancelled is not begun
    answer = fault_answer(Code::busy, "The server has too many files open; try again later.");
  else
    answer = session_->call(job.request, *job.link);
  bool over = !session_->alive();
  finish(job, std::move(answer), lock);
  over_by_itself_ = over_by_itself_ || over;
  if (over) changed_.notify_all();
}

bool SessionCalls::open_session(Job& job, Lock& lock) {
  lock.unlock();
  if (is_cancelled(*job.link)) {
    finish(job, cancelled_answer(), lock);
    return false;
  }
  auto opened = service_.open(client_);
  if (!opened) {
    finish(job,
           fault_answer(Code::internal_error,
                        "The session could not be started: " + printable(opened.error().line())),
           lock);
    return false;
  }
  lock.lock();
  session_ = std::move(*opened);
  if (!jobs_.empty()) changed_.notify_all();
  return true;
}

void SessionCalls::end_session(Lock& lock) {
  std::unique_ptr<Session> session = std::move(session_);
  lock.unlock();
  session.reset();
  if (over_) over_();
  lock.lock();
  over_by_itself_ = false;
}

void SessionCalls::keep() {
  Lock lock(mutex_);
  while (!stopping_) {
    if (session_ && !session_lives()) {
      if (running_ == 0)
        end_session(lock);
      else
        changed_.wait(lock);
      continue;
    }
    if (auto job = next()) {
      if (session_ || open_session(*job, lock)) run(std::move(*job), lock);
      continue;
    }
    ++idle_;
    // A session whose wall clock runs out while nobody calls is ended there and then.
    if (session_)
      changed_.wait_for(lock, look_at_session);
    else
      changed_.wait(lock);
    --idle_;
  }
  while (
      std::any_of(helpers_.begin(), helpers_.end(), [](const Helper& one) { return !one.ended; }))
    changed_.wait(lock);
  for (Helper& helper : helpers_) helper.thread.join();
  lock.unlock();
  session_.reset();
  lock.lock();
  finished_ = true;
}

void SessionCalls::help(Helper& self) {
  Lock lock(mutex_);
  while (!stopping_) {
    // Until the keeper has opened a session there is nothing to call.
    if (session_lives())
      if (auto job = next()) {
        run(std::move(*job), lock);
        continue;
      }
    ++idle_;
    bool told = changed_.wait_for(lock, helper_patience) == std::cv_status::no_timeout;
    --idle_;
    if (!told && jobs_.empty()) break;
  }
  self.ended = true;
  changed_.notify_all();
}

}  // namespace gyges::mcp
