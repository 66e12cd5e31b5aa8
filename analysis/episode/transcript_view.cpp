#include "analysis/episode/transcript_view.h"

#include <algorithm>

#include "analysis/bundles/json_lines.h"
#include "analysis/episode/shown_text.h"
#include "base/json.h"

namespace gyges::analysis {
namespace {

using Json = nlohmann::json;

std::uint64_t shown_count(const Json& line, const char* name) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, integer_member(line, name)));
}

// Arguments with their line breaks where they are one text each, else as JSON.
Json shown_arguments(const Json& line, std::size_t limit) {
  if (std::string raw = text_member(line, "arguments_text"); !raw.empty())
    return shown_text(raw, limit);
  auto arguments = line.find("arguments");
  if (arguments == line.end() || !arguments->is_object()) return nullptr;
  Json shown = Json::array();
  for (const auto& [name, value] : arguments->items())
    shown.push_back(
        {shown_line(name, 200),
         shown_text(value.is_string() ? value.get_ref<const std::string&>()
                                      : value.dump(-1, ' ', false, Json::error_handler_t::replace),
                    limit)});
  return shown;
}

Json shown_message(const Json& line, const EpisodeLimits& limits) {
  Json shown{{"role", text_member(line, "role")},
             {"turn", integer_member(line, "turn")},
             {"parts", Json::array()}};
  if (auto call = shown_count(line, "tool_call"); call != 0) shown["call"] = call;
  if (auto thread = shown_count(line, "thread"); thread != 0) shown["thread"] = thread;
  if (std::string stop = text_member(line, "stop_reason"); !stop.empty()) shown["stop"] = stop;
  if (auto content = line.find("content"); content != line.end() && content->is_array())
    for (const Json& part : *content)
      if (part.is_object())
        shown["parts"].push_back(
            {text_member(part, "type"), shown_text(text_member(part, "text"), limits.text_bytes)});
  return shown;
}

Json shown_execution(const Json& line, const EpisodeLimits& limits) {
  Json shown{{"exit", integer_member(line, "exit_code")},
             {"output", shown_text(text_member(line, "output"), limits.text_bytes)}};
  if (auto signal = shown_count(line, "signal"); signal != 0) shown["signal"] = signal;
  if (auto duration = line.find("duration_ms"); duration != line.end() && duration->is_number())
    shown["ms"] = *duration;
  if (auto cut = line.find("truncated"); cut != line.end() && cut->is_boolean() && *cut)
    shown["truncated"] = true;
  if (auto error = line.find("error"); error != line.end() && error->is_object())
    shown["error"] = shown_line(text_member(*error, "type") + ": " + text_member(*error, "message"),
                                limits.text_bytes);
  return shown;
}

Json shown_verdict(const Json& line, const EpisodeLimits& limits) {
  Json shown = Json::object();
  auto verdict = line.find("verdict");
  if (verdict == line.end() || !verdict->is_object()) return shown;
  shown["monitor"] = shown_line(text_member(*verdict, "monitor"), 200);
  shown["moment"] = text_member(*verdict, "moment");
  shown["call"] = shown_count(*verdict, "call");
  auto score = verdict->find("score");
  shown["score"] = score != verdict->end() && score->is_number() ? *score : Json(nullptr);
  auto flagged = verdict->find("flagged");
  shown["flagged"] = flagged != verdict->end() && flagged->is_boolean() && flagged->get<bool>();
  shown["reason"] = shown_line(text_member(*verdict, "reason"), limits.text_bytes);
  if (std::string error = text_member(*verdict, "error"); !error.empty())
    shown["error"] = shown_line(error, limits.text_bytes);
  shown["evidence"] = Json::array();
  if (auto evidence = verdict->find("evidence"); evidence != verdict->end() && evidence->is_array())
    for (const Json& id : *evidence)
      if (id.is_string() && shown["evidence"].size() < 50)
        shown["evidence"].push_back(shown_line(id.get_ref<const std::string&>(), 80));
  return shown;
}

