#include "agent_runtime/monitor/oversight.h"

#include <set>

#include "base/json.h"

namespace gyges::monitor {

using nlohmann::json;

Result<Oversight> Oversight::load(OversightPlan plan) {
  Oversight made;
  std::set<std::string> trusted;
  for (const auto& file : plan.monitors) {
    MonitorPair pair;
    GYGES_TRY(pair.watching, load_monitor(file, plan.seed, plan.home));
    GYGES_TRY(pair.asked, load_monitor(file, plan.seed, plan.home));
    for (const auto& other : made.described_)
      if (other.name == pair.watching->settings().name)
        return fail("read monitors", file.string(), "another monitor has this name too",
                    "rename one of them");
    made.described_.push_back(pair.watching->settings());
    if (pair.watching->settings().trusted) trusted.insert(pair.watching->settings().name);
    made.monitors_.push_back(std::move(pair));
  }
  if (!plan.gate.empty()) {
    GYGES_TRY(episode::GateRules rules, episode::load_gate(plan.gate));
    made.gate_name_ = rules.name;
    made.gate_sha256_ = rules.sha256;
    if (plan.mode.empty()) plan.mode = rules.record_only ? "record" : "enforce";
    for (const auto& rule : rules.rules)
      if (rule.then.to == "monitor" && !trusted.contains(rule.then.monitor))
        return fail("read gate", plan.gate.string() + ", rule " + rule.name,
                    "asks the monitor " + rule.then.monitor +
                        ", which is not among the monitors of the episode or is not trusted",
                    "name it under monitors; one that is not trusted can flag and stop only");
    made.rules_ = std::move(rules);
  } else if (!plan.mode.empty() && plan.mode != "off") {
    return fail("choose gate", plan.mode, "there is no gate that could work in this mode",
                "name a gate");
  }
  made.plan_ = std::move(plan);
  return made;
}

Status Oversight::begin(episode::Transcript& transcript, const std::filesystem::path& trace,
                        std::function<Status()> flush, const model::Cancellation* interruption) {
  if (!monitors_.empty())
    online_ = std::make_unique<OnlineMonitors>(std::move(monitors_), transcript, trace,
                                               std::move(flush), interruption);
  if (!rules_ || plan_.mode == "off") return ok();
  episode::GateSettings settings;
  settings.record_only = plan_.mode == "record";
  settings.seed = plan_.seed;
  settings.home = plan_.home;
  settings.person = plan_.person;
  settings.interruption = interruption;
  if (online_) settings.monitors = online_->deciders();
  GYGES_TRY(gate_, episode::Gate::make(std::move(*rules_), std::move(settings)));
  return ok();
}

Status Oversight::finish() {
  Status finished = online_ ? online_->finish() : ok();
  if (online_) used_ = online_->used();
  // They hold on to the transcript, which ends before this does.
  gate_.reset();
  online_.reset();
  return finished;
}

std::string Oversight::observable() const {
  return gate_name_.empty() ? "" : plan_.mode + ' ' + gate_sha256_;
}

json Oversight::to_json() const {
  json monitors = json::array();
  for (const auto& one : described_)
    monitors.push_back(
        {{"name", one.name}, {"kind", one.kind}, {"sha256", one.sha256}, {"trusted", one.trusted}});
  json gate;
  if (!gate_name_.empty() && plan_.mode != "off")
    gate = {{"name", gate_name_}, {"sha256", gate_sha256_}, {"mode", plan_.mode}};
  return {{"home", plan_.home}, {"gate", gate}, {"monitors", monitors}};
}

}  // namespace gyges::monitor
