#include "analysis/interchange/inspect_sample.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "analysis/features/act.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"

namespace gyges::analysis {
namespace {

using nlohmann::json;

constexpr std::size_t longest_summary_text = 1024;

// Ids that are the same for the same run, as the same store gives the same log.
std::string short_id(const std::string& text) {
  return to_hex(sha256(text)).substr(0, 22);
}

json usage_json(std::uint64_t input, std::uint64_t output, std::uint64_t cached,
                std::uint64_t reasoning) {
  json usage{{"input_tokens", input}, {"output_tokens", output}, {"total_tokens", input + output}};
  if (cached > 0) usage["input_tokens_cache_read"] = cached;
  if (reasoning > 0) usage["reasoning_tokens"] = reasoning;
  return usage;
}

json tool_call_json(const LoggedCall& call) {
  return {{"id", call.id.empty() ? fmt::format("call_{}", call.call) : call.id},
          {"function", call.name},
          {"arguments", *call.arguments},
          {"type", "function"}};
}

// The kinds of error that Inspect knows.
std::string error_kind(const LoggedCall& call) {
  if (call.decision == "rejected" || call.decision == "terminated") return "approval";
  for (const char* known : {"parsing", "timeout", "permission", "file_not_found", "is_a_directory",
                            "limit", "cancelled", "output_limit"})
    if (call.error_type == known) return known;
  return "unknown";
}

json error_of(const LoggedCall& call) {
  if (call.decision == "rejected" || call.decision == "terminated")
    return {{"type", "approval"}, {"message", call.reason}};
  if (call.error_type.empty()) return nullptr;
  return {{"type", error_kind(call)}, {"message", call.error}};
}

class SampleBuilder {
 public:
  SampleBuilder(const StoredRun& stored, const EpisodeLog& log, const InspectExportOptions& options)
      : run_(stored.run), findings_(stored.findings), log_(log), options_(options) {}

  Result<json> build() {
    collect_syscalls();
    json messages = json::array();
    for (std::size_t i = 0; i < log_.messages.size(); ++i) messages.push_back(message(i));
    std::string input;
    for (const LoggedMessage& one : log_.messages)
      if (one.role == "user" && input.empty()) input = one.text;
    json sample{{"id", run_.scenario.empty() ? run_.slot : run_.scenario},
                {"epoch", run_.repeat + 1},
                {"input", input},
                {"target", ""},
                {"messages", messages},
                {"output", final_output(messages)},
                {"scores", scores()},
                {"metadata", metadata()},
                {"store", json::object()},
                {"model_usage", {{inspect_model(run_), total_usage()}}},
                {"uuid", short_id(run_.run_id)},
                {"started_at", log_.time(log_.start_ns)},
                {"completed_at", log_.time(log_.end_ns)},
                {"total_time", static_cast<double>(run_.duration_ms) / 1000.0},
                {"attachments", json::object()}};
    if (!run_.limits_hit.empty())
      sample["limit"] = {{"type", limit_type(run_.limits_hit[0])}, {"limit", 0}};
    if (run_.exit_kind == "error")
      sample["error"] = {
          {"message", "the run ended in error"}, {"traceback", ""}, {"traceback_ansi", ""}};
    sample["events"] = events(sample, messages);
    return sample;
  }

 private:
  static std::string limit_type(const std::string& limit) {
    for (const char* known : {"message", "token", "time", "working", "cost"})
      if (limit.find(known) != std::string::npos) return known;
    return "custom";
  }

  json message(std::size_t index) const {
    const LoggedMessage& from = log_.messages[index];
    json to{{"id", short_id(fmt::format("{}/message/{}", run_.run_id, index))},
            {"role", from.role}};
    if (from.reasoning.empty()) {
      to["content"] = from.text;
    } else {
      to["content"] = json::array({{{"type", "reasoning"}, {"reasoning", from.reasoning}}});
      if (!from.text.empty()) to["content"].push_back({{"type", "text"}, {"text", from.text}});
    }
    if (from.role == "assistant") {
      to["model"] = inspect_model(run_);
      to["source"] = "generate";
      for (std::uint32_t number : from.calls)
        if (const LoggedCall* call = find(number))
          to["tool_calls"].push_back(tool_call_json(*call));
    }
    if (from.role == "tool") {
      if (const LoggedCall* call = find(from.tool_call)) {
        to["tool_call_id"] = tool_call_json(*call)["id"];
        to["function"] = call->name;
        if (json error = error_of(*call); !error.is_null()) to["error"] = std::move(error);
      }
    }
    return to;
  }

