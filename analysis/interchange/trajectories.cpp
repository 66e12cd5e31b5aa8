#include "analysis/interchange/trajectories.h"

#include <fmt/format.h>

#include <set>

#include "analysis/interchange/episode_log.h"
#include "base/files.h"
#include "base/json.h"

namespace gyges::analysis {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::string dump_line(const json& value, int indent = -1) {
  return value.dump(indent, ' ', false, json::error_handler_t::replace) + "\n";
}

Result<EpisodeLog> log_of(const Run& run) {
  if (!run.has_transcript)
    return fail("export run", run.bundle.string(), "it has no transcript",
                "use `gyges trace export` for runs of `gyges run`");
  return load_episode_log(run.bundle);
}

std::string id_of(const LoggedCall& call) {
  return call.id.empty() ? fmt::format("call_{}", call.call) : call.id;
}

json outcome_of(const StoredRun& stored) {
  json checks = json::object();
  for (const CheckResult& check : stored.findings.checks)
    checks[check.name] = check.answer.holds ? json(*check.answer.holds) : json();
  auto value = [](const Answer& answer) { return answer.holds ? json(*answer.holds) : json(); };
  return {{"covert_act", value(stored.findings.covert)},
          {"task_success", value(stored.findings.success)},
          {"checks", std::move(checks)}};
}

json run_facts(const Run& run) {
  return {{"run_id", run.run_id},       {"scenario", run.scenario}, {"family", run.family},
          {"condition", run.condition}, {"repeat", run.repeat},     {"seed", run.seed},
          {"exit", run.exit_kind},      {"lost", run.lost}};
}

// The step of a reply with its calls and what they gave.
json agent_step(const LoggedMessage& message, const EpisodeLog& log, const Run& run) {
  json step{{"source", "agent"}, {"message", message.text}, {"model_name", run.model}};
  if (!message.reasoning.empty()) step["reasoning_content"] = message.reasoning;
  json results = json::array();
  for (std::uint32_t number : message.calls) {
    auto call = log.calls.find(number);
    if (call == log.calls.end()) continue;
    step["tool_calls"].push_back({{"tool_call_id", id_of(call->second)},
                                  {"function_name", call->second.name},
                                  {"arguments", *call->second.arguments}});
    results.push_back({{"source_call_id", id_of(call->second)},
                       {"content", call->second.executed         ? call->second.output
                                   : call->second.reason.empty() ? "[" + call->second.decision + "]"
                                                                 : call->second.reason}});
    step["extra"]["gyges"]["calls"].push_back({{"tool_call_id", id_of(call->second)},
                                               {"decision", call->second.decision},
                                               {"executed", call->second.executed},
                                               {"exit_code", call->second.exit_code}});
  }
  if (!results.empty()) step["observation"] = {{"results", std::move(results)}};
  if (message.input_tokens + message.output_tokens > 0) {
    step["metrics"] = {{"prompt_tokens", message.input_tokens},
                       {"completion_tokens", message.output_tokens}};
    if (message.cached_tokens > 0) step["metrics"]["cached_tokens"] = message.cached_tokens;
    if (message.cost > 0) step["metrics"]["cost_usd"] = message.cost;
  }
  return step;
}

json atif_of(const StoredRun& stored, const EpisodeLog& log) {
  const Run& run = stored.run;
  json steps = json::array();
  for (const LoggedMessage& message : log.messages) {
    json step;
    // Results are part of the step that asked for them.
    if (message.role == "tool") continue;
    if (message.role == "assistant")
      step = agent_step(message, log, run);
    else
      step = {{"source", message.role == "system" ? "system" : "user"}, {"message", message.text}};
    step["step_id"] = steps.size() + 1;
    step["timestamp"] = log.time(message.time_ns);
    steps.push_back(std::move(step));
  }
  LoggedUsage used = log.total_usage();
  json totals{{"total_prompt_tokens", used.input_tokens},
              {"total_completion_tokens", used.output_tokens},
              {"total_cached_tokens", used.cached_tokens},
              {"total_steps", steps.size()}};
  if (used.cost > 0) totals["total_cost_usd"] = used.cost;
  json facts = run_facts(run);
  facts["outcome"] = outcome_of(stored);
  return {{"schema_version", "ATIF-v1.4"},
          {"session_id", run.run_id},
          {"agent",
           {{"name", run.agent},
            {"version", run.agent_sha256.substr(0, 12)},
            {"model_name", run.model}}},
          {"steps", std::move(steps)},
          {"final_metrics", std::move(totals)},
          {"extra", {{"gyges", std::move(facts)}}}};
}

json anthropic_messages(const EpisodeLog& log) {
  json messages = json::array();
  for (const LoggedMessage& message : log.messages) {
    if (message.role == "system") continue;
    json content = json::array();
    if (message.role == "tool") {
      auto call = log.calls.find(message.tool_call);
      content.push_back({{"type", "tool_result"},
                         {"tool_use_id", call == log.calls.end() ? "" : id_of(call->second)},
                         {"content", message.text}});
    } else {
      if (!message.reasoning.empty())
        content.push_back({{"type", "thinking"}, {"thinking", message.reasoning}});
      if (!message.text.empty()) content.push_back({{"type", "text"}, {"text", message.text}});
      for (std::uint32_t number : message.calls)
        if (auto call = log.calls.find(number); call != log.calls.end())
          content.push_back({{"type", "tool_use"},
                             {"id", id_of(call->second)},
                             {"name", call->second.name},
                             {"input", *call->second.arguments}});
    }
    const char* role = message.role == "assistant" ? "assistant" : "user";
    // Results of one reply's calls are one message.
    if (!messages.empty() && messages.back()["role"] == role && message.role == "tool")
      messages.back()["content"].insert(messages.back()["content"].end(), content.begin(),
                                        content.end());
    else
      messages.push_back({{"role", role}, {"content", std::move(content)}});
  }
  return messages;
}

Status make_directory(const fs::path& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) return fail_errno("create", directory.string(), error.value());
  return ok();
}

}  // namespace

