#include "agent_runtime/gateway/model_endpoint.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <ctime>

#include "agent_runtime/model/delta.h"
#include "base/json.h"
#include "base/text.h"

namespace gyges::gateway {
namespace {

using model::Dialect;
using model::ModelError;
using model::ModelRequest;
using model::Reply;
using model::Route;

constexpr std::size_t most_target = 8192;
// Of opening brackets and braces in a body: what a parser makes of them takes many times their
// room.
constexpr std::ptrdiff_t most_structure = 500'000;
constexpr std::size_t most_messages = 50'000;

// As the trace has it.
std::uint64_t now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(time.tv_nsec);
}

std::string_view path_of(std::string_view target) {
  return target.substr(0, target.find('?'));
}

// "key=..." of a query; Gemini's clients send it so.
std::string_view key_in_query(std::string_view target) {
  auto mark = target.find('?');
  while (mark != std::string_view::npos) {
    std::string_view rest = target.substr(mark + 1);
    if (rest.starts_with("key=")) return rest.substr(4, rest.find('&') - 4);
    mark = target.find('&', mark + 1);
  }
  return {};
}

network::HeaderFields fields_of(const std::vector<std::string>& headers) {
  network::HeaderFields fields;
  for (const std::string& line : headers) {
    auto colon = line.find(':');
    if (colon == std::string::npos) continue;
    auto value = line.find_first_not_of(' ', colon + 1);
    fields.emplace_back(line.substr(0, colon),
                        value == std::string::npos ? "" : line.substr(value));
  }
  return fields;
}

bool asks_for_socket(const HttpRequest& request) {
  std::string upgrade(request.header("Upgrade"));
  std::transform(upgrade.begin(), upgrade.end(), upgrade.begin(),
                 [](unsigned char c) { return static_cast<char>(c < 128 ? std::tolower(c) : c); });
  return upgrade.find("websocket") != std::string::npos;
}

ModelError error(ModelError::Kind kind, int status, std::string message) {
  ModelError made;
  made.kind = kind;
  made.status = status;
  made.message = std::move(message);
  return made;
}

}  // namespace

struct ModelEndpoint::Routed {
  const Dialect* dialect = nullptr;
  Route route;
};

std::vector<std::string> take_hosted_tools(ModelRequest& request) {
  std::vector<std::string> names;
  std::erase_if(request.tools, [&](const model::ToolDeclaration& tool) {
    bool hosted = tool.kind == model::ToolDeclaration::Kind::hosted;
    if (hosted) names.push_back(tool.name);
    return hosted;
  });
  // Members by which a provider is told to reach out on its own.
  auto extra = nlohmann::json::parse(request.extra, nullptr, false);
  if (!extra.is_object()) return names;
  bool changed = false;
  for (const char* member : {"mcp_servers", "web_search_options", "web_search", "container"}) {
    if (!extra.contains(member) || extra.at(member).is_null()) continue;
    names.emplace_back(member);
    extra.erase(member);
    changed = true;
  }
  if (changed) request.extra = extra.empty() ? std::string() : extra.dump();
  return names;
}

ModelEndpoint::ModelEndpoint(EndpointOptions options, Complete complete,
                             episode::Transcript& transcript, ExchangeLog log)
    : options_(std::move(options)),
      complete_(std::move(complete)),
      log_(std::move(log)),
      turns_(transcript, options_.shell),
      stop_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Result<std::unique_ptr<ModelEndpoint>> ModelEndpoint::create(EndpointOptions options,
                                                             Complete complete,
                                                             episode::Transcript& transcript,
                                                             const std::filesystem::path& bundle) {
  GYGES_TRY(ExchangeLog log, ExchangeLog::create(bundle));
  std::unique_ptr<ModelEndpoint> made(
      new ModelEndpoint(std::move(options), std::move(complete), transcript, std::move(log)));
  if (!made->stop_) return fail_errno("make event counter", "");
  return made;
}

ModelEndpoint::Routed ModelEndpoint::route(const HttpRequest& request) const {
  std::string_view path = path_of(request.head.target);
  if (Route found = options_.dialect->route(path); found.kind != Route::Kind::none)
    return {options_.dialect, found};
  for (const Dialect* dialect : model::dialects())
    if (Route found = dialect->route(path); found.kind != Route::Kind::none)
      return {dialect, found};
  return {options_.dialect, {}};
}

bool ModelEndpoint::authorised(const HttpRequest& request, std::string_view query_key) const {
  if (options_.key.empty()) return true;
  std::string_view bearer = request.header("Authorization");
  if (bearer.starts_with("Bearer ") || bearer.starts_with("bearer ")) bearer.remove_prefix(7);
  for (std::string_view shown :
       {bearer, request.header("x-api-key"), request.header("x-goog-api-key"),
        request.header("api-key"), query_key})
    if (shown == options_.key) return true;
  return false;
}

