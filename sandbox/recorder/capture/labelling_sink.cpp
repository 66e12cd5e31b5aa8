#include "sandbox/recorder/capture/labelling_sink.h"

#include <sched.h>

#include "sandbox/recorder/format/execution.h"

namespace gyges::recorder {

Status LabellingSink::append(const Event& event) {
  if (event.pid <= 0 || event.origin_call != 0) return sink_->append(event);
  auto known = calls_.find(event.pid);
  std::uint32_t call = known != calls_.end() ? known->second : 0;
  auto served = server_.find(event.pid);
  std::uint32_t server = served != server_.end() ? served->second : 0;
  if (call == 0 && server == 0 && is_execution(event)) {
    ExecutedProgram program = execution_of(event);
    if (servers_.server_of) server = servers_.server_of(program);
    if (server != 0) {
      server_[event.pid] = server;
    } else {
      call = call_of_(program);
      if (call != 0) calls_[event.pid] = call;
    }
  }
  if (call == 0 && server != 0) call = servers_.call_at(server, event.time_ns);
  if (event.kind == EventKind::process_start && event.result > 0 &&
      (event.args[0] & CLONE_THREAD) == 0) {
    // A number that comes round belongs to a new process.
    auto child = static_cast<std::int32_t>(event.result);
    calls_.erase(child);
    server_.erase(child);
    if (call != 0)
      calls_[child] = call;
    else if (server != 0)
      server_[child] = server;
  }
  if (call == 0) return sink_->append(event);
  Event labelled = event;
  labelled.origin_call = call;
  labelled.active_call = call;
  return sink_->append(labelled);
}

}  // namespace gyges::recorder
