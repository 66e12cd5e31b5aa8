// Calls of tools whose answer is fetched later: the tasks of revision 2025-11-25, which a client
// asks for with each call, and the extension io.modelcontextprotocol/tasks of 2026-07-28, whose
// clients say that they know it; the server then decides (Service::task_use). A call that is quick
// is answered at once, one that takes longer becomes a task.
//
// The tasks of one session are known in that session alone. Bounded: most_kept of them are held,
// each until its time to live is over and it has ended; a call that would be one more is answered
// as without tasks, or refused where it has to be one.
//
// Thread-safe.
#pragma once

#include <chrono>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/fd.h"
#include "tools/mcp/service.h"

namespace gyges::mcp {

class SessionTasks {
 public:
  static constexpr std::size_t most_kept = 64;
  static constexpr std::size_t most_waiters = 16;                 // for the result of one task
  static constexpr std::chrono::milliseconds patience{1500};      // before a call becomes a task
  static constexpr std::chrono::milliseconds poll_interval{500};  // what clients are told
  static constexpr std::chrono::milliseconds usual_ttl{600'000};
  static constexpr std::chrono::milliseconds longest_ttl{3'600'000};
  static constexpr std::chrono::milliseconds least_after_end{60'000};

  using Done = std::function<void(Answer)>;
  // Has a call carried out, as SessionCalls::submit().
  using Submit = std::function<bool(Request request, std::shared_ptr<Link> link, Done done)>;

  // Told, by whatever thread, what a client of 2025-11-25 hears of a task of its whose status has
  // changed: the text of a notification. May be empty.
  using Tell = std::function<void(std::string notification)>;

  explicit SessionTasks(Submit submit, Tell tell = {})
      : submit_(std::move(submit)), tell_(std::move(tell)) {}
  // Every call has ended.
  ~SessionTasks();
  SessionTasks(const SessionTasks&) = delete;
  SessionTasks& operator=(const SessionTasks&) = delete;

  // Whether the request is one about tasks, or a call that is or may become one.
  [[nodiscard]] static bool takes(const Request& request, TaskUse use);
  // As SessionCalls::submit().
  bool submit(Request request, TaskUse use, std::shared_ptr<Link> link, Done done);
  // Tasks that run are cancelled; no more begin.
  void cancel_all();

 private:
  struct Task;
  class TaskLink;
  using Shared = std::shared_ptr<Task>;
  using Lock = std::unique_lock<std::mutex>;

  bool call(Request request, TaskUse use, std::shared_ptr<Link> link, Done done);
  bool run(const Shared& task, Request request);
  void settle(const Shared& task, Answer answer);
  void watch(const Shared& task);
  void watch_all();
  bool keep(const Shared& task);  // false: there are too many
  void expire();
  Shared find(const Request& request);
  Answer get(const Request& request);
  Answer cancel(const Request& request);
  Answer list();
  Answer update(const Request& request, Shared& resumed);
  void result(const Request& request, Done done);
  std::string change_of(const Task& task) const;  // for tell_; empty: nothing is said
  void say(std::string change) const;

  Submit submit_;
  Tell tell_;
  std::mutex mutex_;
  std::map<std::string, Shared> kept_;  // by id
  std::list<Shared> pending_;           // that may yet become tasks
  bool stopping_ = false;
  UniqueFd wake_;  // an eventfd of the watcher's
  std::thread watcher_;
};

}  // namespace gyges::mcp
