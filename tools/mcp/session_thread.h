// The thread of one session: opens it at the first call, answers calls one after the other, and
// ends it. A sandbox belongs to the thread that uses it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "tools/mcp/service.h"

namespace gyges::mcp {

class SessionThread {
 public:
  // `service` is borrowed.
  SessionThread(Service& service, ClientInfo client, std::size_t max_waiting);
  // As stop(), and waits.
  ~SessionThread();
  SessionThread(const SessionThread&) = delete;
  SessionThread& operator=(const SessionThread&) = delete;

  // `done` is called once, by the session's thread or where stop() came first by that of its
  // caller; a call that was cancelled before its turn, or dropped by stop(), is answered by a
  // fault. False, and no call of `done`: too many calls wait.
  bool submit(Request request, std::shared_ptr<Link> link, std::function<void(Answer)> done);

  // Calls that wait or run.
  [[nodiscard]] std::size_t busy() const;

  // Ends the session after the call that runs now; calls that wait are answered by a fault. Returns
  // at once.
  void stop();
  // Whether the thread has nothing left to do after stop(): destruction does not wait.
  [[nodiscard]] bool finished() const { return finished_; }

 private:
  struct Job {
    Request request;
    std::shared_ptr<Link> link;
    std::function<void(Answer)> done;
  };
  void run();
  Answer answer(const Job& job);

  Service& service_;
  ClientInfo client_;
  std::size_t max_waiting_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  bool running_ = false;
  bool stopping_ = false;
  std::atomic<bool> finished_ = false;
  std::unique_ptr<Session> session_;  // of the thread
  std::thread thread_;
};

}  // namespace gyges::mcp
