#include "agent_runtime/episode/transcript.h"

#include <fcntl.h>

#include <ctime>

#include "base/json.h"
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

}  // namespace

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
  return write_all(fd_.get(), text);
}

Status Transcript::message(std::uint32_t turn, const model::Message& message,
                           const model::Reply* reply) {
  json line = line_of("message");
  line["turn"] = turn;
  line["role"] = model::role_name(message.role);
  line["content"] = json::array();
  for (const auto& part : message.content)
    line["content"].push_back(
        {{"type", part.kind == model::Part::Kind::reasoning ? "reasoning" : "text"},
         {"text", bounded(part.text)}});
  for (const auto& call : message.tool_calls) {
    json one{{"call", call.call}, {"id", bounded(call.id)}, {"name", bounded(call.name)}};
    put_arguments(one, call);
    line["tool_calls"].push_back(std::move(one));
  }
  if (message.call != 0) line["tool_call"] = message.call;
  if (reply != nullptr) {
    line["stop_reason"] = model::stop_reason_name(reply->stop_reason);
    line["usage"] = {{"input_tokens", reply->usage.input_tokens},
                     {"output_tokens", reply->usage.output_tokens}};
  }
  return write(line);
}

Status Transcript::tool_requested(std::uint32_t turn, const model::ToolCall& call) {
  json line = line_of("tool_requested");
  line["turn"] = turn;
  line["call"] = call.call;
  line["id"] = bounded(call.id);
  line["name"] = bounded(call.name);
  put_arguments(line, call);
  return write(line);
}

Status Transcript::tool_decided(std::uint32_t call, bool approved, std::string_view approver,
                                std::string_view reason) {
  json line = line_of("tool_decided");
  line["call"] = call;
  line["decision"] = approved ? "approved" : "rejected";
  line["approver"] = bounded(approver);
  line["reason"] = bounded(reason);
  return write(line);
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
  return write(line);
}

Status Transcript::end(std::string_view reason, std::string_view report) {
  json line = line_of("end");
  line["reason"] = reason;
  line["report"] = bounded(report);
  return write(line);
}

}  // namespace gyges::episode
