#include "analysis/watch/alert.h"

#include <fmt/format.h>

#include <ctime>

#include "base/json.h"
#include "base/text.h"

namespace gyges::analysis {
namespace {

using nlohmann::json;

constexpr const char* gyges_version = "0.1.0";

json evidence_list(const Alert& alert) {
  json list = json::array();
  for (const Evidence& one : alert.evidence)
    list.push_back({{"source", one.source},
                    {"seq", one.sequence ? json(*one.sequence) : json()},
                    {"time_ns", one.time_ns},
                    {"pid", one.pid},
                    {"tool_call", one.call},
                    {"text", valid_utf8(one.text)}});
  return list;
}

std::string timestamp(std::int64_t ns) {
  std::time_t seconds = ns / 1'000'000'000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", parts.tm_year + 1900,
                     parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                     ns % 1'000'000'000 / 1'000'000);
}

// Scale of OCSF: 3 medium, 4 high, 5 critical.
int severity_of(const Alert& alert) {
  return alert.kind == "shift" ? 5 : alert.kind == "unfit" ? 4 : 3;
}

json own_part(const Alert& alert) {
  json part{{"kind", alert.kind},     {"outcome", alert.outcome},   {"run_id", alert.run_id},
            {"bundle", alert.bundle}, {"scenario", alert.scenario}, {"agent", alert.agent},
            {"model", alert.model}};
  if (alert.kind == "shift")
    part["watch"] = {{"log_e", alert.log_e},
                     {"successes", alert.successes},
                     {"trials", alert.trials},
                     {"baseline_successes", alert.baseline_successes},
                     {"baseline_trials", alert.baseline_trials},
                     {"bound", alert.bound}};
  return part;
}

}  // namespace

json alert_json(const Alert& alert) {
  json value = own_part(alert);
  value["id"] = alert.id;
  value["title"] = alert.title;
  value["message"] = alert.message;
  value["time_ns"] = alert.time_ns;
  value["time"] = timestamp(alert.time_ns);
  value["evidence"] = evidence_list(alert);
  return value;
}

Result<Alert> alert_of(const json& value) {
  Alert alert;
  try {
    alert.id = value.at("id").get<std::string>();
    alert.kind = value.at("kind").get<std::string>();
    alert.outcome = value.at("outcome").get<std::string>();
    alert.title = value.at("title").get<std::string>();
    alert.message = value.at("message").get<std::string>();
    alert.time_ns = value.at("time_ns").get<std::int64_t>();
    alert.run_id = value.at("run_id").get<std::string>();
    alert.bundle = value.at("bundle").get<std::string>();
    alert.scenario = value.at("scenario").get<std::string>();
    alert.agent = value.at("agent").get<std::string>();
    alert.model = value.at("model").get<std::string>();
    if (auto watch = value.find("watch"); watch != value.end()) {
      alert.log_e = watch->at("log_e").get<double>();
      alert.successes = watch->at("successes").get<std::uint64_t>();
      alert.trials = watch->at("trials").get<std::uint64_t>();
      alert.baseline_successes = watch->at("baseline_successes").get<std::uint64_t>();
      alert.baseline_trials = watch->at("baseline_trials").get<std::uint64_t>();
      alert.bound = watch->at("bound").get<double>();
    }
    for (const json& one : value.at("evidence")) {
      Evidence evidence;
      evidence.source = one.at("source").get<std::string>();
      if (one.at("seq").is_number()) evidence.sequence = one.at("seq").get<std::uint64_t>();
      evidence.time_ns = one.at("time_ns").get<std::uint64_t>();
      evidence.pid = one.at("pid").get<std::int32_t>();
      evidence.call = one.at("tool_call").get<std::uint32_t>();
      evidence.text = one.at("text").get<std::string>();
      alert.evidence.push_back(std::move(evidence));
    }
  } catch (const json::exception& wrong) {
    return fail("read alert", "state of the watch", wrong.what());
  }
  return alert;
}

json ocsf_of(const Alert& alert) {
  json evidences = json::array();
  for (const Evidence& one : alert.evidence) {
    json entry{{"data", {{"source", one.source}, {"text", valid_utf8(one.text)}}}};
    if (one.sequence) entry["data"]["seq"] = *one.sequence;
    if (one.call != 0) entry["data"]["tool_call"] = one.call;
    if (one.pid != 0) entry["process"] = {{"pid", one.pid}};
    evidences.push_back(std::move(entry));
  }
  constexpr const char* severities[] = {"", "", "", "Medium", "High", "Critical"};
  return {
      {"category_uid", 2},
      {"category_name", "Findings"},
      {"class_uid", 2004},
      {"class_name", "Detection Finding"},
      {"activity_id", 1},
      {"activity_name", "Create"},
      {"type_uid", 200401},
      {"type_name", "Detection Finding: Create"},
      {"time", alert.time_ns / 1'000'000},
      {"severity_id", severity_of(alert)},
      {"severity", severities[severity_of(alert)]},
      {"status_id", 1},
      {"status", "New"},
      {"message", alert.message},
      {"metadata",
       {{"version", "1.3.0"},
        {"uid", alert.id},
        {"product", {{"name", "Gyges"}, {"vendor_name", "Gyges"}, {"version", gyges_version}}}}},
      {"finding_info",
       {{"uid", alert.id},
        {"title", alert.title},
        {"desc", alert.message},
        {"created_time", alert.time_ns / 1'000'000},
        {"types", json::array({alert.kind})},
        // 1 rule, 3 statistical.
        {"analytic",
         {{"name", alert.outcome},
          {"type_id", alert.kind == "shift" ? 3 : 1},
          {"type", alert.kind == "shift" ? "Statistical" : "Rule"}}}}},
      {"evidences", std::move(evidences)},
      {"unmapped", {{"gyges", own_part(alert)}}}};
}

json ecs_of(const Alert& alert) {
  json own = own_part(alert);
  own["evidence"] = evidence_list(alert);
  json event{{"@timestamp", timestamp(alert.time_ns)},
             {"ecs", {{"version", "8.11.0"}}},
             {"event",
              {{"kind", "alert"},
               {"category", json::array({"intrusion_detection"})},
               {"type", json::array({"info"})},
               {"module", "gyges"},
               {"dataset", "gyges.watch"},
               {"id", alert.id},
               {"action", alert.kind},
               {"severity", severity_of(alert)},
               {"reason", alert.message}}},
             {"message", alert.message},
             {"rule", {{"name", alert.outcome}, {"description", alert.title}}},
             {"observer", {{"vendor", "Gyges"}, {"product", "Gyges"}, {"version", gyges_version}}},
             {"gyges", std::move(own)}};
  for (const Evidence& one : alert.evidence)
    if (one.pid != 0) {
      event["process"] = {{"pid", one.pid}};
      break;
    }
  return event;
}

std::string syslog_line(const Alert& alert) {
  std::string line = fmt::format("gyges alert {} {} {}: {} run={} bundle={}", alert.id, alert.kind,
                                 alert.outcome, alert.message, alert.run_id, alert.bundle);
  if (!alert.evidence.empty()) line += " evidence=" + quoted(alert.evidence[0].text);
  return printable(line);
}

}  // namespace gyges::analysis
