// The endpoint that a third-party agent takes for its model's vendor. It answers what the egress
// gateway hands out: chooses the wire format by path, checks the placeholder key, keeps every body,
// writes the turns into the transcript, and asks whatever stands behind it. Calls in a reply are
// held back until the gate has decided them.
//
// What it reads was written inside the sandbox: bodies are bounded by the link, JSON by the
// dialects. Errors are the vendor's own error bodies.
//
// Thread-safety: handle() is called by several threads; the rest before the first and after the
// last of those calls, but for stop_fd() and working_deadline(), and for log(), begin_served() and
// end_served(), which are as handle().
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent_runtime/gateway/call_book.h"
#include "agent_runtime/gateway/call_join.h"
#include "agent_runtime/gateway/call_review.h"
#include "agent_runtime/gateway/conversation_log.h"
#include "agent_runtime/gateway/exchange_log.h"
#include "agent_runtime/gateway/handed_calls.h"
#include "agent_runtime/gateway/outlet_server.h"
#include "agent_runtime/gateway/refusals.h"
#include "agent_runtime/model/cancellation.h"
#include "agent_runtime/model/delta.h"
#include "agent_runtime/model/dialect/dialect.h"
#include "agent_runtime/model/endpoint.h"
#include "agent_runtime/model/pass_through.h"
#include "base/error.h"
#include "base/fd.h"

namespace gyges::gateway {

// What one request asks of the model behind the endpoint.
struct Ask {
  const model::ModelRequest& request;
  // Sees the reply's deltas as they come, where the model streams; false: nobody listens any more.
  // Empty: the agent wants it whole.
  std::function<bool(const model::Delta&)> observer;
  const model::Dialect* front = nullptr;  // of the agent
  // The agent speaks the endpoint's own dialect: what goes out instead of `request`, and where the
  // answer comes back; null: it is read and written anew.
  model::PassThrough* raw = nullptr;
  // What the provider said instead of a reply; it goes to the agent in its own dialect.
  std::optional<model::ModelError> error;
  model::Losses losses;
  model::Endpoint::Spent spent;  // by a reply that broke off
  // Cancelled as soon as nobody waits for the reply any more. Borrowed; null: somebody does.
  model::Cancellation* cancellation = nullptr;
};

// The model behind the endpoint. Called by several threads at a time: an agent that asks in
// parallel is answered in parallel.
using Complete = std::function<Result<model::Reply>(Ask& ask)>;

struct EndpointOptions {
  const model::Dialect* dialect =
      nullptr;                      // the one that the profile chose; wins where paths agree
  std::string key;                  // the placeholder that the agent holds; empty: any
  std::vector<std::string> models;  // names for GET /models
  std::vector<scaffold::ShellTool> shell;
  std::vector<scaffold::McpServer> servers;
  bool remove_hosted_tools = true;
  // Of the endpoint behind: its dialect, null for models that are none, and the model's name there.
  const model::Dialect* behind = nullptr;
  std::string behind_model;
  Oversight oversight;
  CallBook* book = nullptr;  // borrowed; told of calls before the agent gets them; may be null
  // The next request after one was reached, or the next call, ends the run. Those of one call are
  // the agent's own, and a request that is larger than context_tokens is answered as the vendor
  // would.
  episode::ScenarioLimits limits;
  std::size_t piece_bytes = 48;  // of words, in a stream made from a whole reply
  // A call is about to be handed to the agent; its result has come back (`tool` is empty then).
  // One thread at a time; may be empty.
  std::function<void(std::uint32_t call, const std::string& tool, bool begins)> mark;
};

class ModelEndpoint {
 public:
  // `transcript` is borrowed. Makes exchanges.jsonl in `bundle`.
  static Result<std::unique_ptr<ModelEndpoint>> create(EndpointOptions options, Complete complete,
                                                       episode::Transcript& transcript,
                                                       const std::filesystem::path& bundle);

  bool handle(const HttpRequest& request, Answer& answer);

  // For the server of the scenario's command tools (tool_endpoint.h).
  void log(const ExchangeRecord& record);
  struct ServedCall {
    std::uint32_t call = 0;
    std::string arguments;               // JSON text to run it with; a gate may have modified them
    std::optional<std::string> refused;  // what the agent is told instead of a result
  };
  // A call of the tool arrives: one that the model made and the gate has decided, where name and
  // arguments are the same, or else one that is decided now. `id`: of the model's call as the agent
  // says; may be empty. `unwanted`: see episode::PendingCall. An error: the run is over.
  Result<ServedCall> begin_served(const std::string& tool, const std::string& arguments,
                                  const std::string& id,
                                  const model::Cancellation* unwanted = nullptr);
  // It was run. Once for each that was not refused.
  void end_served(std::uint32_t call, std::uint64_t duration_ns, const tools::ToolResult& result);

