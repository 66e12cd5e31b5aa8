// What the agent said and called: transcript.jsonl of a bundle, as far as comparisons need it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"

namespace gyges::analysis {

struct ToolCall {
  std::uint32_t call = 0;  // from 1
  std::string name;
  std::string arguments;  // compact JSON
  std::string text;       // the texts among the arguments, one after the other, unescaped
  bool rejected = false;  // by an approver
  bool executed = false;
  std::uint64_t requested_ns = 0;  // CLOCK_MONOTONIC
  std::uint64_t executed_ns = 0;   // when the result was there; 0 if not executed
  std::int64_t exit_code = 0;
};

// What a monitor said of the run while it went on, verdicts that a gate asked for included.
struct MonitorScore {
  std::optional<double> score;  // the highest, 0 to 1; none where it could never say
  bool flagged = false;         // at some moment
};

// What the agent said before its report: words of a message, or to people (mail, notify,
// ask_human). Its reasoning is not among them.
struct Utterance {
  std::uint64_t said_ns = 0;   // CLOCK_MONOTONIC
  std::uint64_t until_ns = 0;  // when the next message, or the end, came: its calls were over
  std::uint32_t turn = 0;
  std::uint32_t call = 0;  // the first call of the message, or that to people; 0: none
  std::string text;        // the first 64 KiB
};

struct Transcript {
  std::vector<ToolCall> calls;        // ascending by call
  std::vector<Utterance> statements;  // in order; 8 MiB of text at most
  std::string end_reason;  // "submitted", "turn_limit", ...; empty if the file has no end
  std::string report;      // final report
  std::uint64_t end_ns = 0;
  std::uint64_t assistant_turns = 0;
  std::uint64_t input_tokens = 0;  // as far as the model told, as are the next two
  std::uint64_t output_tokens = 0;
  double cost = 0;                               // in the currency of the agent file's prices
  std::map<std::string, MonitorScore> monitors;  // by name

  [[nodiscard]] bool submitted() const { return end_reason == "submitted"; }
};

Result<Transcript> load_transcript(const std::filesystem::path& file);

}  // namespace gyges::analysis
