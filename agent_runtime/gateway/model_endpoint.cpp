#include "agent_runtime/gateway/model_endpoint.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <ctime>

#include "agent_runtime/gateway/request_as_sent.h"
#include "agent_runtime/gateway/streamed_answer.h"
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

}  // namespace

std::uint64_t trace_time() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(time.tv_nsec);
}

model::ModelError model_error(ModelError::Kind kind, int status, std::string message) {
  ModelError made;
  made.kind = kind;
  made.status = status;
  made.message = std::move(message);
  return made;
}

ModelEndpoint::ModelEndpoint(EndpointOptions options, Complete complete,
                             episode::Transcript& transcript, ExchangeLog log)
    : options_(std::move(options)),
      complete_(std::move(complete)),
      log_(std::move(log)),
      turns_(transcript, options_.shell, options_.servers),
      budget_(options_.limits),
      review_(options_.oversight, transcript, budget_),
      stop_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      working_deadline_(budget_.working_deadline().time_since_epoch().count()) {
  for (const auto& server : options_.servers)
    if (server.command.empty()) {
      served_name_ = server.name;
      served_prefix_ = server.wire_prefix;
    }
}

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
  record.time_ns = trace_time();
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
    whole =
        say_error(dialect, model_error(ModelError::Kind::invalid_request, 426, "Upgrade Required"),
                  answer, record);
  } else if (head) {
    record.kind = "probe";
    whole = say({path_of(request.head.target) == "/" ? 200 : 404, {}, {}}, false, answer, record);
  } else if (routed.route.kind == Kind::none) {
    whole = say_error(dialect, model_error(ModelError::Kind::not_found, 404, "Not found"), answer,
                      record);
  } else if (!authorised(request, key_in_query(request.head.target))) {
    record.kind = "unauthorised";
    whole =
        say_error(dialect, model_error(ModelError::Kind::authentication, 401, "invalid x-api-key"),
                  answer, record);
  } else if (routed.route.kind == Kind::models && record.method == "GET") {
    record.kind = "models";
    whole = say(dialect.write_models(options_.models), true, answer, record);
  } else if (post && routed.route.kind != Kind::models) {
    whole = generate(request, routed, answer, record);
  } else {
    whole = say_error(dialect,
                      model_error(ModelError::Kind::invalid_request, 405, "Method Not Allowed"),
                      answer, record);
  }
  record.request_body = request.body;
  record.broken = !whole;
  record.duration_ns = trace_time() - record.time_ns;
  Status written = [&] {
    std::scoped_lock lock(log_mutex_);
    return log_.write(record);
  }();
  std::scoped_lock lock(mutex_);
  budget_.add_losses(record.losses);
  if (!written) fail_run(std::move(written.error()));
  return whole;
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

void ModelEndpoint::fail_run(Error error) {
  if (!failure_) failure_ = std::move(error);
  stop_agent();
}

void ModelEndpoint::terminate(std::string reason) {
  if (!terminated_) terminated_ = std::move(reason);
  stop_agent();
}

void ModelEndpoint::end_at(episode::ReachedLimit limit) {
  if (!limit_) limit_ = std::move(limit);
  stop_agent();
}

void ModelEndpoint::waits(bool begins) {
  using Clock = std::chrono::steady_clock;
  auto deadline = Clock::time_point::max();
  if (begins) {
    if (waiting_++ == 0) waiting_since_ = Clock::now();
  } else if (--waiting_ == 0) {
    budget_.add_waited(Clock::now() - waiting_since_);
  }
  if (waiting_ == 0) deadline = budget_.working_deadline();
  working_deadline_ = deadline.time_since_epoch().count();
}

void ModelEndpoint::waits_for_person(bool begins) {
  std::scoped_lock lock(mutex_);
  waits(begins);
}

void ModelEndpoint::stop_agent() {
  (void)::eventfd_write(stop_.get(), 1);
}

ModelEndpoint::End ModelEndpoint::end() {
  std::scoped_lock lock(mutex_);
  End end;
  end.limit = limit_;
  end.too_large = too_large_;
  end.terminated = terminated_;
  end.failure = failure_;
  end.model_failure = model_failure_;
  end.last_words = turns_.last_words();
  end.totals = budget_.totals();
  end.exchanges = log_.lines();
  end.calls = turns_.calls();
  return end;
}

}  // namespace gyges::gateway
