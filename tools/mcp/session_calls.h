// The calls of one session: answered side by side by a bounded number of threads, so that a slow
// one holds no quick one. A session is opened at the first call, and ended, by one thread of its
// own: a sandbox may end with the thread that started it.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>

#include "tools/mcp/service.h"
#include "tools/mcp/session_tasks.h"

namespace gyges::mcp {

struct CallLimits {
  std::size_t parallel = 8;  // calls that run at once
  std::size_t waiting = 64;  // calls that wait for their turn
};

class SessionCalls {
 public:
  // Told, by the session's thread, that a session which had been open is over by itself (its wall
  // clock); may be empty.
  using Over = std::function<void()>;

  // `service` is borrowed; `tell`: see SessionTasks. Throws std::system_error where no thread is to
  // be had.
  SessionCalls(Service& service, ClientInfo client, const CallLimits& limits, Over over = {},
               SessionTasks::Tell tell = {});
  // As stop(), and waits.
  ~SessionCalls();
  SessionCalls(const SessionCalls&) = delete;
  SessionCalls& operator=(const SessionCalls&) = delete;

  // `done` is called once, by a thread of the session or where stop() or drop_cancelled() came
  // first by that of its caller; a call that was cancelled before its turn, or dropped by stop(),
  // is answered by a fault. False, and no call of `done`: too many calls wait.
  bool submit(Request request, std::shared_ptr<Link> link, std::function<void(Answer)> done);

  // Answers the calls that wait and have been cancelled.
  void drop_cancelled();

  // Calls that wait or run.
  [[nodiscard]] std::size_t busy() const;

  // Ends the session after the calls that run now; calls that wait are answered by a fault. Returns
  // at once.
  void stop();
  // Whether nothing is left to do after stop(): destruction does not wait.
  [[nodiscard]] bool finished() const;

 private:
  struct Job {
    Request request;
    std::shared_ptr<Link> link;
    std::function<void(Answer)> done;
    std::string lane;  // empty: it waits for no other call
  };
  struct Helper {
    std::thread thread;
    bool ended = false;
  };
  using Lock = std::unique_lock<std::mutex>;

  bool queue(Request request, std::shared_ptr<Link> link, std::function<void(Answer)> done);
  void keep();
  void help(Helper& self);
  void add_helper();
  bool session_lives();
  std::optional<Job> next();
  void run(Job job, Lock& lock);
  void finish(Job& job, Answer answer, Lock& lock);
  bool open_session(Job& job, Lock& lock);
  void end_session(Lock& lock);

  Service& service_;
  ClientInfo client_;
  CallLimits limits_;
  Over over_;
  SessionTasks tasks_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  std::set<std::string> lanes_;  // in which a call runs
  std::size_t running_ = 0;
  std::size_t idle_ = 0;  // threads that wait for a call
  std::list<Helper> helpers_;
  std::unique_ptr<Session> session_;  // changed by the keeper while nothing runs
  bool over_by_itself_ = false;       // the session: no further call shall begin in it
  bool stopping_ = false;
  bool finished_ = false;
  std::thread keeper_;
};

}  // namespace gyges::mcp
