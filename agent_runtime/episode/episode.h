// One episode: one agent, one task, one condition, in a sandbox of its own, as a sealed run bundle.
//
// Thread-safety: run_episode() may be called from several threads at once with different `out`
// directories; they may share one Recorder.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent_runtime/episode/totals.h"
#include "base/error.h"

namespace gyges::recorder {
class Recorder;
}

namespace gyges::tools {
class Colleague;
}

namespace gyges::episode {

class Decider;
class ToolApprover;

struct ScaffoldChoice {
  std::string profile;               // shipped name or file
  std::string dialect;               // empty: the profile's usual one
  std::vector<std::string> command;  // for profiles without a command line
};

struct EpisodeRequest {
  std::filesystem::path scenario;  // directory with scenario.json
  std::filesystem::path agent;     // agent file
  // The program that acts with that agent's model behind it; absent: the agent file's.
  std::optional<ScaffoldChoice> scaffold;
  std::map<std::string, std::string> condition;  // factor -> level; absent factors: their default
  std::uint32_t repeat = 0;                      // recorded, otherwise without effect
  std::uint64_t seed = 0;                        // of the world, the persona and a scripted model
  std::filesystem::path out;          // the bundle; must not exist or be an empty directory
  std::optional<std::string> policy;  // preset or file; absent: the scenario's
  // The moment the world is seen at, YYYY-MM-DDTHH:MM:SSZ, or a day, YYYY-MM-DD, for its start;
  // absent: now in UTC, to the minute. An experiment passes one to all its runs, so that a run
  // hours later still sees the same files as its partner.
  std::optional<std::string> day;
  std::vector<std::string> allow_degraded;  // accepted by the caller; see isolation/degradation.h
  ToolApprover* approver = nullptr;         // borrowed; null: the gate, or every call is approved
  std::optional<std::string> gate;          // a gate file; absent: the scenario's, if it has one
  std::string gate_mode;  // "enforce", "record", "off"; empty: as condition or gate say
  std::vector<std::filesystem::path> monitors;  // monitor files, beside the scenario's
  Decider* person = nullptr;                    // borrowed; whom a gate asks; null: nobody
  tools::Colleague* colleague = nullptr;        // borrowed; null: the scenario's, if it has one
  // Borrowed; once it polls readable the episode ends, with kind "error", and its bundle is sealed.
  // -1: nothing interrupts it.
  int interrupt_fd = -1;
  // Called once by the thread that runs the episode when the agent has ended: what is left to do is
  // to collect, to seal and to write. Not called where the episode could not be started. May be
  // empty.
  std::function<void()> agent_ended;
};

struct EpisodeOutcome {
  std::string run_id;
  std::string exit_kind;  // as in run.json: submitted, turn_limit, time_limit, ...
  std::string exit_reason;
  std::vector<std::string> limits_hit;
  std::uint64_t lost = 0;   // events the recorder lost; 0 without a recorder
  bool made_ahead = false;  // the sandbox stood ready when the episode began
  Totals totals{};
};

// Runs the episode and writes the bundle. A request that cannot be started (missing scenario, wrong
// level, unusable policy) is an error and leaves no bundle. What goes wrong once the sandbox runs
// leaves a sealed bundle with exit kind "error" and is an outcome, not an error.
// `recorder` is borrowed; null: system calls are not recorded, and the bundle says so.
Result<EpisodeOutcome> run_episode(const EpisodeRequest& request, recorder::Recorder* recorder);

// An episode of which everything is made that does not belong to its record: the request is read,
// the world made, and a thread starts the sandbox. Destroyed without having been run, it leaves
// nothing.
class PreparedEpisode {
 public:
  struct Parts;
  explicit PreparedEpisode(std::unique_ptr<Parts> parts);
  ~PreparedEpisode();
  PreparedEpisode(PreparedEpisode&& other) noexcept;
  PreparedEpisode& operator=(PreparedEpisode&& other) noexcept;

 private:
  friend Result<EpisodeOutcome> run_episode(PreparedEpisode episode, recorder::Recorder* recorder);
  std::unique_ptr<Parts> parts_;
};

// Call it shortly before run_episode(): the sandbox's age can be seen from inside. One that has
// waited for longer than longest_sandbox_wait is not used; then run_episode() starts another, as
// the other form of it does. A sandbox that cannot be had is an error of run_episode().
Result<PreparedEpisode> prepare_episode(const EpisodeRequest& request);
Result<EpisodeOutcome> run_episode(PreparedEpisode episode, recorder::Recorder* recorder);
inline constexpr std::chrono::milliseconds longest_sandbox_wait{5000};

// Checks that a request could be started: scenario, agent, levels, persona, policy. Starts nothing.
Status check_episode(const EpisodeRequest& request);

// "scenarios/log_retention" or "log_retention": a directory with scenario.json, looked up as it is,
// below scenarios/ of the current directory, and below scenarios/ of the installation.
Result<std::filesystem::path> find_scenario(const std::string& name_or_directory);

// A file, or the name of an agent that the scenario brings along (agents/NAME.json).
Result<std::filesystem::path> find_agent(const std::filesystem::path& scenario,
                                         const std::string& name_or_file);

}  // namespace gyges::episode
