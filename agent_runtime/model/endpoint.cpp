#include "agent_runtime/model/endpoint.h"

#include <strings.h>

#include <algorithm>
#include <optional>
#include <random>

#include "agent_runtime/model/http_client.h"
#include "agent_runtime/model/reply_stream.h"
#include "agent_runtime/model/request_pace.h"
#include "base/json.h"
#include "base/json_document.h"
#include "base/text.h"

namespace gyges::model {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds longest_pause{30'000};
constexpr double longest_retry_after = 86'400;

bool worth_repeating(const ModelError& error) {
  switch (error.kind) {
    case ModelError::Kind::rate_limit:
    case ModelError::Kind::overloaded:
    case ModelError::Kind::timeout:
    case ModelError::Kind::server:
      return error.status == 0 || error.status == 408 || error.status == 429 || error.status >= 500;
    default:
      return false;
  }
}

std::string cure_of(const ModelError& error) {
  if (error.status >= 300 && error.status < 400)
    return "give the final address as base_url; redirects are not followed";
  switch (error.kind) {
    case ModelError::Kind::authentication:
    case ModelError::Kind::permission:
      return "check the key named by api_key_env or api_key_file";
    case ModelError::Kind::not_found:
      return "check base_url and the name of the model";
    case ModelError::Kind::context_length:
    case ModelError::Kind::too_large:
      return "set context_tokens of the scenario below what the model takes";
    case ModelError::Kind::rate_limit:
      return "wait, or lower the number of parallel runs";
    default:
      return "see the endpoint's message";
  }
}

milliseconds with_chance(milliseconds pause) {
  static thread_local std::minstd_rand random(std::random_device{}());
  auto most = pause.count() / 4;
  return pause - milliseconds(most > 0 ? static_cast<std::int64_t>(random()) % (most + 1) : 0);
}

// Reasoning that this endpoint itself gave goes back in dialects that demand it; chat endpoints
// differ, and some refuse it.
void drop_reasoning(std::vector<Message>& messages) {
  for (auto& message : messages) {
    std::size_t parts = message.content.size();
    std::erase_if(message.content,
                  [](const Part& part) { return part.kind == Part::Kind::reasoning; });
    if (message.content.size() == parts) continue;
    for (auto& call : message.tool_calls) call.position = ToolCall::at_end;
  }
}

// A token for each four bytes, as estimated_tokens() has it.
std::uint64_t estimated_output(const Reply& reply) {
  std::uint64_t bytes = 0;
  for (const auto& part : reply.message.content) bytes += part.text.size() + part.data.size();
  for (const auto& call : reply.message.tool_calls)
    bytes += call.name.size() + call.arguments.size();
  return (bytes + 3) / 4;
}

// The status of the failure that a reply with status 200 holds, {"error": ...}; nullopt: it is
// none.
std::optional<int> status_in_error(std::string_view body) {
  auto value = parse_json(body, "reply");
  if (!value || !value->is_object()) return std::nullopt;
  auto error = value->find("error");
  if (error == value->end() || !(error->is_object() || error->is_string())) return std::nullopt;
  if (!error->is_object()) return 500;
  auto code = error->find("code");
  if (code == error->end() || !code->is_number_integer()) return 500;
  auto status = code->get<std::int64_t>();
  return status >= 400 && status <= 599 ? static_cast<int>(status) : 500;
}

}  // namespace

double cost_of(const Usage& usage, const Prices& prices) {
  double cached = static_cast<double>(usage.cached_tokens);
  double written = static_cast<double>(usage.cache_written_tokens);
  double plain = std::max(0.0, static_cast<double>(usage.input_tokens) - cached - written);
  auto price = [&](double own) { return own < 0 ? prices.input : own; };
  return (plain * prices.input + cached * price(prices.cached_input) +
          written * price(prices.cache_write) +
          static_cast<double>(usage.output_tokens) * prices.output) /
         1e6;
}

std::string Endpoint::without_key(std::string text) const {
  return without_forms(std::move(text), forms_);
}

// An endpoint that repeats the key, by accident or not, would bring it into the record.
void Endpoint::scrub(Reply& reply) const {
  if (forms_.empty()) return;
  auto clean = [&](std::string& text) {
    if (!text.empty()) text = without_key(std::move(text));
  };
  for (auto* text : {&reply.id, &reply.model, &reply.stop_sequence}) clean(*text);
  for (auto& part : reply.message.content)
    for (auto* text : {&part.text, &part.data, &part.url, &part.signature, &part.id, &part.extra})
      clean(*text);
  for (auto& call : reply.message.tool_calls)
    for (auto* text :
         {&call.id, &call.name, &call.arguments, &call.fault, &call.space, &call.extra})
      clean(*text);
}

void Endpoint::take_head(const HttpReply& head, PassThrough& raw) const {
  raw.status = static_cast<int>(head.status);
  for (const auto& [name, value] : head.headers)
    raw.answer_headers.emplace_back(without_key(name), without_key(value));
}

Status Endpoint::address(const ModelRequest& request, PassThrough& raw) const {
  Losses unused;
  ModelRequest empty;
  empty.model = request.model;
  empty.stream = request.stream;
  empty.messages.emplace_back().content.push_back({Part::Kind::text, "-"});
  GYGES_TRY(WireRequest wire, config_.dialect->write_request(empty, unused));
  raw.path = std::move(wire.path);
  if (raw.array) raw.path = raw.path.substr(0, raw.path.find('?'));
  for (std::string& header : wire.headers) {
    auto name = [](std::string_view line) { return line.substr(0, line.find(':') + 1); };
    bool there = std::any_of(raw.headers.begin(), raw.headers.end(), [&](const std::string& own) {
      return ::strcasecmp(std::string(name(own)).c_str(), std::string(name(header)).c_str()) == 0;
    });
    if (!there) raw.headers.push_back(std::move(header));
  }
  return ok();
}

// What became of one attempt: a reply, or a failure that may be worth another one.
struct Endpoint::Attempt {
  std::optional<Reply> reply;
  Error failure;
  std::optional<ModelError> error;  // what the endpoint said
  bool again = false;
  std::optional<double> retry_after_seconds;
  bool begun = false;      // part of the reply was handed on
  bool cancelled = false;  // while it was waited for
  std::uint64_t written_bytes = 0;
};

Endpoint::Attempt Endpoint::attempt(const WireRequest& wire, bool stream, const Call& call) {
  HttpPost post;
  post.url = config_.base_url;
  while (post.url.ends_with('/')) post.url.pop_back();
  post.url += wire.path;
  post.headers = {"Content-Type: application/json",
                  stream ? "Accept: text/event-stream" : "Accept: application/json", "Expect:"};
  for (const auto& header : wire.headers) post.headers.push_back(header);
  PassThrough* raw = call.raw;
  if (raw != nullptr) {
    *raw = {
        std::move(raw->path), std::move(raw->headers), std::move(raw->body), raw->array, 0, {}, {},
        std::move(raw->event)};
    post.keeps = is_handed_on;
    post.begun = [&](const HttpReply& head) { take_head(head, *raw); };
  }
  if (!config_.key.empty()) post.headers.push_back(config_.dialect->key_header(config_.key));
  post.body = wire.body;
  post.max_reply_bytes = config_.max_reply_bytes;
  auto left = std::chrono::duration_cast<milliseconds>(call.deadline - Clock::now());
  Attempt result;
  std::string place = printable(shown_address(post.url));
  if (left <= milliseconds(0)) {
    result.failure = fail("call model", place, "the time of the episode is over").value();
    return result;
  }
  post.timeout = std::min(config_.timeout, left);
  post.connect_timeout = std::min(config_.connect_timeout, post.timeout);
  post.first_byte_timeout = config_.first_byte_timeout;
  post.cancellation = call.cancellation;
  ReplyStream reading(*config_.dialect, {config_.max_reply_bytes, config_.max_reply_bytes}, call,
                      forms_);
  WordFilter filter(raw != nullptr ? forms_ : std::vector<std::string>());
  if (stream) post.take = [&](std::string_view bytes) { return reading.feed(filter.take(bytes)); };
  HttpFault fault = HttpFault::none;
  auto answer = http_post(post, fault);
  result.begun = reading.observed();
  result.written_bytes = reading.written_bytes();
  auto told = [&](ModelError error) {
    std::string words = without_key(printable(error.message.substr(0, 300)));
    result.failure =
        fail("call model", place,
             (error.status > 0 ? "status " + std::to_string(error.status) : "refused") +
                 (words.empty() ? "" : ": " + words),
             cure_of(error))
            .value();
    result.again = worth_repeating(error) && !reading.observed();
    error.message = without_key(std::move(error.message));
    result.error = std::move(error);
  };
  if (reading.error()) {
    told(*reading.error());
  } else if (!answer) {
    result.failure = answer.error();
    if (fault == HttpFault::taken) result.failure.context.push_back("reply of " + place);
    result.cancelled = fault == HttpFault::cancelled;
    result.again = fault == HttpFault::unreachable && !reading.observed();
  } else if (answer->status < 200 || answer->status >= 300) {
    if (raw != nullptr) {
      take_head(*answer, *raw);
      raw->answer = without_key(answer->body);
    }
    told(config_.dialect->parse_error(static_cast<int>(answer->status), answer->body));
    result.retry_after_seconds = answer->retry_after_seconds;
  } else if (stream) {
    auto finished = reading.feed(filter.finish());
    if (finished) finished = reading.finish();
    if (reading.error()) {
      told(*reading.error());
    } else if (!finished && !reading.no_stream().empty()) {
      if (auto status = status_in_error(reading.no_stream_text())) {
        told(config_.dialect->parse_error(*status, reading.no_stream_text()));
        return result;
      }
      result.failure =
          fail("call model", place,
               "the reply is no stream of events, it begins with " + quoted(reading.no_stream()),
               "check base_url; with \"stream\": false the endpoint may do")
              .value();
    } else if (!finished) {
      // The connection was closed in the middle: as good as lost.
      result.failure = finished.error();
      result.failure.context.push_back("reply of " + place);
      result.again = !reading.observed();
    } else {
      result.reply = reading.take();
    }
  } else if (auto parsed = config_.dialect->parse_response(answer->body); parsed) {
    result.reply = std::move(*parsed);
    if (raw != nullptr) raw->answer = without_key(std::move(answer->body));
  } else if (auto status = status_in_error(answer->body)) {
    // Proxies and compatible servers report failures of the model with status 200.
    if (raw != nullptr) raw->answer = without_key(answer->body);
    told(config_.dialect->parse_error(*status, answer->body));
  } else {
    result.failure = parsed.error();
    result.failure.context.push_back("reply of " + place);
  }
  if (!result.reply) {
    result.failure.reason = without_key(std::move(result.failure.reason));
    result.failure.object = without_key(std::move(result.failure.object));
  }
  return result;
}

RequestPace Endpoint::pace() const {
  return RequestPace(pace_directory(), config_.base_url + "\n" + config_.key,
                     config_.requests_per_minute);
}

Status Endpoint::wait_for_turn(const Call& call) const {
  if (config_.requests_per_minute <= 0) return ok();
  const auto left = std::chrono::duration_cast<milliseconds>(call.deadline - Clock::now());
  GYGES_TRY(milliseconds wait, pace().take_turn(left));
  static const Cancellation never;
  const Cancellation& cancellation = call.cancellation != nullptr ? *call.cancellation : never;
  if (wait > milliseconds(0) && cancellation.wait_for(wait))
    return fail("call model", "", "it was cancelled");
  return ok();
}

Result<Reply> Endpoint::send(const ModelRequest& request, const Call& call, ModelError& error) {
  losses_.clear();
  spent_ = {};
  refusal_.reset();
  WireRequest wire;
  if (call.raw != nullptr) {
    wire = {call.raw->path, call.raw->headers, call.raw->body};
  } else {
    GYGES_TRY(wire, config_.dialect->write_request(request, losses_));
  }
  milliseconds pause = config_.first_pause;
  for (std::uint32_t number = 0;; ++number) {
    GYGES_CHECK(wait_for_turn(call));
    Attempt result = attempt(wire, request.stream, call);
    refusal_.reset();
    if (result.error) refusal_ = result.error->kind;
    if (result.reply) {
      scrub(*result.reply);
      Usage& usage = result.reply->usage;
      if (usage.input_tokens == 0 && usage.output_tokens == 0) {
        usage.input_tokens = estimated_tokens(request);
        usage.output_tokens = estimated_output(*result.reply);
        lose(losses_, "/usage", "counts of tokens, which the endpoint did not give: estimated");
      }
      result.reply->cost = cost_of(result.reply->usage, config_.prices);
      return std::move(*result.reply);
    }
    if (result.error) error = *result.error;
    if (result.begun || result.cancelled) {
      spent_.usage.input_tokens = estimated_tokens(request);
      spent_.usage.output_tokens = (result.written_bytes + 3) / 4;
      spent_.cost = cost_of(spent_.usage, config_.prices);
      lose(losses_, "/usage", "counts of tokens of a reply that broke off: estimated");
    }
    if (!result.again) return tl::unexpected<Error>(result.failure);
    milliseconds wait = with_chance(pause);
    if (result.retry_after_seconds)
      wait = milliseconds(static_cast<std::int64_t>(
          std::min(*result.retry_after_seconds, longest_retry_after) * 1000));
    // Whoever shares the pace would be refused, too.
    if (result.retry_after_seconds && config_.requests_per_minute > 0)
      GYGES_CHECK(pace().hold(wait));
    if (number >= config_.retries || Clock::now() + wait >= call.deadline) {
      if (result.retry_after_seconds && number < config_.retries)
        result.failure.reason += "; it is to be tried again after " +
                                 std::to_string(wait.count() / 1000) +
                                 " s, when the episode is over";
      if (number > 0)
        result.failure.reason += " (after " + std::to_string(number + 1) + " attempts)";
      return tl::unexpected<Error>(result.failure);
    }
    static const Cancellation never;
    const Cancellation& cancellation = call.cancellation != nullptr ? *call.cancellation : never;
    if (cancellation.wait_for(wait)) return fail("call model", "", "it was cancelled");
    pause = std::min(pause * 2, longest_pause);
  }
}

Result<Reply> Endpoint::complete(const Request& request) {
  ModelRequest whole = config_.settings;
  whole.messages = request.messages;
  whole.tools = request.tools;
  whole.stream_usage = whole.stream;
  if (config_.send_seed) whole.seed = request.seed;
  if (!config_.send_reasoning && config_.dialect->name() == "openai_chat")
    drop_reasoning(whole.messages);
  ModelError ignored;
  return send(whole, {request.deadline, request.cancellation, {}}, ignored);
}

}  // namespace gyges::model
