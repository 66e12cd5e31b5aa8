// Who the threads of a session are: process, numbers inside the sandbox, tool calls.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "base/error.h"
#include "sandbox/recorder/format/event.h"

namespace gyges::recorder {

struct ThreadFacts {
  std::int32_t tid = 0;
  std::int32_t pid = 0;
  std::int32_t inside_tid = 0;
  std::int32_t inside_pid = 0;
  std::uint32_t origin_call = 0;
  std::uint32_t active_call = 0;

  void put_into(Event& event) const {
    event.tid = tid;
    event.pid = pid;
    event.inside_tid = inside_tid;
    event.inside_pid = inside_pid;
    event.origin_call = origin_call;
    event.active_call = active_call;
  }
};

// From /proc; fails when the thread is gone.
Result<ThreadFacts> read_thread_facts(pid_t tid);

}  // namespace gyges::recorder
