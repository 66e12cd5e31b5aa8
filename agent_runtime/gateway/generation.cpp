// How a request for a reply is answered: what the model is asked, what of its reply the agent gets.
#include <algorithm>

#include "agent_runtime/gateway/model_endpoint.h"
#include "agent_runtime/gateway/request_as_sent.h"
#include "agent_runtime/gateway/streamed_answer.h"
#include "base/text.h"

namespace gyges::gateway {
namespace {

using model::Dialect;
using model::ModelError;
using model::ModelRequest;
using model::Reply;
using model::Route;

// Of opening brackets and braces in a body: what a parser makes of them takes many times their
// room.
constexpr std::ptrdiff_t most_structure = 500'000;
constexpr std::size_t most_messages = 50'000;

model::WireReply as_it_came(const model::PassThrough& raw) {
  model::WireReply reply;
  reply.status = raw.status;
  for (const auto& [name, value] : raw.answer_headers) reply.headers.push_back(name + ": " + value);
  reply.body = raw.answer;
  return reply;
}

}  // namespace

// A reply of the model, and what the gate made of it.
struct ModelEndpoint::Asked {
  Reply reply;
  Review review;
  std::vector<model::Message> refusals;
  bool again = false;  // the model is told and asked again
};

// One request to the model, from its body to the end of its answer.
struct ModelEndpoint::Generation {
  const Dialect& dialect;
  const HttpRequest& request;
  const ModelRequest& asked;  // by the agent
  ModelRequest told;          // to the model
  Answer& answer;
  ExchangeRecord& record;
  std::optional<StreamedAnswer> stream;
  Reply shown;                       // all that the agent gets
  std::vector<model::Message> said;  // all that the model said and was told
  bool any_refused = false;
  bool again = false;
  bool well = false;

