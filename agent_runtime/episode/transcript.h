// Writes transcript.jsonl of a run bundle as things happen: one JSON object a line
// (policies/schemas/transcript.schema.json), each handed to the kernel before the call returns, so
// that a killed supervisor leaves everything up to its last line.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "agent_runtime/episode/approval.h"
#include "agent_runtime/model/conversation.h"
#include "base/error.h"
#include "base/fd.h"
#include "tools/tool.h"

namespace gyges::episode {

// Single texts are cut at max_text_bytes, the whole file ends at max_file_bytes: a model that talks
// without end fills no disk.
class Transcript {
 public:
  static constexpr std::size_t max_text_bytes = 1U << 20U;
  static constexpr std::uint64_t max_file_bytes = 256U << 20U;

  // Creates the file, which must not exist.
  static Result<Transcript> create(const std::filesystem::path& file);

  // `take` is told every line when it has been written; empty: nobody is.
  void listen(std::function<void(const nlohmann::json&)> take) { listener_ = std::move(take); }

  // stop_reason and usage are written for role assistant only. `thread`: of a third-party agent
  // that holds several conversations; 0 is not written.
  Status message(std::uint32_t turn, const model::Message& message, const model::Reply* reply,
                 std::uint32_t thread = 0);
  // `declared`: a reply of the model holds the call.
  Status tool_requested(std::uint32_t turn, const model::ToolCall& call, bool declared = true);
  Status tool_decided(std::uint32_t call, const ToolDecision& decision);
  // For those that have no gate.
  Status tool_decided(std::uint32_t call, bool approved, std::string_view approver,
                      std::string_view reason);
  Status tool_executed(std::uint32_t call, std::uint64_t duration_ns,
                       const tools::ToolResult& result);
  Status context_cut(std::uint32_t turn, std::uint64_t estimated_tokens, std::uint64_t limit,
                     const std::vector<std::uint32_t>& calls);
  // A verdict of a monitor; `asked_by`: the rule of a gate, empty where it looked by itself.
  Status monitor(const nlohmann::json& verdict, std::string_view asked_by);
  Status end(std::string_view reason, std::string_view report);

 private:
  explicit Transcript(UniqueFd fd) : fd_(std::move(fd)) {}
  Status write(const nlohmann::json& line);
  UniqueFd fd_;
  std::uint64_t written_ = 0;
  std::function<void(const nlohmann::json&)> listener_;
};

}  // namespace gyges::episode
