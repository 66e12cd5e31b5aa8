// What a gate and monitors say of the calls in a reply before the agent sees them, and what the
// reply becomes. The same facts are recorded in the same order as by the built-in agent loop:
// declared (the reply), requested, decided, executed.
//
// A call that is refused never reaches the agent. Where nothing else is left in the reply, the
// model is told and asked again, as if the agent had handed the refusal back; otherwise the rest
// goes on, and the model is told with the agent's next request (see Refusals).
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "agent_runtime/episode/approval.h"
#include "agent_runtime/episode/budget.h"
#include "agent_runtime/episode/transcript.h"
#include "agent_runtime/episode/watcher.h"
#include "agent_runtime/model/conversation.h"
#include "base/error.h"

namespace gyges::gateway {

struct Oversight {
  episode::ToolApprover* approver = nullptr;  // borrowed; null: everything is approved
  episode::Watcher* watcher = nullptr;        // borrowed; null: nobody looks on
  // The approver may refuse and change. Replies are written anew then, so that nothing reaches the
  // agent which was not understood here.
  bool enforces = false;
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
};

// What becomes of one call.
struct Fate {
  bool refused = false;
  std::optional<std::string> arguments;  // modified: in place of its own
  std::string told;                      // refused: the result that the model gets
};

struct Review {
  std::vector<Fate> calls;          // of Message::tool_calls, in order
  std::vector<Fate> opaque;         // of the opaque parts, in order; only those that act are asked
  std::optional<std::string> ends;  // the run is to end now, for this reason
  std::optional<episode::ReachedLimit> limit;  // or for this one

  [[nodiscard]] bool changes() const;
  [[nodiscard]] bool refuses_all() const;  // of at least one
};

// An opaque part that asks the agent to act: a call of a kind that the conversation form has no
// name for. As a call, for the gate; nullopt: it does not act.
std::optional<model::ToolCall> acting(const model::Part& part);

// The reply without what was refused, and with what was modified.
model::Reply reviewed(model::Reply reply, const Review& review);

// Not thread-safe: called under a lock, which review() gives up while somebody outside is waited
// for. What others write meanwhile stands between the request and the decision.
class CallReview {
 public:
  // Borrowed; all outlive this.
  CallReview(const Oversight& oversight, episode::Transcript& transcript, episode::Budget& budget)
      : oversight_(oversight), transcript_(transcript), budget_(budget) {}

  // The calls are numbered and the reply stands in the transcript. `numbers`: of the opaque parts
  // that act, in order. `unwanted`: see PendingCall. An error means that the record or a decision
  // failed, and ends the run.
  Result<Review> review(std::uint32_t turn, const model::Message& message,
                        const std::vector<std::uint32_t>& numbers,
                        std::unique_lock<std::mutex>& lock,
                        const model::Cancellation* unwanted = nullptr);

  // A call that no reply holds: as one of an empty reply.
  Result<Review> review_undeclared(std::uint32_t turn, const model::ToolCall& call,
                                   std::unique_lock<std::mutex>& lock,
                                   const model::Cancellation* unwanted = nullptr);

  // A call was executed, and its line stands in the transcript: a reason to end the run, or none.
  Result<std::optional<std::string>> executed(std::uint32_t call, std::uint64_t output_bytes);

 private:
  struct Reviewing;
  Result<Fate> decide(Reviewing& now, const model::ToolCall& call);
  const Oversight& oversight_;
  episode::Transcript& transcript_;
  episode::Budget& budget_;
};

}  // namespace gyges::gateway