  void add(const Asked& one, const Reply& part) {
    const model::Message& message = part.message;
    std::size_t before = shown.message.content.size();
    model::Message joined = std::move(shown.message);
    shown = part;
    joined.role = model::Role::assistant;
    joined.content.insert(joined.content.end(), message.content.begin(), message.content.end());
    for (model::ToolCall call : message.tool_calls) {
      if (call.position != model::ToolCall::at_end) call.position += before;
      joined.tool_calls.push_back(std::move(call));
    }
    joined.origin = message.origin;
    joined.extra = message.extra;
    shown.message = std::move(joined);
    any_refused = any_refused || !one.refusals.empty();
    said.push_back(one.reply.message);
    said.insert(said.end(), one.refusals.begin(), one.refusals.end());
    if (!one.again) return;
    told.messages.push_back(one.reply.message);
    told.messages.insert(told.messages.end(), one.refusals.begin(), one.refusals.end());
  }
};

bool ModelEndpoint::generate(const HttpRequest& request, const Routed& routed, Answer& answer,
                             ExchangeRecord& record) {
  const Dialect& dialect = *routed.dialect;
  record.kind = routed.route.kind == Route::Kind::generate ? "generate" : "count_tokens";
  auto structure = std::count_if(request.body.begin(), request.body.end(),
                                 [](char c) { return c == '{' || c == '['; });
  if (structure > most_structure) {
    record.fault = "the body has more structure than is taken";
    return say_error(dialect, model_error(ModelError::Kind::too_large, 413, "Request too large"),
                     answer, record);
  }
  auto asked = dialect.parse_request(request.head.target, request.body);
  if (!asked) {
    record.fault = printable(asked.error().line());
    return say_error(
        dialect,
        model_error(ModelError::Kind::invalid_request, 400, valid_utf8(asked.error().reason)),
        answer, record);
  }
  if (asked->messages.size() > most_messages) {
    record.fault = "the conversation has more messages than are taken";
    return say_error(dialect, model_error(ModelError::Kind::too_large, 413, "Request too large"),
                     answer, record);
  }
  if (std::uint64_t most = options_.limits.context_tokens;
      most != 0 && routed.route.kind == Route::Kind::generate) {
    std::uint64_t size = model::estimated_tokens(*asked);
    std::string words = "prompt is too long: " + std::to_string(size) + " tokens > " +
                        std::to_string(most) + " maximum";
    {
      std::scoped_lock lock(mutex_);
      too_large_.reset();
      if (size > most) too_large_ = words;
    }
    if (size > most) {
      record.fault = words;
      return say_error(dialect, model_error(ModelError::Kind::context_length, 400, words), answer,
                       record);
    }
  }
  if (routed.route.kind == Route::Kind::count_tokens) {
    return say(dialect.write_count(model::estimated_tokens(*asked)), true, answer, record);
  }
  std::vector<std::string> addresses = addresses_to_fetch(request.body);
  if (!addresses.empty() && options_.remove_hosted_tools) {
    record.fault = printable("the provider is asked to fetch " + addresses.front());
    return say_error(dialect,
                     model_error(ModelError::Kind::invalid_request, 400,
                                 "Unable to download content from the given URL"),
                     answer, record);
  }
  Generation generation{dialect, request, *asked, *asked, answer, record};
  record.hosted_tools = take_hosted_tools(generation.told);
  for (std::string& address : addresses) record.hosted_tools.push_back(printable(address));
  record.hosted_removed = options_.remove_hosted_tools && !record.hosted_tools.empty();
  if (!options_.remove_hosted_tools) generation.told = *asked;
  generation.told.stream = asked->stream || routed.route.stream;
  if (generation.told.stream)
    generation.stream.emplace(dialect, *asked, wants_array(dialect, request.head.target), answer,
                              record, open_bytes_);
  return answer_with(generation);
}

bool ModelEndpoint::answer_with(Generation& generation) {
  if (auto begun = begin(generation.asked, generation.record); !begun)
    return say_failure(generation.dialect, begun.error(), Ask{generation.told, {}},
                       generation.answer, generation.record);
  bool put_back = false;
  {
    std::scoped_lock lock(mutex_);
    put_back = refusals_.put_back(generation.told);
  }
  std::optional<model::PassThrough> raw;
  if (options_.behind == &generation.dialect && !put_back) {
    const std::string& target = generation.request.head.target;
    auto body = body_as_sent(generation.dialect, target, generation.request.body,
                             options_.behind_model, generation.record.hosted_removed);
    if (body) {
      raw.emplace();
      raw->body = std::move(*body);
      raw->headers = headers_as_sent(generation.request);
      raw->array = generation.told.stream && wants_array(generation.dialect, target);
    }
  }
  while (one_reply(generation, raw ? &*raw : nullptr)) {
    if (!generation.again) return true;
    raw.reset();
  }
  return generation.well;
}

// One reply of the model. False: the answer is over, well or not.
bool ModelEndpoint::one_reply(Generation& generation, model::PassThrough* raw) {
  const Dialect& dialect = generation.dialect;
  Ask ask{generation.told, {}, &dialect, raw, {}, {}, {}, nullptr};
  const bool passes = raw != nullptr && !options_.oversight.enforces;
  bool listening = true;
  if (generation.stream) {
    StreamedAnswer& stream = *generation.stream;
    ask.observer = [&](const model::Delta& delta) {
      listening = listening && stream.take(delta);
      return listening;
    };
    if (raw != nullptr)
      raw->event = [&](std::string_view bytes, const std::vector<model::Delta>& deltas) {
        if (passes) {
          listening = listening && stream.pass(*raw, bytes, deltas);
          return listening;
        }
        for (const auto& delta : deltas) listening = listening && stream.take(delta);
        return listening;
      };
  }
  auto asked = this->ask(ask, generation);
  if (!asked) {
    generation.record.fault = printable(asked.error().line());
    bool headed = generation.stream && generation.stream->headed();
    generation.well =
        !headed && say_failure(dialect, asked.error(), ask, generation.answer, generation.record);
    return false;  // what has begun is broken off, as a connection that is lost
  }
  Reply shown = reviewed(asked->reply, asked->review);
  generation.again = asked->again;
  generation.add(*asked, shown);
  if (!generation.again && generation.any_refused) {
    std::scoped_lock lock(mutex_);
    refusals_.remember(generation.shown.message, generation.said);
  }
  if (generation.stream) {
    StreamedAnswer& stream = *generation.stream;
    generation.well =
        listening && (stream.begun() ? stream.release(asked->review, generation.again)
                                     : stream.write(shown, options_.piece_bytes, generation.again));
    return generation.well;
  }
  if (!generation.again) generation.well = say_whole(generation, passes ? raw : nullptr);
  return generation.again || generation.well;
}

bool ModelEndpoint::say_whole(Generation& generation, const model::PassThrough* raw) {
  if (raw == nullptr || raw->answer.empty())
    return say(generation.dialect.write_response(generation.asked, generation.shown,
                                                 generation.record.losses),
               true, generation.answer, generation.record);
  return say(as_it_came(*raw), true, generation.answer, generation.record);
}

bool ModelEndpoint::say_failure(const Dialect& dialect, const Error& failure, const Ask& ask,
                                Answer& answer, ExchangeRecord& record) {
  record.fault = printable(failure.line());
  if (ask.raw != nullptr && ask.raw->status >= 400 && !ask.raw->answer.empty())
    return say(as_it_came(*ask.raw), true, answer, record);
  ModelError said =
      ask.error.value_or(model_error(ModelError::Kind::overloaded, 529, "Overloaded"));
  // An overflow that a server reports as its own failure would be tried again by the agent.
  const bool overflow = said.kind == ModelError::Kind::context_length;
  if (overflow || said.status < 400 || said.status > 599) said.status = model::status_of(said.kind);
  return say_error(dialect, said, answer, record);
}

Status ModelEndpoint::begin(const ModelRequest& request, ExchangeRecord& record) {
  std::scoped_lock lock(mutex_);
  if (over()) return fail("ask model", "", "the run is over");
  ResultHooks hooks;
  hooks.ended = [this, &record](std::uint32_t call) {
    handed_.forget(call);
    if (options_.book != nullptr) options_.book->close(call, record.time_ns);
    if (options_.mark) options_.mark(call, {}, false);
  };
  hooks.executed = [this](std::uint32_t call, std::uint64_t output_bytes) -> Status {
    Waiting for_monitors(*this);
    GYGES_TRY(std::optional<std::string> stop, review_.executed(call, output_bytes));
    if (stop) terminate(std::move(*stop));
    return ok();
  };
  auto thread = turns_.take_request(request, record.time_ns, hooks);
  if (!thread) {
    fail_run(thread.error());
    return tl::unexpected<Error>(thread.error());
  }
  record.thread = *thread;
  if (over()) return fail("ask model", "", "the run is over");
  return ok();
}

Result<ModelEndpoint::Asked> ModelEndpoint::ask(Ask& ask, Generation& generation) {
  {
    std::scoped_lock lock(mutex_);
    if (over()) return fail("ask model", "", "the run is over");
    if (auto reached = budget_.before_reply(asking_)) {
      std::string words = reached->detail;
      end_at(std::move(*reached));
      return fail("ask model", "", words);
    }
    budget_.add_request();
    ++asking_;
    waits(true);
  }
  // Who hangs up, or has ended, waits neither for the model nor for those who decide on its calls.
  model::Cancellation unwanted;
  WhenGone leaving(generation.answer, [&unwanted] { unwanted.cancel(); });
  ask.cancellation = &unwanted;
  Result<Reply> reply = complete_(ask);
  ask.cancellation = nullptr;
  std::unique_lock lock(mutex_);
  --asking_;
  waits(false);
  for (auto& loss : ask.losses) generation.record.losses.push_back(std::move(loss));
  if (!reply) {
    // One failure is the agent's to deal with; it ends the run only when the agent gives up. A
    // reply of which the agent has read something, or for which it has not waited, was a turn: who
    // hangs up gets none for nothing.
    if (!failure_) model_failure_ = reply.error();
    budget_.add_spent(ask.spent.usage, ask.spent.cost);
    if (unwanted.cancelled() || (generation.stream && generation.stream->begun()))
      budget_.add_turn();
    return tl::unexpected<Error>(reply.error());
  }
  auto taken = take(std::move(*reply), generation.record, lock, unwanted);
  if (!taken) {
    fail_run(taken.error());
    return tl::unexpected<Error>(std::move(taken.error()));
  }
  if (!*taken) return fail("ask model", "", "the run is over");
  return std::move(**taken);
}

// Under the lock, so that the record has what belongs together in one piece. nullopt: the run is
// over.
Result<std::optional<ModelEndpoint::Asked>> ModelEndpoint::take(
    Reply reply, ExchangeRecord& record, std::unique_lock<std::mutex>& lock,
    const model::Cancellation& unwanted) {
  budget_.add_reply(reply.usage, reply.cost);
  budget_.add_turn();
  if (over()) return std::optional<Asked>();
  GYGES_CHECK(turns_.take_reply(record.thread, reply));
  record.turn = turns_.turns();
  std::vector<std::uint32_t> numbers;
  if (options_.oversight.approver != nullptr)
    for (const auto& part : reply.message.content)
      if (acting(part)) numbers.push_back(turns_.next_call());
  Asked asked;
  {
    Waiting for_decisions(*this);
    GYGES_TRY(asked.review, review_.review(record.turn, reply.message, numbers, lock, &unwanted));
  }
  if (asked.review.ends) terminate(*asked.review.ends);
  if (asked.review.limit) end_at(*asked.review.limit);
  // Also by another turn, while this one's decision was waited for.
  if (over()) return std::optional<Asked>();
  for (std::size_t i = 0; i < reply.message.tool_calls.size(); ++i) {
    model::ToolCall call = reply.message.tool_calls[i];
    const Fate& fate = asked.review.calls[i];
    if (fate.refused) {
      asked.refusals.push_back(refusal_of(call, fate.told));
      GYGES_CHECK(turns_.refused(record.thread, asked.refusals.back()));
      continue;
    }
    if (fate.arguments) call.arguments = *fate.arguments;
    hand_on(call);
  }
  asked.again = asked.review.refuses_all();
  asked.reply = std::move(reply);
  return std::optional<Asked>(std::move(asked));
}

}  // namespace gyges::gateway
