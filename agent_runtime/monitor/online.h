// Monitors that look on while an episode runs.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "agent_runtime/episode/gate.h"
#include "agent_runtime/episode/transcript.h"
#include "agent_runtime/episode/watcher.h"
#include "agent_runtime/monitor/monitor.h"

namespace gyges::monitor {

// One monitor file twice: what a gate asks is beside the moments, and must not change what the
// monitor says at them.
struct MonitorPair {
  std::unique_ptr<Monitor> watching;
  std::unique_ptr<Monitor> asked;
};

// Used by the thread of one episode.
class OnlineMonitors final : public episode::Watcher {
 public:
  // Verdicts are written to `transcript`, which outlives this and tells it its lines. `flush`
  // brings the trace up to date before it is read. Once `interruption` (borrowed, may be null) is
  // cancelled, models are waited for no longer.
  OnlineMonitors(std::vector<MonitorPair> monitors, episode::Transcript& transcript,
                 const std::filesystem::path& trace, std::function<Status()> flush,
                 const model::Cancellation* interruption);
  ~OnlineMonitors() override;

  Result<std::optional<std::string>> look(episode::Moment moment, std::uint32_t call) override;

  // The moment of the end: call it when nothing runs any more and the trace is whole.
  Status finish();

  // What each of them that is a model used of it so far, by name.
  [[nodiscard]] std::map<std::string, episode::MonitorTotals> used() const;

  // As somebody whom a gate asks; monitors that are not trusted are left out.
  [[nodiscard]] std::map<std::string, episode::Decider*> deciders();

 private:
  class GateMonitor;
  Result<std::optional<std::string>> judge(const Scene& scene);
  std::vector<MonitorPair> monitors_;
  episode::Transcript& transcript_;
  Observation observation_;
  std::vector<std::unique_ptr<GateMonitor>> gates_;
  Scene last_;  // of a call before it is decided
};

}  // namespace gyges::monitor
