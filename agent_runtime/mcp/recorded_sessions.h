// What `gyges mcp serve` serves: the tools of tool_registry.h, each client's calls in a sandbox of
// its own, recorded into a run bundle that is sealed when the session ends.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sandbox/isolation/policy.h"
#include "tools/mcp/service.h"

namespace gyges::recorder {
class Recorder;
}

namespace gyges::mcp {

struct SessionOptions {
  isolation::Policy policy;
  std::optional<std::string> persona;  // name or path of a manifest
  std::uint64_t seed = 0;              // of what the persona generates
  std::vector<std::string> allow_degraded;
  std::filesystem::path workspace;             // shown as the policy says
  std::filesystem::path records;               // gets a directory for each session
  std::vector<std::filesystem::path> secrets;  // files that are masked
  std::vector<std::string> tools;              // names; empty: default_tools()
  // What clients, and through them agents, are told that the server is; empty: Gyges.
  std::string server_name;
  std::chrono::seconds call_timeout{600};
  std::uint64_t output_bytes = 65536;  // of a call's output, what a client is given
  std::uint32_t warm = 2;              // sandboxes that stand ready
  // Tells of records made and of what went wrong with them: one line each. Called by any thread.
  std::function<void(const std::string&)> notice;
};

// Those of the registry that make sense without an episode around them.
std::vector<std::string> default_tools();

// Thread-safe.
class RecordedSessions final : public Service {
 public:
  // Starts a sandbox, so that a policy that cannot be had is an error here. `recorder` is borrowed;
  // null: system calls are not recorded.
  static Result<std::unique_ptr<RecordedSessions>> create(SessionOptions options,
                                                          recorder::Recorder* recorder);
  ~RecordedSessions() override;
  RecordedSessions(const RecordedSessions&) = delete;
  RecordedSessions& operator=(const RecordedSessions&) = delete;

  [[nodiscard]] std::string capabilities(Revision revision) const override;
  [[nodiscard]] std::string server_info() const override;
  [[nodiscard]] std::string instructions() const override;
  [[nodiscard]] const std::vector<ToolEntry>& tools() const override;
  // A tool whose calls depend on each other has a lane of its name: the shell that stays, edits of
  // files, lists.
  [[nodiscard]] std::string lane(const Request& request) const override;
  [[nodiscard]] bool has_tasks() const override { return true; }
  // A sandbox from the pool and a new directory below `records`.
  Result<std::unique_ptr<Session>> open(const ClientInfo& client) override;

  struct Parts;

 private:
  explicit RecordedSessions(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace gyges::mcp
