#include "sandbox/recorder/format/process_ends.h"

#include <sched.h>

namespace gyges::recorder {

bool ProcessEnds::ends(const Event& event) {
  if (event.kind == EventKind::process_start) {
    if ((event.args[0] & CLONE_THREAD) == 0)
      threads_.erase(static_cast<std::int32_t>(event.result));  // the pid came again
    else if (threads_.size() < most_processes)
      ++threads_[event.pid].others;
    return false;
  }
  if (event.kind == EventKind::process_exec) {
    threads_.erase(event.pid);
    return false;
  }
  if (event.kind != EventKind::process_exit) return false;
  const bool first = event.pid == event.tid;
  const auto known = threads_.find(event.pid);
  if (known == threads_.end()) return first;
  Threads& threads = known->second;
  if (first)
    threads.first_ended = true;
  else if (threads.others > 0)
    --threads.others;
  if (threads.others > 0) return false;
  const bool ended = threads.first_ended;
  threads_.erase(known);
  return ended;
}

}  // namespace gyges::recorder
