// The endpoint that a third-party agent takes for its model's vendor. It answers what the egress
// gateway hands out: chooses the wire format by path, checks the placeholder key, keeps every body,
// writes the turns into the transcript, and asks whatever stands behind it.
//
// What it reads was written inside the sandbox: bodies are bounded by the link, JSON by the
// dialects. Errors are the vendor's own error bodies.
//
// Thread-safety: handle() is called by several threads; the rest before the first and after the
// last of those calls, but for turns(), over() and stop_fd().
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "agent_runtime/gateway/call_join.h"
#include "agent_runtime/gateway/conversation_log.h"
#include "agent_runtime/gateway/exchange_log.h"
#include "agent_runtime/gateway/outlet_server.h"
#include "agent_runtime/model/delta.h"
#include "agent_runtime/model/dialect/dialect.h"
#include "base/error.h"
#include "base/fd.h"

namespace gyges::gateway {

// What one request asks of the model behind the endpoint.
struct Ask {
  const model::ModelRequest& request;
  // Sees the reply's deltas as they come, where the model streams; false: nobody listens any more.
  // Empty: the agent wants it whole.
  std::function<bool(const model::Delta&)> observer;
  // What the provider said instead of a reply; it goes to the agent in its own dialect.
  std::optional<model::ModelError> error;
  model::Losses losses;
};

// The model behind the endpoint. Called by one thread at a time.
using Complete = std::function<Result<model::Reply>(Ask& ask)>;

struct EndpointOptions {
  const model::Dialect* dialect =
      nullptr;                      // the one that the profile chose; wins where paths agree
  std::string key;                  // the placeholder that the agent holds; empty: any
  std::vector<std::string> models;  // names for GET /models
  std::vector<scaffold::ShellTool> shell;
  bool remove_hosted_tools = true;
  std::uint32_t most_turns = 1;  // replies; the next request ends the run
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

  // Readable once the agent should end: it asked for more turns than it has, or the record broke.
  [[nodiscard]] int stop_fd() const { return stop_.get(); }

  struct End {
    bool turn_limit = false;
    std::optional<Error> failure;        // of the record
    std::optional<Error> model_failure;  // the last one
    std::string last_words;
    std::uint32_t turns = 0;
    std::uint64_t exchanges = 0;
    std::vector<WireCall> calls;
  };
  // After the last handle().
  End end();

 private:
  ModelEndpoint(EndpointOptions options, Complete complete, episode::Transcript& transcript,
                ExchangeLog log);
  struct Routed;
  [[nodiscard]] Routed route(const HttpRequest& request) const;
  [[nodiscard]] bool authorised(const HttpRequest& request, std::string_view query_key) const;
  bool generate(const HttpRequest& request, const Routed& routed, Answer& answer,
                ExchangeRecord& record);
  bool say(const model::WireReply& reply, bool with_body, Answer& answer, ExchangeRecord& record);
  bool say_error(const model::Dialect& dialect, const model::ModelError& error, Answer& answer,
                 ExchangeRecord& record);
  bool stream(const model::Dialect& dialect, const model::ModelRequest& asked,
              const model::ModelRequest& told, Answer& answer, ExchangeRecord& record);
  Result<model::Reply> ask(Ask& ask, ExchangeRecord& record, std::uint64_t now_ns);
  bool say_failure(const model::Dialect& dialect, const Error& failure, const Ask& ask,
                   Answer& answer, ExchangeRecord& record);
  void fail_run(Error error);
  void stop_agent();

  EndpointOptions options_;
  Complete complete_;
  std::mutex mutex_;        // of the record
  std::mutex model_mutex_;  // of the model
  ExchangeLog log_;
  ConversationLog turns_;
  UniqueFd stop_;
  std::uint32_t started_ = 0;  // turns, also those that are not over
  bool turn_limit_ = false;
  std::optional<Error> failure_;
  std::optional<Error> model_failure_;
};

// The names of the tools in `request` that the provider would run itself, taken out of it.
std::vector<std::string> take_hosted_tools(model::ModelRequest& request);

}  // namespace gyges::gateway