  // Readable once the agent should end: it asked for more turns than it has, or the record broke.
  [[nodiscard]] int stop_fd() const { return stop_.get(); }

  // Around the time in which a person whom the agent asks is waited for.
  void waits_for_person(bool begins);

  // When the run has worked for as long as it may: without the time in which its model, a gate, a
  // monitor or a person is waited for. max(): not foreseeable, or without that limit.
  [[nodiscard]] std::chrono::steady_clock::time_point working_deadline() const {
    return std::chrono::steady_clock::time_point(
        std::chrono::steady_clock::duration(working_deadline_.load()));
  }

  struct End {
    std::optional<episode::ReachedLimit> limit;  // that ended it
    std::optional<std::string> too_large;        // the last request was, in words
    std::optional<std::string> terminated;       // by the gate or a monitor: why
    std::optional<Error> failure;                // of the record
    std::optional<Error> model_failure;          // the last one
    std::string last_words;
    episode::Totals totals;
    std::uint64_t exchanges = 0;
    std::vector<WireCall> calls;
  };
  // After the last handle().
  End end();

 private:
  ModelEndpoint(EndpointOptions options, Complete complete, episode::Transcript& transcript,
                ExchangeLog log);
  struct Routed {
    const model::Dialect* dialect = nullptr;
    model::Route route;
  };
  [[nodiscard]] Routed route(const HttpRequest& request) const;
  [[nodiscard]] bool authorised(const HttpRequest& request, std::string_view query_key) const;
  bool generate(const HttpRequest& request, const Routed& routed, Answer& answer,
                ExchangeRecord& record);
  bool say(const model::WireReply& reply, bool with_body, Answer& answer, ExchangeRecord& record);
  bool say_error(const model::Dialect& dialect, const model::ModelError& error, Answer& answer,
                 ExchangeRecord& record);
  struct Generation;
  bool answer_with(Generation& generation);
  bool one_reply(Generation& generation, model::PassThrough* raw);
  struct Asked;
  Result<Asked> ask(Ask& ask, Generation& generation);
  Status begin(const model::ModelRequest& request, ExchangeRecord& record);
  Result<std::optional<Asked>> take(model::Reply reply, ExchangeRecord& record,
                                    std::unique_lock<std::mutex>& lock,
                                    const model::Cancellation& unwanted);
  [[nodiscard]] bool over() const { return failure_ || terminated_ || limit_; }
  void end_at(episode::ReachedLimit limit);
  // Somebody else than the agent is waited for: the model, a gate, a monitor, a person.
  void waits(bool begins);
  class Waiting;
  bool say_failure(const model::Dialect& dialect, const Error& failure, const Ask& ask,
                   Answer& answer, ExchangeRecord& record);
  bool say_whole(Generation& generation, const model::PassThrough* raw);
  Status decide_undeclared(const std::string& name, const std::string& arguments,
                           const std::string& id, ServedCall& served,
                           std::unique_lock<std::mutex>& lock,
                           const model::Cancellation* unwanted);
  void hand_on(const model::ToolCall& call);
  void fail_run(Error error);
  void terminate(std::string reason);
  void stop_agent();

  EndpointOptions options_;
  Complete complete_;
  std::mutex log_mutex_;  // of exchanges.jsonl
  // Of the rest; held while a call is decided, but not while a person or a callback ponders.
  std::mutex mutex_;
  ExchangeLog log_;
  ConversationLog turns_;
  episode::Budget budget_;
  CallReview review_;
  Refusals refusals_;
  std::string served_name_, served_prefix_;  // of the server that is reached here; empty: none is
  HandedCalls handed_;                       // of its tools
  std::set<std::uint32_t> begun_served_;     // that are being run
  std::atomic<std::size_t> open_bytes_ = 0;  // see StreamedAnswer
  UniqueFd stop_;
  std::uint32_t asking_ = 0;   // requests that wait for the model
  std::uint32_t waiting_ = 0;  // they, and what else is waited for
  std::chrono::steady_clock::time_point waiting_since_;
  std::atomic<std::chrono::steady_clock::rep> working_deadline_;
  std::optional<episode::ReachedLimit> limit_;
  std::optional<std::string> too_large_;
  std::optional<std::string> terminated_;
  std::optional<Error> failure_;
  std::optional<Error> model_failure_;
};

// While it lives, somebody else than the agent is waited for. Under the lock, which may be given up
// meanwhile.
class ModelEndpoint::Waiting {
 public:
  explicit Waiting(ModelEndpoint& endpoint) : endpoint_(endpoint) { endpoint_.waits(true); }
  ~Waiting() { endpoint_.waits(false); }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

 private:
  ModelEndpoint& endpoint_;
};

// The time as the trace has it: CLOCK_MONOTONIC in nanoseconds.
std::uint64_t trace_time();

model::ModelError model_error(model::ModelError::Kind kind, int status, std::string message);

}  // namespace gyges::gateway
