#include "agent_runtime/gateway/call_review.h"

#include <algorithm>

#include "base/json.h"
#include "base/json_document.h"

namespace gyges::gateway {
namespace {

using episode::Moment;
using episode::PendingCall;
using episode::ToolDecision;
using model::Message;
using model::Part;
using model::ToolCall;
using nlohmann::json;

std::string rationale_of(const Message& message) {
  std::string text;
  for (const Part& part : message.content)
    if (part.kind != Part::Kind::opaque) text += part.text + "\n";
  return text;
}

// Under this name a gate sees what is no JSON object: free text, or arguments that are broken,
// which an agent may yet make sense of.
const char* raw_member(const ToolCall& call) {
  if (call.custom) return "input";
  return call.fault.empty() ? nullptr : "invalid_arguments";
}

ToolCall as_judged(const ToolCall& call) {
  ToolCall judged = call;
  const char* member = raw_member(call);
  if (member == nullptr) return judged;
  judged.arguments =
      json{{member, call.arguments}}.dump(-1, ' ', false, json::error_handler_t::replace);
  judged.fault.clear();
  judged.custom = false;
  return judged;
}

// Modified arguments as the call has them; nullopt: they cannot be put into it.
std::optional<std::string> as_called(const ToolCall& call, const std::string& arguments) {
  const char* member = raw_member(call);
  if (member == nullptr) return arguments;
  if (!call.custom) return std::nullopt;
  auto value = parse_json(arguments, "arguments");
  if (!value || !value->is_object() || value->size() != 1 || !value->contains(member) ||
      !value->at(member).is_string())
    return std::nullopt;
  return value->at(member).get<std::string>();
}

}  // namespace

bool Review::changes() const {
  auto changed = [](const Fate& fate) { return fate.refused || fate.arguments; };
  return std::any_of(calls.begin(), calls.end(), changed) ||
         std::any_of(opaque.begin(), opaque.end(), changed);
}

bool Review::refuses_all() const {
  return !calls.empty() &&
         std::all_of(calls.begin(), calls.end(), [](const Fate& fate) { return fate.refused; });
}

std::optional<ToolCall> acting(const Part& part) {
  if (part.kind != Part::Kind::opaque) return std::nullopt;
  auto block = parse_json(part.text, "block");
  if (!block || !block->is_object()) return std::nullopt;
  std::string type;
  if (auto found = block->find("type"); found != block->end() && found->is_string())
    type = found->get<std::string>();
  else if (!block->empty())
    type = block->begin().key();  // Gemini names a part by its member
  if (type.find("call") == std::string::npos && type.find("Call") == std::string::npos &&
      type.find("tool_use") == std::string::npos)
    return std::nullopt;
  ToolCall call;
  call.name = type;
  call.arguments = part.text;
  return call;
}

model::Reply reviewed(model::Reply reply, const Review& review) {
  Message& message = reply.message;
  std::size_t number = 0;
  std::size_t gone = 0;
  std::vector<std::size_t> place(message.content.size() + 1);  // of each part afterwards
  std::vector<Part> kept;
  for (std::size_t i = 0; i < message.content.size(); ++i) {
    place[i] = i - gone;
    bool opaque = message.content[i].kind == Part::Kind::opaque;
    if (opaque && number < review.opaque.size() && review.opaque[number++].refused)
      ++gone;
    else
      kept.push_back(std::move(message.content[i]));
  }
  message.content = std::move(kept);
  std::vector<ToolCall> calls;
  for (std::size_t i = 0; i < message.tool_calls.size(); ++i) {
    ToolCall& call = message.tool_calls[i];
    if (i < review.calls.size() && review.calls[i].refused) continue;
    if (i < review.calls.size() && review.calls[i].arguments)
      call.arguments = *review.calls[i].arguments;
    if (call.position < place.size()) call.position = place[call.position];
    calls.push_back(std::move(call));
  }
  bool none_left = calls.empty() && !message.tool_calls.empty();
  message.tool_calls = std::move(calls);
  if (none_left && reply.stop_reason == model::StopReason::tool_use)
    reply.stop_reason = model::StopReason::end;
  return reply;
}

struct CallReview::Reviewing {
  std::uint32_t turn = 0;
  bool declared = true;
  std::string rationale;
  std::unique_lock<std::mutex>& lock;
  Review& review;
  const model::Cancellation* unwanted;
};

Result<Fate> CallReview::decide(Reviewing& now, const ToolCall& call) {
  Fate fate;
  if (auto reached = budget_.before_call()) {
    now.review.limit = std::move(reached);
    return fate;
  }
  GYGES_CHECK(transcript_.tool_requested(now.turn, call, now.declared));
  if (oversight_.watcher != nullptr) {
    GYGES_TRY(std::optional<std::string> stop, oversight_.watcher->look(Moment::before, call.call));
    if (stop) {
      now.review.ends = std::move(stop);
      return fate;
    }
  }
  ToolDecision decision;
  if (oversight_.approver != nullptr) {
    ToolCall judged = as_judged(call);
    GYGES_TRY(decision, oversight_.approver->decide(
                            PendingCall{judged, now.rationale, budget_.amounts(),
                                        oversight_.deadline, &now.lock, now.unwanted}));
  }
  if (decision.action == ToolDecision::Action::modify) {
    fate.arguments = as_called(call, decision.arguments);
    if (!fate.arguments) {
      decision.action = ToolDecision::Action::reject;
      decision.reason = "its arguments cannot be modified";
    }
  }
  GYGES_CHECK(transcript_.tool_decided(call.call, decision));
  budget_.add_call();
  if (decision.action == ToolDecision::Action::terminate)
    now.review.ends = decision.approver + ": " + decision.reason;
  fate.refused = !decision.executes();
  if (fate.refused) {
    bool shown = decision.show_reason && !decision.reason.empty();
    fate.told = "The call was not approved" + (shown ? ": " + decision.reason : ".");
  }
  return fate;
}

Result<Review> CallReview::review(std::uint32_t turn, const Message& message,
                                  const std::vector<std::uint32_t>& numbers,
                                  std::unique_lock<std::mutex>& lock,
                                  const model::Cancellation* unwanted) {
  Review review;
  Reviewing now{turn, true, rationale_of(message), lock, review, unwanted};
  auto over = [&] { return review.ends || review.limit; };
  for (const ToolCall& call : message.tool_calls) {
    GYGES_TRY(Fate fate, decide(now, call));
    review.calls.push_back(std::move(fate));
    if (over()) return review;
  }
  std::size_t next = 0;
  for (const Part& part : message.content) {
    if (part.kind != Part::Kind::opaque) continue;
    Fate fate;
    if (auto call = acting(part); call && next < numbers.size()) {
      call->call = numbers[next++];
      GYGES_TRY(fate, decide(now, *call));
      // Such a call is somebody else's format: it is let through as it is, or not at all.
      fate.refused = fate.refused || fate.arguments.has_value();
      fate.arguments.reset();
    }
    review.opaque.push_back(std::move(fate));
    if (over()) return review;
  }
  return review;
}

Result<Review> CallReview::review_undeclared(std::uint32_t turn, const ToolCall& call,
                                             std::unique_lock<std::mutex>& lock,
                                             const model::Cancellation* unwanted) {
  Review review;
  Reviewing now{turn, false, "", lock, review, unwanted};
  GYGES_TRY(Fate fate, decide(now, call));
  review.calls.push_back(std::move(fate));
  return review;
}

Result<std::optional<std::string>> CallReview::executed(std::uint32_t call,
                                                        std::uint64_t output_bytes) {
  budget_.add_output(output_bytes);
  if (oversight_.watcher == nullptr) return std::optional<std::string>();
  return oversight_.watcher->look(Moment::after, call);
}

}  // namespace gyges::gateway