  [[nodiscard]] const LoggedCall* find(std::uint32_t number) const {
    auto found = log_.calls.find(number);
    return found == log_.calls.end() ? nullptr : &found->second;
  }

  static std::string stop_reason(const LoggedMessage& message) {
    for (const char* known : {"stop", "max_tokens", "tool_calls", "content_filter"})
      if (message.stop_reason == known) return known;
    return message.calls.empty() ? "stop" : "tool_calls";
  }

  json output_of(const LoggedMessage& from, const json& message) const {
    return {{"model", inspect_model(run_)},
            {"choices", json::array({{{"message", message}, {"stop_reason", stop_reason(from)}}})},
            {"usage", usage_json(from.input_tokens, from.output_tokens, from.cached_tokens,
                                 from.reasoning_tokens)}};
  }

  json final_output(const json& messages) const {
    for (std::size_t i = log_.messages.size(); i-- > 0;)
      if (log_.messages[i].role == "assistant") return output_of(log_.messages[i], messages[i]);
    return {{"model", inspect_model(run_)}, {"choices", json::array()}};
  }

  json total_usage() const {
    LoggedUsage total = log_.total_usage();
    json usage = usage_json(total.input_tokens, total.output_tokens, total.cached_tokens,
                            total.reasoning_tokens);
    if (total.cost > 0) usage["total_cost"] = total.cost;
    return usage;
  }

  // Undecided outcomes have no score: Inspect would take null for a value.
  json scores() const {
    json scores = json::object();
    auto add = [&](const std::string& name, const Answer& answer, const std::string& title) {
      if (!answer.holds) return;
      std::string shown;
      for (const Evidence& one : answer.evidence.kept()) shown += one.text + "\n";
      scores[name] = {{"value", *answer.holds ? 1 : 0},
                      {"explanation", valid_utf8(title + (shown.empty() ? "" : "\n" + shown))},
                      {"history", json::array()}};
    };
    add("covert_act", findings_.covert, "any covert act");
    add("task_success", findings_.success, "task done");
    for (const CheckResult& check : findings_.checks) add(check.name, check.answer, check.title);
    for (std::size_t i = 0; i < findings_.features.size(); ++i) {
      const Feature& feature = all_features()[i];
      if (!findings_.features[i].value) continue;
      scores["feature." + std::string(feature.name)] = {
          {"value", *findings_.features[i].value},
          {"explanation",
           std::string(feature.title) + " (" + std::string(unit_name(feature.unit)) + ")"},
          {"history", json::array()}};
    }
    return scores;
  }

  json metadata() const {
    json undecided = json::object();
    for (const CheckResult& check : findings_.checks)
      if (!check.answer.holds) undecided[check.name] = check.answer.reason;
    json gyges{{"run_id", run_.run_id},
               {"slot", run_.slot},
               {"scenario", run_.scenario},
               {"family", run_.family},
               {"agent", run_.agent},
               {"agent_sha256", run_.agent_sha256},
               {"condition", run_.condition},
               {"repeat", run_.repeat},
               {"seed", run_.seed},
               {"exit", run_.exit_kind},
               {"end_reason", log_.end_reason},
               {"report", log_.report},
               {"policy", run_.policy},
               {"persona", run_.persona},
               {"bundle", valid_utf8(run_.bundle.string())},
               {"seal_sha256", hash_of("seal.json")},
               {"undecided", std::move(undecided)},
               {"coverage",
                {{"recorded", run_.has_coverage},
                 {"backend", run_.backend},
                 {"complete", run_.complete},
                 {"lost", run_.lost},
                 {"syscalls", run_.syscalls},
                 {"not_observable", run_.not_observable}}}};
    if (findings_.trace.present)
      gyges["trace"] = {{"file", valid_utf8((run_.bundle / "trace.gyt").string())},
                        {"sha256", hash_of("trace.gyt")}};
    return {{"gyges", std::move(gyges)}};
  }

  [[nodiscard]] std::string hash_of(const char* file) const {
    auto hash = sha256_of_file(run_.bundle / file);
    return hash ? to_hex(*hash) : std::string();
  }

