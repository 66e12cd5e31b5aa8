#include "tools/mcp/session_thread.h"

#include <poll.h>
#include <pthread.h>

#include <csignal>

#include "base/text.h"

namespace gyges::mcp {
namespace {

bool cancelled(const Link& link) {
  pollfd fd{link.cancel_fd(), POLLIN, 0};
  return ::poll(&fd, 1, 0) > 0;
}

}  // namespace

SessionThread::SessionThread(Service& service, ClientInfo client, std::size_t max_waiting)
    : service_(service), client_(std::move(client)), max_waiting_(max_waiting) {
  // Signals are for the server's own loop.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

SessionThread::~SessionThread() {
  stop();
  thread_.join();
}

bool SessionThread::submit(Request request, std::shared_ptr<Link> link,
                           std::function<void(Answer)> done) {
  {
    std::scoped_lock lock(mutex_);
    if (stopping_ || jobs_.size() >= max_waiting_) return false;
    jobs_.push_back({std::move(request), std::move(link), std::move(done)});
  }
  changed_.notify_one();
  return true;
}

std::size_t SessionThread::busy() const {
  std::scoped_lock lock(mutex_);
  return jobs_.size() + (running_ ? 1 : 0);
}

void SessionThread::stop() {
  std::deque<Job> dropped;
  {
    std::scoped_lock lock(mutex_);
    stopping_ = true;
    dropped.swap(jobs_);
  }
  changed_.notify_one();
  for (const Job& job : dropped)
    job.done(fault_answer(Code::internal_error, "The session has ended."));
}

Answer SessionThread::answer(const Job& job) {
  if (cancelled(*job.link)) return fault_answer(Code::internal_error, "The call was cancelled.");
  // What cannot be cancelled is not begun.
  if (job.link->cancel_fd() < 0)
    return fault_answer(Code::busy, "The server has too many files open; try again later.");
  // A session that has ended by itself (its wall clock) makes room for a new one.
  if (session_ && !session_->alive()) session_.reset();
  if (!session_) {
    auto opened = service_.open(client_);
    if (!opened)
      return fault_answer(Code::internal_error,
                          "The session could not be started: " + printable(opened.error().line()));
    session_ = std::move(*opened);
  }
  return session_->call(job.request, *job.link);
}

void SessionThread::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    if (stopping_) break;
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    running_ = true;
    lock.unlock();
    job.done(answer(job));
    job = {};
    lock.lock();
    running_ = false;
  }
  lock.unlock();
  session_.reset();
  finished_ = true;
}

}  // namespace gyges::mcp
