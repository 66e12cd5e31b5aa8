// One command in one sandbox, recorded into a run bundle: what `gyges run` does.
#pragma once

#include <filesystem>
#include <future>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "sandbox/isolation/policy.h"
#include "sandbox/isolation/sandbox.h"
#include "sandbox/recorder/format/coverage.h"
#include "sandbox/run/relay.h"

namespace gyges::recorder {
class Recorder;
}

namespace gyges::run {

struct CommandRunRequest {
  isolation::Policy policy;
  std::optional<std::string> persona;  // name of a shipped persona or path of a manifest
  std::uint64_t seed = 0;              // of the persona's generated content
  std::int64_t as_of =
      0;  // what its dates count from, seconds since 1970; 0: the start, to the minute
  std::vector<std::string> allow_degraded;  // see isolation/degradation.h
  std::vector<std::string> argv;
  std::filesystem::path workspace;  // the caller's directory, shown as the policy says
  std::filesystem::path out;        // the bundle; empty: none is written
  RelayStreams streams;
  bool process_ends = false;  // with the run: see SandboxStop
};

struct CommandRunOutcome {
  isolation::CommandEnd end;
  std::vector<isolation::LimitHit> limits_hit;
  std::optional<recorder::Coverage> coverage;
  std::string run_id;
  std::vector<std::string> warnings;
};

// Loads what a record needs in a thread of its own, so that run_command() need not
// wait for it. The future waits for the thread when it goes.
std::future<void> load_ahead();

// `recorder` may be null: then system calls are not recorded. Without `out` nothing is recorded or
// collected either.
Result<CommandRunOutcome> run_command(const CommandRunRequest& request,
                                      recorder::Recorder* recorder);

// The sandbox that run_command() would start, for a caller that puts something else into it: the
// probe of the cues. Nothing is started. Streams, out and argv of the request do not matter.
struct ComposedSandbox {
  isolation::SandboxSpec spec;
  std::vector<std::string> environment;  // of commands
  std::string directory;                 // where commands start; empty: the policy's home
};
Result<ComposedSandbox> compose_sandbox(const CommandRunRequest& request);

}  // namespace gyges::run