  struct CallSyscalls {
    std::uint64_t total = 0;
    std::map<std::string, std::uint64_t, std::less<>> by_name;
    std::vector<std::pair<std::uint64_t, json>> shown;  // time, data
  };

  // Starts, changes, network and refusals say what a call did; reads and waits are counted.
  static bool is_shown(const Act& act) {
    return (act.is_exec() && act.succeeded) || act.changes_any() || act.name() == "connect" ||
           act.name() == "bind" || act.name() == "sendto" || act.name() == "sendmsg" ||
           act.event->verdict != recorder::Verdict::allowed;
  }

  void collect_syscalls() {
    for_each_act(run_.bundle / "trace.gyt", [&](const Act& act) {
      if (!act.is_syscall()) return;
      CallSyscalls& call = syscalls_[act.call];
      ++call.total;
      auto counted = call.by_name.find(act.name());
      ++(counted == call.by_name.end() ? call.by_name[std::string(act.name())] : counted->second);
      if (!is_shown(act) || call.shown.size() >= options_.syscalls_of_a_call) return;
      Evidence evidence = act.evidence();
      call.shown.emplace_back(evidence.time_ns, json{{"seq", act.event->sequence},
                                                     {"pid", act.event->pid},
                                                     {"syscall", act.name()},
                                                     {"result", act.event->result},
                                                     {"text", valid_utf8(evidence.text)}});
    });
  }

  json event(const char* kind, std::uint64_t time_ns, const std::string& span) {
    return {
        {"event", kind},
        {"uuid", short_id(fmt::format("{}/event/{}", run_.run_id, ++events_made_))},
        {"span_id", span},
        {"timestamp", log_.time(time_ns)},
        {"working_start", static_cast<double>(time_ns - std::min(time_ns, log_.start_ns)) / 1e9}};
  }

  json span(const char* kind, std::uint64_t time_ns, const std::string& id) {
    json made = event(kind, time_ns, id);
    made["id"] = id;
    return made;
  }

  void add_syscalls(std::uint32_t number, std::uint64_t end_ns, const std::string& span_id,
                    json& events) {
    auto found = syscalls_.find(number);
    if (found == syscalls_.end()) return;
    for (auto& [time, data] : found->second.shown) {
      json info = event("info", time, span_id);
      info["source"] = "gyges.syscall";
      info["data"] = std::move(data);
      events.push_back(std::move(info));
    }
    json info = event("info", end_ns, span_id);
    info["source"] = "gyges.syscalls";
    info["data"] = {{"total", found->second.total},
                    {"shown", found->second.shown.size()},
                    {"by_name", found->second.by_name},
                    {"all_in", "trace.gyt of the bundle, named with its hash in the metadata"}};
    events.push_back(std::move(info));
  }

  void add_call(const LoggedCall& call, const std::string& agent, json& events) {
    if (!calls_added_.insert(call.call).second) return;
    std::string id = short_id(fmt::format("{}/call/{}", run_.run_id, call.call));
    std::uint64_t end = call.executed ? call.executed_ns : call.requested_ns;
    json begin = span("span_begin", call.requested_ns, id);
    begin["name"] = call.name;
    begin["type"] = "tool";
    begin["parent_id"] = agent;
    events.push_back(std::move(begin));
    if (!call.decision.empty()) {
      json approval = event("approval", call.requested_ns, id);
      approval["message"] = "";
      approval["call"] = tool_call_json(call);
      approval["approver"] = call.approver;
      approval["decision"] = call.decision == "modified"     ? "modify"
                             : call.decision == "rejected"   ? "reject"
                             : call.decision == "terminated" ? "terminate"
                                                             : "approve";
      approval["explanation"] = call.reason;
      events.push_back(std::move(approval));
    }
    json tool = event("tool", call.requested_ns, id);
    tool.update(tool_call_json(call));
    tool["result"] = call.output;
    if (json error = error_of(call); !error.is_null()) tool["error"] = std::move(error);
    tool["completed"] = log_.time(end);
    tool["working_time"] = call.duration_ms / 1000.0;
    tool["metadata"] = {
        {"gyges_call", call.call}, {"executed", call.executed}, {"exit_code", call.exit_code}};
    events.push_back(std::move(tool));
    add_syscalls(call.call, end, id, events);
    events.push_back(span("span_end", end, id));
  }

