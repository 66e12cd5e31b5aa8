#include "agent_runtime/episode/transcript.h"

#include <fcntl.h>

#include <ctime>

#include "base/json.h"
#include "base/json_document.h"
#include "base/text.h"

namespace gyges::episode {
namespace {

using nlohmann::json;

// CLOCK_MONOTONIC as the trace has it. Inside a time namespace the agent sees another offset; the
// supervisor's clock is the one of the record.
std::uint64_t monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(now.tv_nsec);
}

json line_of(const char* type) {
  return {{"type", type}, {"time_ns", monotonic_ns()}};
}

std::string bounded(std::string_view text) {
  if (text.size() <= Transcript::max_text_bytes) return valid_utf8(text);
  return valid_utf8(text.substr(0, Transcript::max_text_bytes)) + "\n[... " +
         std::to_string(text.size() - Transcript::max_text_bytes) + " bytes left out ...]";
}

// Arguments that are no JSON object are kept as the text they are, under a key of their own.
void put_arguments(json& line, const model::ToolCall& call) {
  json value = call.fault.empty() && call.arguments.size() <= Transcript::max_text_bytes
                   ? json::parse(call.arguments, nullptr, false)
                   : json();
  if (value.is_object()) {
    line["arguments"] = std::move(value);
    return;
  }
  line["arguments"] = json::object();
  line["arguments_text"] = bounded(call.arguments);
}

// What is no text is named instead of shown.
std::string words_of(const model::Part& part) {
  if (part.kind == model::Part::Kind::image)
    return "[image " + part.media_type + " " +
           (part.url.empty() ? std::to_string(part.data.size() / 4 * 3) + " bytes" : part.url) +
           "]";
  if (part.kind == model::Part::Kind::opaque) return "[block of " + part.origin + "] " + part.text;
  return part.text;
}

json usage_of(const model::Reply& reply) {
  const model::Usage& counts = reply.usage;
  json usage{{"input_tokens", counts.input_tokens}, {"output_tokens", counts.output_tokens}};
  if (counts.cached_tokens != 0) usage["cached_tokens"] = counts.cached_tokens;
  if (counts.cache_written_tokens != 0) usage["cache_written_tokens"] = counts.cache_written_tokens;
  if (counts.reasoning_tokens != 0) usage["reasoning_tokens"] = counts.reasoning_tokens;
  if (reply.cost > 0) usage["cost"] = reply.cost;
  return usage;
}

}  // namespace

const char* decision_name(ToolDecision::Action action) {
  switch (action) {
    case ToolDecision::Action::approve:
      return "approved";
    case ToolDecision::Action::modify:
      return "modified";
    case ToolDecision::Action::reject:
      return "rejected";
    case ToolDecision::Action::terminate:
      return "terminated";
  }
  return "";
}

Result<Transcript> Transcript::create(const std::filesystem::path& file) {
  UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644));
  if (!fd) return fail_errno("create transcript", file.string());
  return Transcript(std::move(fd));
}

Status Transcript::write(const json& line) {
  std::string text = line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  if (written_ + text.size() > max_file_bytes)
    return fail("write transcript", "",
                "it would grow past " + std::to_string(max_file_bytes >> 20U) + " MiB",
                "lower the number of turns");
  written_ += text.size();
  GYGES_CHECK(write_all(fd_.get(), text));
  if (listener_) listener_(line);
  return ok();
}

Status Transcript::message(std::uint32_t turn, const model::Message& message,
                           const model::Reply* reply, std::uint32_t thread) {
  json line = line_of("message");
  line["turn"] = turn;
  if (thread != 0) line["thread"] = thread;
  line["role"] = model::role_name(message.role);
  line["content"] = json::array();
  for (const auto& part : message.content)
    line["content"].push_back(
        {{"type", part.kind == model::Part::Kind::reasoning ? "reasoning" : "text"},
         {"text", bounded(words_of(part))}});
  for (const auto& call : message.tool_calls) {
    json one{{"call", call.call}, {"id", bounded(call.id)}, {"name", bounded(call.name)}};
    put_arguments(one, call);
    line["tool_calls"].push_back(std::move(one));
  }
  if (message.call != 0) line["tool_call"] = message.call;
  if (reply != nullptr) {
    line["stop_reason"] = model::stop_reason_name(reply->stop_reason);
    line["usage"] = usage_of(*reply);
  }
  return write(line);
}

Status Transcript::tool_requested(std::uint32_t turn, const model::ToolCall& call, bool declared) {
  json line = line_of("tool_requested");
  line["turn"] = turn;
  line["call"] = call.call;
  line["id"] = bounded(call.id);
  line["name"] = bounded(call.name);
  put_arguments(line, call);
  if (!declared) line["declared"] = false;
  return write(line);
}

Status Transcript::tool_decided(std::uint32_t call, const ToolDecision& decision) {
  json line = line_of("tool_decided");
  line["call"] = call;
  line["decision"] = decision_name(decision.action);
  line["approver"] = bounded(decision.approver);
  line["reason"] = bounded(decision.reason);
  if (!decision.executes()) line["reason_shown"] = decision.show_reason;
  if (decision.would) line["would"] = decision_name(*decision.would);
  if (!decision.arguments.empty()) {
    auto arguments = parse_json(decision.arguments, "arguments");
    line["arguments"] = arguments && arguments->is_object() ? *arguments : json::object();
  }
  return write(line);
}

Status Transcript::tool_decided(std::uint32_t call, bool approved, std::string_view approver,
                                std::string_view reason) {
  ToolDecision decision;
  if (!approved) decision.action = ToolDecision::Action::reject;
  decision.approver = approver;
  decision.reason = reason;
  return tool_decided(call, decision);
}

Status Transcript::tool_executed(std::uint32_t call, std::uint64_t duration_ns,
                                 const tools::ToolResult& result) {
  json line = line_of("tool_executed");
  line["call"] = call;
  line["duration_ms"] = static_cast<double>(duration_ns / 1000) / 1000.0;
  line["exit_code"] = result.exit_code;
  line["signal"] = result.signal;
  line["error"] =
      result.error ? json{{"type", result.error->type}, {"message", bounded(result.error->message)}}
                   : json();
  line["output"] = bounded(result.output);
  line["truncated"] = result.truncated;
  line["output_bytes"] = result.output_total;
  if (result.kept)
    line["whole_output"] = {{"sha256", result.kept->sha256},
                            {"bytes", result.kept->bytes},
                            {"complete", result.kept->complete}};
  return write(line);
}

Status Transcript::context_cut(std::uint32_t turn, std::uint64_t estimated_tokens,
                               std::uint64_t limit, const std::vector<std::uint32_t>& calls) {
  json line = line_of("context_cut");
  line["turn"] = turn;
  line["estimated_tokens"] = estimated_tokens;
  line["limit"] = limit;
  line["calls"] = calls;
  return write(line);
}

Status Transcript::monitor(const json& verdict, std::string_view asked_by) {
  json line = line_of("monitor");
  line["verdict"] = verdict;
  if (!asked_by.empty()) line["asked_by"] = asked_by;
  return write(line);
}

Status Transcript::end(std::string_view reason, std::string_view report) {
  json line = line_of("end");
  line["reason"] = reason;
  line["report"] = bounded(report);
  return write(line);
}

}  // namespace gyges::episode
