#include "analysis/interchange/episode_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "analysis/bundles/json_lines.h"
#include "base/files.h"
#include "base/json.h"
#include "base/json_document.h"
#include "sandbox/recorder/format/trace_reader.h"

namespace gyges::analysis {
namespace {

using nlohmann::json;

std::uint64_t count_at(const json& object, const char* name) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, integer_member(object, name)));
}

double number_member(const json& object, const char* name) {
  auto found = object.find(name);
  return found != object.end() && found->is_number() ? found->get<double>() : 0;
}

void add_content(const json& line, LoggedMessage& message) {
  auto content = line.find("content");
  if (content == line.end() || !content->is_array()) return;
  for (const json& part : *content) {
    std::string text = text_member(part, "text");
    std::string& target =
        text_member(part, "type") == "reasoning" ? message.reasoning : message.text;
    if (!target.empty() && !text.empty()) target += "\n";
    target += text;
  }
}

std::uint32_t call_number(const json& object, const char* name) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(count_at(object, name), UINT32_MAX));
}

void take_message(const json& line, EpisodeLog& log) {
  LoggedMessage message;
  message.role = text_member(line, "role");
  message.time_ns = count_at(line, "time_ns");
  message.stop_reason = text_member(line, "stop_reason");
  message.tool_call = call_number(line, "tool_call");
  add_content(line, message);
  if (auto calls = line.find("tool_calls"); calls != line.end() && calls->is_array())
    for (const json& call : *calls) message.calls.push_back(call_number(call, "call"));
  if (auto usage = line.find("usage"); usage != line.end() && usage->is_object()) {
    message.input_tokens = count_at(*usage, "input_tokens");
    message.output_tokens = count_at(*usage, "output_tokens");
    message.cached_tokens = count_at(*usage, "cached_tokens");
    message.reasoning_tokens = count_at(*usage, "reasoning_tokens");
    message.cost = number_member(*usage, "cost");
  }
  log.messages.push_back(std::move(message));
}

void take_call(const std::string& type, const json& line, EpisodeLog& log) {
  LoggedCall& call = log.calls[call_number(line, "call")];
  call.call = call_number(line, "call");
  if (type == "tool_requested") {
    call.id = text_member(line, "id");
    call.name = text_member(line, "name");
    call.requested_ns = count_at(line, "time_ns");
    auto arguments = line.find("arguments");
    call.arguments = std::make_shared<const json>(
        arguments != line.end() && arguments->is_object() ? *arguments : json::object());
  } else if (type == "tool_decided") {
    call.decision = text_member(line, "decision");
    call.approver = text_member(line, "approver");
    call.reason = text_member(line, "reason");
  } else {
    call.executed = true;
    call.executed_ns = count_at(line, "time_ns");
    call.duration_ms = number_member(line, "duration_ms");
    call.exit_code = integer_member(line, "exit_code");
    call.output = text_member(line, "output");
    if (auto error = line.find("error"); error != line.end() && error->is_object()) {
      call.error_type = text_member(*error, "type");
      call.error = text_member(*error, "message");
    }
  }
}

std::int64_t realtime_of(const std::string& timestamp) {
  std::tm parts{};
  int milliseconds = 0;
  if (std::sscanf(timestamp.c_str(), "%d-%d-%dT%d:%d:%d.%d", &parts.tm_year, &parts.tm_mon,
                  &parts.tm_mday, &parts.tm_hour, &parts.tm_min, &parts.tm_sec, &milliseconds) < 6)
    return 0;
  parts.tm_year -= 1900;
  parts.tm_mon -= 1;
  return timegm(&parts) * 1'000'000'000LL + milliseconds * 1'000'000LL;
}

Result<std::int64_t> clock_base(const std::filesystem::path& bundle, std::uint64_t start_ns) {
  std::error_code error;
  if (std::filesystem::exists(bundle / "trace.gyt", error)) {
    if (auto trace = recorder::TraceReader::open(bundle / "trace.gyt"))
      return static_cast<std::int64_t>(trace->realtime_base_ns());
  }
  GYGES_TRY(std::string text, read_file(bundle / "run.json"));
  GYGES_TRY(json run, parse_json(text, (bundle / "run.json").string()));
  return realtime_of(text_member(run, "started_at")) - static_cast<std::int64_t>(start_ns);
}

}  // namespace

LoggedUsage EpisodeLog::total_usage() const {
  LoggedUsage total;
  for (const LoggedMessage& one : messages) {
    total.input_tokens += one.input_tokens;
    total.output_tokens += one.output_tokens;
    total.cached_tokens += one.cached_tokens;
    total.reasoning_tokens += one.reasoning_tokens;
    total.cost += one.cost;
  }
  return total;
}

std::string EpisodeLog::time(std::uint64_t monotonic_ns) const {
  std::int64_t ns = realtime_base_ns + static_cast<std::int64_t>(monotonic_ns);
  std::time_t seconds = ns / 1'000'000'000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}+00:00", parts.tm_year + 1900,
                     parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                     ns % 1'000'000'000 / 1000);
}

Result<EpisodeLog> load_episode_log(const std::filesystem::path& bundle) {
  EpisodeLog log;
  GYGES_CHECK(for_each_json_line(bundle / "transcript.jsonl", [&](const json& line) -> Status {
    std::string type = text_member(line, "type");
    std::uint64_t time = count_at(line, "time_ns");
    if (log.start_ns == 0) log.start_ns = time;
    log.end_ns = std::max(log.end_ns, time);
    if (type == "message") {
      take_message(line, log);
    } else if (type == "monitor" && line.contains("verdict")) {
      log.verdicts.push_back(std::make_shared<const json>(line.at("verdict")));
    } else if (type == "end") {
      log.end_reason = text_member(line, "reason");
      log.report = text_member(line, "report");
    } else if (type == "tool_requested" || type == "tool_decided" || type == "tool_executed") {
      take_call(type, line, log);
    }
    return ok();
  }));
  for (auto& [number, call] : log.calls)
    if (call.arguments == nullptr) call.arguments = std::make_shared<const json>(json::object());
  GYGES_TRY(log.realtime_base_ns, clock_base(bundle, log.start_ns));
  return log;
}

}  // namespace gyges::analysis