Json shown_entry(const Json& line, const std::string& type, const EpisodeLimits& limits) {
  if (type == "message") return shown_message(line, limits);
  if (type == "monitor") return shown_verdict(line, limits);
  Json shown = type == "tool_executed" ? shown_execution(line, limits) : Json::object();
  if (auto call = shown_count(line, "call"); call != 0) shown["call"] = call;
  if (type == "tool_requested") {
    shown["turn"] = integer_member(line, "turn");
    shown["name"] = shown_line(text_member(line, "name"), 200);
    shown["arguments"] = shown_arguments(line, limits.text_bytes);
  } else if (type == "tool_decided") {
    shown["decision"] = text_member(line, "decision");
    shown["approver"] = shown_line(text_member(line, "approver"), 200);
    if (std::string reason = text_member(line, "reason"); !reason.empty())
      shown["reason"] = shown_line(reason, limits.text_bytes);
    if (std::string would = text_member(line, "would"); !would.empty()) shown["would"] = would;
    if (shown["decision"] == "modified")
      shown["arguments"] = shown_arguments(line, limits.text_bytes);
  } else if (type == "end") {
    shown["reason"] = text_member(line, "reason");
    shown["report"] = shown_text(text_member(line, "report"), limits.text_bytes);
  } else if (type == "context_cut") {
    shown["limit"] = shown_count(line, "limit");
  }
  return shown;
}

void put_body_size(Json& shown, const Json& holder, const char* name) {
  auto body = holder.find(name);
  if (body != holder.end() && body->is_object()) shown[name] = shown_count(*body, "size");
}

}  // namespace

double TimeAxis::seconds(std::uint64_t ns) const {
  return static_cast<double>(static_cast<std::int64_t>(ns - start_ns)) / 1e9;
}

Result<Json> transcript_view(const Run& run, const TimeAxis& axis, const EpisodeLimits& limits) {
  Json lines = Json::array();
  std::uint64_t left_out = 0;
  GYGES_CHECK(for_each_json_line(run.bundle / "transcript.jsonl", [&](const Json& line) -> Status {
    std::string type = text_member(line, "type");
    // The end is always shown.
    if (lines.size() >= limits.lines && type != "end") {
      ++left_out;
      return ok();
    }
    Json shown = shown_entry(line, type, limits);
    shown["type"] = type;
    shown["t"] = axis.seconds(shown_count(line, "time_ns"));
    lines.push_back(std::move(shown));
    return ok();
  }));
  return Json{{"lines", std::move(lines)}, {"left_out", left_out}};
}

Result<Json> flows_view(const Run& run, const TimeAxis& axis, const EpisodeLimits& limits) {
  Json flows = Json::array();
  std::uint64_t left_out = 0;
  GYGES_CHECK(for_each_json_line(run.bundle / "flows.jsonl", [&](const Json& line) -> Status {
    if (flows.size() >= limits.flows) {
      ++left_out;
      return ok();
    }
    auto text = [&](const Json& from, const char* name) {
      return shown_line(text_member(from, name), limits.line_bytes);
    };
    Json shown{{"t", axis.seconds(shown_count(line, "time_ns"))},
               {"seconds", static_cast<double>(shown_count(line, "duration_ns")) / 1e9},
               {"protocol", text(line, "protocol")},
               {"destination", text(line, "destination")},
               {"port", shown_count(line, "port")},
               {"name", text(line, "name")},
               {"verdict", text(line, "verdict")},
               {"rule", text(line, "rule")},
               {"reason", text(line, "reason")},
               {"pid", shown_count(line, "pid")},
               {"call", shown_count(line, "tool_call")},
               {"attribution", text(line, "attribution")},
               {"sent", shown_count(line, "sent_bytes")},
               {"received", shown_count(line, "received_bytes")}};
    if (auto http = line.find("http"); http != line.end() && http->is_object()) {
      shown["what"] = shown_line(text_member(*http, "method") + " " + text_member(*http, "url") +
                                     " → " + std::to_string(shown_count(*http, "status")),
                                 limits.line_bytes);
      put_body_size(shown, *http, "request_body");
      put_body_size(shown, *http, "response_body");
    } else if (auto dns = line.find("dns"); dns != line.end() && dns->is_object()) {
      shown["what"] = shown_line(text_member(*dns, "type") + " " + text_member(*dns, "name") +
                                     " → " + text_member(*dns, "code"),
                                 limits.line_bytes);
    }
    if (auto canaries = line.find("canaries"); canaries != line.end() && canaries->is_array())
      shown["canaries"] = canaries->size();
    flows.push_back(std::move(shown));
    return ok();
  }));
  return Json{{"list", std::move(flows)}, {"left_out", left_out}};
}

Json files_view(const Run& run, const EpisodeLimits& limits) {
  Json files = Json::array();
  for (const FileChange& change : run.changes) {
    if (files.size() >= limits.files) break;
    Json shown{{"kind", change.kind},
               {"type", change.type},
               {"path", shown_line(change.path, limits.line_bytes)},
               {"size", change.size}};
    if (!change.sha256.empty()) shown["sha256"] = change.sha256.substr(0, 16);
    files.push_back(std::move(shown));
  }
  return {{"left_out", run.changes.size() - files.size()}, {"list", std::move(files)}};
}

}  // namespace gyges::analysis
