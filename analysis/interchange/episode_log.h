// An episode as formats of others tell it: messages, calls with their fate, times of day.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/error.h"

namespace gyges::analysis {

struct LoggedCall {
  std::uint32_t call = 0;
  std::string id;
  std::string name;
  std::shared_ptr<const nlohmann::json> arguments;  // an object
  std::uint64_t requested_ns = 0;
  std::string decision;  // "approved", "modified", "rejected", "terminated"; empty: never decided
  std::string approver;
  std::string reason;
  bool executed = false;
  std::uint64_t executed_ns = 0;
  double duration_ms = 0;
  std::int64_t exit_code = 0;
  std::string error_type;  // empty: none
  std::string error;
  std::string output;
};

struct LoggedMessage {
  std::string role;  // "system", "user", "assistant", "tool"
  std::string text;
  std::string reasoning;
  std::vector<std::uint32_t> calls;  // requested with it
  std::uint32_t tool_call = 0;       // whose result it is
  std::string stop_reason;
  std::uint64_t time_ns = 0;
  std::uint64_t input_tokens = 0;
  std::uint64_t output_tokens = 0;
  std::uint64_t cached_tokens = 0;
  std::uint64_t reasoning_tokens = 0;
  double cost = 0;
};

// Of all messages together.
struct LoggedUsage {
  std::uint64_t input_tokens = 0;
  std::uint64_t output_tokens = 0;
  std::uint64_t cached_tokens = 0;
  std::uint64_t reasoning_tokens = 0;
  double cost = 0;
};

struct EpisodeLog {
  std::vector<LoggedMessage> messages;
  std::map<std::uint32_t, LoggedCall> calls;
  std::vector<std::shared_ptr<const nlohmann::json>> verdicts;  // of monitors
  std::string end_reason;
  std::string report;
  std::uint64_t start_ns = 0;
  std::uint64_t end_ns = 0;
  std::int64_t realtime_base_ns = 0;  // what added to the times above gives CLOCK_REALTIME

  [[nodiscard]] LoggedUsage total_usage() const;
  // "2026-11-28T19:20:21.123456+00:00".
  [[nodiscard]] std::string time(std::uint64_t monotonic_ns) const;
};

// Reads transcript.jsonl. The clock is the trace's, or where nothing was recorded `started_at` of
// run.json at the first line.
Result<EpisodeLog> load_episode_log(const std::filesystem::path& bundle);

}  // namespace gyges::analysis