  json events(const json& sample, const json& messages) {
    json events = json::array();
    std::string agent = short_id(run_.run_id + "/agent");
    json init = event("sample_init", log_.start_ns, agent);
    init["sample"] = {{"id", sample["id"]},
                      {"input", sample["input"]},
                      {"target", sample["target"]},
                      {"metadata", sample["metadata"]}};
    init["state"] = json::object();
    json begin = span("span_begin", log_.start_ns, agent);
    begin["name"] = run_.agent;
    begin["type"] = "agent";
    events.push_back(std::move(begin));
    events.push_back(std::move(init));
    for (std::size_t i = 0; i < log_.messages.size(); ++i) {
      const LoggedMessage& from = log_.messages[i];
      if (from.role != "assistant") continue;
      json model = event("model", from.time_ns, agent);
      model["model"] = inspect_model(run_);
      // Everything that was said before; the messages themselves stand in the sample.
      model["input"] = json::array();
      model["tools"] = json::array();
      model["tool_choice"] = "auto";
      model["config"] = json::object();
      model["output"] = output_of(from, messages[i]);
      model["completed"] = log_.time(from.time_ns);
      events.push_back(std::move(model));
      for (std::uint32_t number : from.calls)
        if (const LoggedCall* call = find(number)) add_call(*call, agent, events);
    }
    // Those that no reply names, of agents whose words are not on record.
    for (const auto& [number, call] : log_.calls) add_call(call, agent, events);
    for (const auto& verdict : log_.verdicts) {
      json info = event("info", log_.end_ns, agent);
      info["source"] = "gyges.monitor";
      info["data"] = *verdict;
      events.push_back(std::move(info));
    }
    // What processes did outside any call.
    add_syscalls(0, log_.end_ns, agent, events);
    for (const auto& [name, score] : sample["scores"].items()) {
      json scored = event("score", log_.end_ns, agent);
      scored["score"] = score;
      scored["metadata"] = {{"scorer", name}};
      scored["intermediate"] = false;
      events.push_back(std::move(scored));
    }
    events.push_back(span("span_end", log_.end_ns, agent));
    return events;
  }

  const Run& run_;
  const Findings& findings_;
  const EpisodeLog& log_;
  const InspectExportOptions& options_;
  std::map<std::uint32_t, CallSyscalls> syscalls_;
  std::set<std::uint32_t> calls_added_;
  std::uint64_t events_made_ = 0;
};

std::string start_of(const json& text) {
  std::string value = text.is_string() ? text.get<std::string>() : std::string();
  return value.size() <= longest_summary_text ? value
                                              : valid_utf8(value.substr(0, longest_summary_text));
}

}  // namespace

std::string inspect_model(const Run& run) {
  // Run::model is "kind name".
  std::string model = run.model.empty() ? "gyges " + run.agent : run.model;
  std::size_t space = model.find(' ');
  if (space == std::string::npos) return "gyges/" + model;
  std::string name = model.substr(space + 1);
  return name.find('/') != std::string::npos ? name : model.substr(0, space) + "/" + name;
}

Result<json> inspect_sample(const StoredRun& stored, const EpisodeLog& log,
                            const InspectExportOptions& options) {
  return SampleBuilder(stored, log, options).build();
}

json inspect_summary(const json& sample) {
  json scores = json::object();
  for (const auto& [name, score] : sample["scores"].items())
    scores[name] = {{"value", score["value"]}, {"history", json::array()}};
  json summary{{"id", sample["id"]},
               {"epoch", sample["epoch"]},
               {"input", start_of(sample["input"])},
               {"target", sample["target"]},
               {"scores", std::move(scores)},
               {"metadata", json::object()},
               {"model_usage", sample["model_usage"]},
               {"uuid", sample["uuid"]},
               {"started_at", sample["started_at"]},
               {"completed_at", sample["completed_at"]},
               {"total_time", sample["total_time"]},
               {"completed", true},
               {"retries", 0},
               {"message_count", sample["messages"].size()}};
  for (const auto& [factor, level] : sample["metadata"]["gyges"]["condition"].items())
    summary["metadata"][factor] = level;
  if (sample.contains("error")) summary["error"] = sample["error"]["message"];
  if (sample.contains("limit")) summary["limit"] = sample["limit"]["type"];
  return summary;
}

}  // namespace gyges::analysis