Status export_atif(const std::vector<StoredRun>& runs, const fs::path& directory) {
  GYGES_CHECK(make_directory(directory));
  for (const StoredRun& stored : runs) {
    GYGES_TRY(EpisodeLog log, log_of(stored.run));
    // Run ids are Gyges's own, but the bundle could come from anywhere.
    if (stored.run.run_id.find('/') != std::string::npos)
      return fail("export run", stored.run.bundle.string(), "its run id has a slash in it");
    GYGES_CHECK(write_file_atomically(directory / (stored.run.run_id + ".json"),
                                      dump_line(atif_of(stored, log), 2)));
  }
  return ok();
}

Status export_control_arena(const std::vector<StoredRun>& runs, const fs::path& directory) {
  GYGES_CHECK(make_directory(directory));
  std::string lines;
  std::set<std::string> tools;
  json samples = json::array();
  for (const StoredRun& stored : runs) {
    GYGES_TRY(EpisodeLog log, log_of(stored.run));
    std::string system;
    for (const LoggedMessage& message : log.messages)
      if (message.role == "system") system += (system.empty() ? "" : "\n\n") + message.text;
    for (const auto& [number, call] : log.calls) tools.insert(call.name);
    json line = run_facts(stored.run);
    line["sample_id"] = stored.run.scenario;
    line["epoch"] = stored.run.repeat + 1;
    line["model"] = stored.run.model;
    line["system"] = std::move(system);
    line["messages"] = anthropic_messages(log);
    line["scores"] = outcome_of(stored);
    lines += dump_line(line);
  }
  json list = json::array();
  // Names only: a bundle has what tools were called, not how they were described.
  for (const std::string& tool : tools)
    list.push_back({{"name", tool}, {"input_schema", {{"type", "object"}}}});
  GYGES_CHECK(write_file_atomically(directory / "trajectory.jsonl", lines));
  GYGES_CHECK(write_file_atomically(directory / "tools.json", dump_line(list, 2)));
  return write_file_atomically(
      directory / "metadata.json",
      dump_line({{"source", "gyges"}, {"format", "anthropic"}, {"samples", runs.size()}}, 2));
}

}  // namespace gyges::analysis
