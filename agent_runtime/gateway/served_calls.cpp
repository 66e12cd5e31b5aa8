// Calls of the scenario's command tools, which are carried out here: the model endpoint says which
// of its model's they are, and keeps their record.
#include "agent_runtime/gateway/model_endpoint.h"
#include "base/text.h"

namespace gyges::gateway {

void ModelEndpoint::log(const ExchangeRecord& record) {
  Status written = [&] {
    std::scoped_lock lock(log_mutex_);
    return log_.write(record);
  }();
  std::scoped_lock lock(mutex_);
  if (!written) fail_run(std::move(written.error()));
}

Result<ModelEndpoint::ServedCall> ModelEndpoint::begin_served(const std::string& tool,
                                                              const std::string& arguments,
                                                              const std::string& id,
                                                              const model::Cancellation* unwanted) {
  std::unique_lock lock(mutex_);
  if (over()) return fail("call tool", printable(tool), "the run is over");
  ServedCall served;
  served.arguments = arguments;
  const std::string name = served_prefix_ + tool;
  served.call = handed_.take(name, arguments, id);
  if (served.call != 0) {
    begun_served_.insert(served.call);
    return served;
  }
  auto decided = decide_undeclared(name, arguments, id, served, lock, unwanted);
  if (!decided) {
    fail_run(decided.error());
    return tl::unexpected<Error>(std::move(decided.error()));
  }
  if (over()) return fail("call tool", printable(tool), "the run is over");
  return served;
}

// The model never asked for it: the agent, or something that it has started, did.
Status ModelEndpoint::decide_undeclared(const std::string& name, const std::string& arguments,
                                        const std::string& id, ServedCall& served,
                                        std::unique_lock<std::mutex>& lock,
                                        const model::Cancellation* unwanted) {
  model::ToolCall call;
  call.id = id;
  call.name = name;
  call.arguments = arguments;
  call.call = served.call = turns_.next_call();
  Review review;
  {
    Waiting for_decisions(*this);
    GYGES_TRY(review, review_.review_undeclared(turns_.turns(), call, lock, unwanted));
  }
  if (review.ends) terminate(*review.ends);
  if (review.limit) end_at(*review.limit);
  if (over()) return ok();
  const Fate& fate = review.calls.at(0);
  if (fate.refused) {
    served.refused = fate.told;
    return ok();
  }
  if (fate.arguments) served.arguments = call.arguments = *fate.arguments;
  hand_on(call);
  handed_.forget(call.call);
  begun_served_.insert(call.call);
  return ok();
}

void ModelEndpoint::end_served(std::uint32_t call, std::uint64_t duration_ns,
                               const tools::ToolResult& result) {
  std::scoped_lock lock(mutex_);
  if (begun_served_.erase(call) == 0) return;
  std::uint64_t now = trace_time();
  if (options_.book != nullptr) options_.book->close(call, now);
  if (options_.mark) options_.mark(call, {}, false);
  Status written = [&]() -> Status {
    GYGES_CHECK(turns_.carried_out(call, now, duration_ns, result));
    Waiting for_monitors(*this);
    GYGES_TRY(std::optional<std::string> stop, review_.executed(call, result.output_total));
    if (stop) terminate(std::move(*stop));
    return ok();
  }();
  if (!written) fail_run(std::move(written.error()));
}

void ModelEndpoint::hand_on(const model::ToolCall& call) {
  const WireCall& known = turns_.handed_on(call, trace_time());
  if (options_.book != nullptr) options_.book->open(known);
  if (options_.mark) options_.mark(call.call, call.name, true);
  if (!served_name_.empty() && known.server == served_name_)
    handed_.add(
        {call.call, scaffold::name_on_the_wire(call.name, call.space), call.arguments, call.id});
}

}  // namespace gyges::gateway