bool ModelEndpoint::handle(const HttpRequest& request, Answer& answer) {
  ExchangeRecord record;
  record.time_ns = now();
  record.method = request.head.method;
  record.host = request.head.host;
  record.target = request.head.target.substr(0, most_target);
  record.tls = request.head.tls;
  Routed routed = route(request);
  const Dialect& dialect = *routed.dialect;
  if (routed.route.kind != Route::Kind::none) record.dialect = dialect.name();
  record.kind = "unknown";
  bool head = record.method == "HEAD";
  bool post = record.method == "POST";
  bool whole = false;
  using Kind = Route::Kind;
  if (asks_for_socket(request)) {
    record.kind = "upgrade";
    whole = say_error(dialect, error(ModelError::Kind::invalid_request, 426, "Upgrade Required"),
                      answer, record);
  } else if (head) {
    record.kind = "probe";
    whole = say({path_of(request.head.target) == "/" ? 200 : 404, {}, {}}, false, answer, record);
  } else if (routed.route.kind == Kind::none) {
    whole =
        say_error(dialect, error(ModelError::Kind::not_found, 404, "Not found"), answer, record);
  } else if (!authorised(request, key_in_query(request.head.target))) {
    record.kind = "unauthorised";
    whole = say_error(dialect, error(ModelError::Kind::authentication, 401, "invalid x-api-key"),
                      answer, record);
  } else if (routed.route.kind == Kind::models && record.method == "GET") {
    record.kind = "models";
    whole = say(dialect.write_models(options_.models), true, answer, record);
  } else if (post && routed.route.kind != Kind::models) {
    whole = generate(request, routed, answer, record);
  } else {
    whole = say_error(dialect, error(ModelError::Kind::invalid_request, 405, "Method Not Allowed"),
                      answer, record);
  }
  record.request_body = request.body;
  record.broken = !whole;
  record.duration_ns = now() - record.time_ns;
  std::scoped_lock lock(mutex_);
  if (auto written = log_.write(record); !written) fail_run(std::move(written.error()));
  return whole;
}

bool ModelEndpoint::generate(const HttpRequest& request, const Routed& routed, Answer& answer,
                             ExchangeRecord& record) {
  const Dialect& dialect = *routed.dialect;
  record.kind = routed.route.kind == Route::Kind::generate ? "generate" : "count_tokens";
  auto structure = std::count_if(request.body.begin(), request.body.end(),
                                 [](char c) { return c == '{' || c == '['; });
  if (structure > most_structure) {
    record.fault = "the body has more structure than is taken";
    return say_error(dialect, error(ModelError::Kind::too_large, 413, "Request too large"), answer,
                     record);
  }
  auto asked = dialect.parse_request(request.head.target, request.body);
  if (!asked) {
    record.fault = printable(asked.error().line());
    return say_error(
        dialect, error(ModelError::Kind::invalid_request, 400, valid_utf8(asked.error().reason)),
        answer, record);
  }
  if (asked->messages.size() > most_messages) {
    record.fault = "the conversation has more messages than are taken";
    return say_error(dialect, error(ModelError::Kind::too_large, 413, "Request too large"), answer,
                     record);
  }
  if (routed.route.kind == Route::Kind::count_tokens) {
    return say(dialect.write_count(model::estimated_tokens(*asked)), true, answer, record);
  }
  ModelRequest told = *asked;
  record.hosted_tools = take_hosted_tools(told);
  record.hosted_removed = options_.remove_hosted_tools && !record.hosted_tools.empty();
  if (!options_.remove_hosted_tools) told = *asked;
  told.stream = asked->stream || routed.route.stream;
  if (told.stream) return stream(dialect, *asked, told, answer, record);
  Ask ask_whole{told, {}, {}, {}};
  auto reply = ask(ask_whole, record, record.time_ns);
  if (!reply) return say_failure(dialect, reply.error(), ask_whole, answer, record);
  return say(dialect.write_response(*asked, *reply, record.losses), true, answer, record);
}

bool ModelEndpoint::say_failure(const Dialect& dialect, const Error& failure, const Ask& ask,
                                Answer& answer, ExchangeRecord& record) {
  record.fault = printable(failure.line());
  ModelError said = ask.error.value_or(error(ModelError::Kind::overloaded, 529, "Overloaded"));
  if (said.status < 400 || said.status > 599) said.status = model::status_of(said.kind);
  return say_error(dialect, said, answer, record);
}

