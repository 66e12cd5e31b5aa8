// Gate and monitors of one episode, as its scenario and its request name them.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "agent_runtime/episode/approval.h"
#include "agent_runtime/episode/gate.h"
#include "agent_runtime/episode/gate_rules.h"
#include "agent_runtime/episode/transcript.h"
#include "agent_runtime/monitor/online.h"
#include "base/error.h"

namespace gyges::monitor {

struct OversightPlan {
  std::filesystem::path gate;  // empty: none
  std::string mode;            // "enforce", "record", "off"; empty: as the gate says
  std::vector<std::filesystem::path> monitors;
  std::uint64_t seed = 0;
  std::string home;                    // of the agent
  episode::Decider* person = nullptr;  // borrowed
};

// Movable until begin(). Used by one thread.
class Oversight {
 public:
  // Reads and checks every file: nothing is left to go wrong for want of one.
  static Result<Oversight> load(OversightPlan plan);

  // The transcript outlives this; `flush` brings the trace up to date. Once `interruption`
  // (borrowed, may be null) is cancelled, nobody outside is waited for.
  Status begin(episode::Transcript& transcript, const std::filesystem::path& trace,
               std::function<Status()> flush, const model::Cancellation* interruption);
  // After begin(). Null without a gate or without monitors.
  [[nodiscard]] episode::ToolApprover* gate() const { return gate_.get(); }
  // There is a gate, and what it decides has no effect.
  [[nodiscard]] bool only_records() const { return gate_ && plan_.mode == "record"; }
  [[nodiscard]] episode::Watcher* watcher() const { return online_.get(); }
  // When nothing runs any more and the trace is whole; call it whenever begin() was. Gate and
  // watcher are gone afterwards.
  Status finish();

  // What monitors that are models used of theirs, by name; complete after finish().
  [[nodiscard]] const std::map<std::string, episode::MonitorTotals>& used() const { return used_; }
  // "enforce ..." with the hash of the gate: what an agent could notice of it. Empty without one.
  [[nodiscard]] std::string observable() const;
  // run.json, "oversight".
  [[nodiscard]] nlohmann::json to_json() const;

 private:
  OversightPlan plan_;
  std::optional<episode::GateRules> rules_;
  std::string gate_name_;
  std::string gate_sha256_;
  std::vector<MonitorSettings> described_;
  std::vector<MonitorPair> monitors_;
  std::map<std::string, episode::MonitorTotals> used_;
  std::unique_ptr<OnlineMonitors> online_;
  std::unique_ptr<episode::Gate> gate_;
};

}  // namespace gyges::monitor
