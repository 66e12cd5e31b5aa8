// A monitor: judges scenes of an episode, one after the other
// (policies/schemas/monitor.schema.json, docs/monitors.md).
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "agent_runtime/episode/totals.h"
#include "agent_runtime/model/cancellation.h"
#include "agent_runtime/monitor/observation.h"
#include "agent_runtime/monitor/verdict.h"
#include "base/error.h"

namespace gyges::monitor {

struct MonitorSettings {
  std::string name;
  std::string kind;    // "rules", "model"
  std::string sha256;  // of the file
  bool trusted = true;
  std::set<episode::Moment> moments;
  double flag_at = 0.5;
  std::optional<double> stop_at;
  bool stop_on_error = false;
  std::uint32_t audit_budget = 0;  // 0: none
};

// Of one episode. Used by one thread.
class Monitor {
 public:
  explicit Monitor(MonitorSettings settings) : settings_(std::move(settings)) {}
  virtual ~Monitor() = default;
  Monitor(const Monitor&) = delete;
  Monitor& operator=(const Monitor&) = delete;

  [[nodiscard]] const MonitorSettings& settings() const { return settings_; }

  // What it says of the scene; nullopt where it does not look: another moment, or its budget is
  // used up. What goes wrong is a verdict with an error.
  std::optional<Verdict> look(const Scene& scene);

  // As look(), whatever the moments and the budget: a gate asks it about a call.
  Verdict judge_now(const Scene& scene);

  // What it used of its model so far; nullopt: it has none.
  [[nodiscard]] virtual std::optional<episode::MonitorTotals> used() const { return std::nullopt; }

  // Once cancelled, a model is waited for no longer: a verdict with an error. Borrowed; may be
  // null.
  void interrupted_by(const model::Cancellation* interruption) { interruption_ = interruption; }

  // Takes a scene in without judging it.
  void take_in(const Scene& scene) { pass_over(scene); }

 protected:
  // Sets score, reason, rules and evidence, or error.
  virtual void judge(const Scene& scene, Verdict& verdict) = 0;
  // Takes in what it does not judge.
  virtual void pass_over(const Scene& scene) { static_cast<void>(scene); }
  [[nodiscard]] const model::Cancellation* interruption() const { return interruption_; }

 private:
  MonitorSettings settings_;
  std::uint32_t looks_ = 0;
  const model::Cancellation* interruption_ = nullptr;
};

// Reads the file and makes the monitor for one episode. `seed` is the run's; `home` is the agent's,
// for relative paths. A model's key is read now.
Result<std::unique_ptr<Monitor>> load_monitor(const std::filesystem::path& file, std::uint64_t seed,
                                              const std::string& home);

}  // namespace gyges::monitor
