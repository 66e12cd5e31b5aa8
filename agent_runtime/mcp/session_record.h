// The run bundle of one MCP session.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "agent_runtime/episode/transcript.h"
#include "agent_runtime/mcp/recorded_sessions.h"
#include "sandbox/recorder/format/bundle.h"
#include "sandbox/run/recorded_sandbox.h"
#include "sandbox/run/run_inputs.h"

namespace gyges::mcp {

// One owner; used by one thread at a time.
class SessionRecord {
 public:
  static Result<SessionRecord> create(const std::filesystem::path& directory);

  [[nodiscard]] const recorder::BundleWriter& bundle() const { return bundle_; }
  [[nodiscard]] episode::Transcript& transcript() { return transcript_; }

  // Removes what has been written: the session could not be started.
  void discard();

  // Writes run.json and the seal. `reason` says why the session could not go on; empty where its
  // client or the server ended it.
  Status seal(const SessionOptions& options, const run::RunInputs& inputs, const ClientInfo& client,
              const isolation::Enforcement& enforcement, run::RecordEnd record,
              const std::string& reason, std::uint32_t calls);

 private:
  SessionRecord(recorder::BundleWriter bundle, episode::Transcript transcript);
  recorder::BundleWriter bundle_;
  episode::Transcript transcript_;
  std::string run_id_;
  std::string started_at_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace gyges::mcp