Result<Reply> ModelEndpoint::ask(Ask& ask, ExchangeRecord& record, std::uint64_t now_ns) {
  {
    std::scoped_lock lock(mutex_);
    if (failure_) return fail("ask model", "", "the record is broken");
    if (started_ >= options_.most_turns) {
      turn_limit_ = true;
      stop_agent();
      return fail("ask model", "", "the agent has used all of its turns");
    }
    auto thread = turns_.take_request(ask.request, now_ns);
    if (!thread) {
      fail_run(thread.error());
      return tl::unexpected<Error>(thread.error());
    }
    record.thread = *thread;
    ++started_;
    if (options_.mark)
      for (const WireCall& call : turns_.calls())
        if (call.answered_ns == now_ns) options_.mark(call.call, {}, false);
  }
  // The agent may act on a call as soon as it has read it, which is before the reply is whole.
  std::uint64_t first_ns = 0;
  if (auto observer = std::move(ask.observer))
    ask.observer = [&first_ns, observer](const model::Delta& delta) {
      if (first_ns == 0) first_ns = now();
      return observer(delta);
    };
  Result<Reply> reply = [&] {
    std::scoped_lock lock(model_mutex_);
    return complete_(ask);
  }();
  for (auto& loss : ask.losses) record.losses.push_back(std::move(loss));
  std::scoped_lock lock(mutex_);
  if (!reply) {
    // One failure is the agent's to deal with; it ends the run only when the agent gives up.
    if (!failure_) model_failure_ = reply.error();
    --started_;  // no turn was had
    return reply;
  }
  if (auto taken = turns_.take_reply(record.thread, *reply, first_ns != 0 ? first_ns : now());
      !taken) {
    fail_run(taken.error());
    return tl::unexpected<Error>(taken.error());
  }
  record.turn = turns_.turns();
  if (options_.mark)
    for (const auto& call : reply->message.tool_calls) options_.mark(call.call, call.name, true);
  return reply;
}

bool ModelEndpoint::say(const model::WireReply& reply, bool with_body, Answer& answer,
                        ExchangeRecord& record) {
  network::OutletResponse response{reply.status, fields_of(reply.headers)};
  std::erase_if(response.headers, [](const auto& field) {
    return field.first == "Content-Length" || field.first == "content-length";
  });
  response.headers.emplace_back("Content-Length", std::to_string(reply.body.size()));
  record.status = reply.status;
  record.answer_body = reply.body;
  return answer.head(response) && (!with_body || answer.body(reply.body));
}

bool ModelEndpoint::say_error(const Dialect& dialect, const ModelError& said, Answer& answer,
                              ExchangeRecord& record) {
  model::WireReply reply = dialect.write_error(said);
  reply.status = said.status;
  return say(reply, true, answer, record);
}

// Pieces go out as they come. The last one waits until the reply stands in the record.
bool ModelEndpoint::stream(const Dialect& dialect, const ModelRequest& asked,
                           const ModelRequest& told, Answer& answer, ExchangeRecord& record) {
  auto writer = dialect.stream_writer(asked);
  bool headed = false;
  std::optional<model::Delta> last;
  auto write = [&](const model::Delta& delta) {
    std::string bytes = writer->write(delta);
    if (bytes.empty()) return true;
    if (!headed) {
      headed = true;
      record.status = 200;
      record.streamed = true;
      if (!answer.head({200,
                        {{"Content-Type", "text/event-stream; charset=utf-8"},
                         {"Cache-Control", "no-cache"}}}))
        return false;
    }
    record.answer_body += bytes;
    return answer.body(bytes);
  };
  bool listening = true;
  Ask ask_streamed{told, {}, {}, {}};
  ask_streamed.observer = [&](const model::Delta& delta) {
    if (delta.kind == model::Delta::Kind::error) return listening;
    if (delta.kind == model::Delta::Kind::stop)
      last = delta;
    else
      listening = listening && write(delta);
    return listening;
  };
  auto reply = ask(ask_streamed, record, record.time_ns);
  if (!reply) {
    if (!headed) return say_failure(dialect, reply.error(), ask_streamed, answer, record);
    record.fault = printable(reply.error().line());
    return false;  // as a connection that is lost
  }
  if (headed) return listening && last && write(*last);
  for (const model::Delta& delta : model::deltas_of(*reply, options_.piece_bytes))
    if (!write(delta)) return false;
  return true;
}

void ModelEndpoint::fail_run(Error error) {
  if (!failure_) failure_ = std::move(error);
  stop_agent();
}

void ModelEndpoint::stop_agent() {
  (void)::eventfd_write(stop_.get(), 1);
}

ModelEndpoint::End ModelEndpoint::end() {
  std::scoped_lock lock(mutex_);
  End end;
  end.turn_limit = turn_limit_;
  end.failure = failure_;
  end.model_failure = model_failure_;
  end.last_words = turns_.last_words();
  end.turns = turns_.turns();
  end.exchanges = log_.lines();
  end.calls = turns_.calls();
  return end;
}

}  // namespace gyges::gateway
