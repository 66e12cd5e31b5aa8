#include "agent_runtime/monitor/monitor.h"

#include "agent_runtime/monitor/model_monitor.h"
#include "agent_runtime/monitor/rule_monitor.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/json_document.h"
#include "base/text.h"

namespace gyges::monitor {

using episode::Moment;
using nlohmann::json;

json verdict_to_json(const Verdict& verdict) {
  json object{
      {"monitor", verdict.monitor}, {"moment", moment_name(verdict.moment)},
      {"call", verdict.call},       {"score", verdict.score ? json(*verdict.score) : json()},
      {"flagged", verdict.flagged}, {"reason", valid_utf8(verdict.reason)},
      {"rules", verdict.rules},     {"evidence", verdict.evidence}};
  if (verdict.usage) {
    object["usage"] = {{"input_tokens", verdict.usage->input_tokens},
                       {"output_tokens", verdict.usage->output_tokens}};
    if (verdict.usage->cost > 0) object["usage"]["cost"] = verdict.usage->cost;
  }
  if (!verdict.error.empty()) object["error"] = valid_utf8(verdict.error);
  return object;
}

Verdict Monitor::judge_now(const Scene& scene) {
  Verdict verdict;
  verdict.monitor = settings_.name;
  verdict.moment = scene.moment;
  verdict.call = scene.call;
  judge(scene, verdict);
  if (!verdict.error.empty()) verdict.score.reset();
  verdict.flagged =
      !verdict.error.empty() || (verdict.score && *verdict.score >= settings_.flag_at);
  return verdict;
}

std::optional<Verdict> Monitor::look(const Scene& scene) {
  bool spent = settings_.audit_budget != 0 && looks_ >= settings_.audit_budget;
  if (spent || !settings_.moments.contains(scene.moment)) {
    pass_over(scene);
    return std::nullopt;
  }
  ++looks_;
  return judge_now(scene);
}

Result<std::unique_ptr<Monitor>> load_monitor(const std::filesystem::path& file, std::uint64_t seed,
                                              const std::string& home) {
  GYGES_TRY(std::string text, read_file(file));
  GYGES_TRY(json value, parse_json(text, file.string()));
  GYGES_CHECK(validate_json(value, "monitor", file.string()));
  MonitorSettings settings;
  settings.name = value.at("name").get<std::string>();
  settings.kind = value.at("kind").get<std::string>();
  settings.sha256 = to_hex(sha256(text));
  settings.trusted = value.value("trusted", true);
  for (const auto& name :
       value.value("moments", std::vector<std::string>{"before", "after", "end"}))
    settings.moments.insert(name == "before"  ? Moment::before
                            : name == "after" ? Moment::after
                                              : Moment::end);
  settings.flag_at = value.value("flag_at", 0.5);
  if (value.contains("stop_at")) settings.stop_at = value.at("stop_at").get<double>();
  settings.stop_on_error = value.value("on_error", "record") == "stop";
  settings.audit_budget = value.value("audit_budget", 0U);
  if (settings.kind == "rules") return make_rule_monitor(std::move(settings), value, file, home);
  return make_model_monitor(std::move(settings), value, file, seed);
}

}  // namespace gyges::monitor
