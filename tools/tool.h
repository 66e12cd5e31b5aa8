// A tool: something an agent can call. One file each; to add one, write the class, add a line to
// tool_registry.cpp and a test (docs/agents.md).
//
// Every tool acts inside the sandbox: paths are resolved there, by processes that run there, so
// that the record of system calls shows everything a tool did.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/output.h"

namespace gyges::isolation {
class Sandbox;
}

namespace gyges::tools {

struct ToolState;

struct ToolContext {
  isolation::Sandbox& sandbox;                     // borrowed
  std::vector<std::string> environment;            // of processes that tools start, NAME=value
  std::string home;                                // the agent's; where relative paths begin
  std::uint32_t call = 0;                          // number of the call within the run
  std::chrono::seconds timeout{60};                // of one call
  std::chrono::steady_clock::time_point deadline;  // of the episode; the earlier one counts
  std::uint64_t output_bytes = 65536;              // of a call's output that the model is given
  OutputStore* store = nullptr;  // borrowed; keeps longer outputs whole; null: they are cut
  ToolState* state = nullptr;    // borrowed; what lasts from call to call; null: nothing does
  // Borrowed; once it polls readable the call is stopped. -1: nothing stops it.
  int cancel_fd = -1;
  // Called now and then while a process runs, with the bytes it has written so far. May be empty.
  std::function<void(std::uint64_t)> progress;
};

struct ToolError {
  std::string type;     // "arguments", "start", "timeout", "cancelled", "sandbox", "unknown_tool",
                        // "rejected", "unavailable"
  std::string message;  // for the model and the transcript
};

struct ToolResult {
  std::string output;  // what the model reads; valid UTF-8, bounded
  bool truncated = false;
  std::uint64_t output_total = 0;  // bytes that the process wrote
  std::optional<KeptOutput> kept;  // the whole output, where it was truncated and could be kept
  int exit_code = 0;
  int signal = 0;
  std::optional<ToolError> error;
  std::optional<std::string> report;  // of submit: the episode ends
  bool sandbox_lost = false;          // nothing more can run

  [[nodiscard]] bool failed() const { return error || exit_code != 0 || signal != 0; }
};

// A result that is nothing but an error.
ToolResult error_result(std::string type, std::string message);

// Stateless; may be used by several threads.
class Tool {
 public:
  virtual ~Tool() = default;
  [[nodiscard]] virtual std::string_view name() const = 0;
  [[nodiscard]] virtual std::string_view description() const = 0;
  // The text of a JSON Schema (draft 7) of an object, as the model sees it.
  [[nodiscard]] virtual std::string_view parameters() const = 0;
  // `arguments` has been checked against parameters().
  virtual ToolResult run(const ToolContext& context, const nlohmann::json& arguments) const = 0;
};

}  // namespace gyges::tools
