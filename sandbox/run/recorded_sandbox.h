// A sandbox whose record goes into a run bundle: trace, flows, file changes. For sandboxes in which
// many commands are started; one command of a caller's is command_run.h.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "sandbox/isolation/pool.h"
#include "sandbox/isolation/sandbox.h"
#include "sandbox/network/flow_writer.h"
#include "sandbox/recorder/format/bundle.h"
#include "sandbox/recorder/format/coverage.h"
#include "sandbox/recorder/recorder.h"

namespace gyges::run {

// Where the flows of a sandbox go, which may be there before its bundle is. Thread-safe.
class FlowRoute {
 public:
  // `writer` is borrowed and outlives the sandbox.
  void lead_to(network::FlowWriter& writer);
  Status take(network::Flow flow);

 private:
  std::mutex mutex_;
  network::FlowWriter* writer_ = nullptr;
};

struct RecordEnd {
  std::vector<isolation::LimitHit> limits_hit;
  std::optional<recorder::Coverage> coverage;  // absent: system calls were not recorded
  std::vector<std::string> warnings;
  std::optional<Error> failure;  // the record is not whole
};

// One owner; used by one thread at a time.
class RecordedSandbox {
 public:
  // Takes a sandbox from `pool` (borrowed, null: starts one of `spec`, whose session and flows are
  // set here). `recorder` is borrowed and may be null. `route` is that of the pool's spec, null
  // without a network.
  static Result<std::unique_ptr<RecordedSandbox>> start(isolation::SandboxSpec spec,
                                                        const recorder::BundleWriter& bundle,
                                                        recorder::Recorder* recorder,
                                                        isolation::SandboxPool* pool,
                                                        std::shared_ptr<FlowRoute> route);

  [[nodiscard]] isolation::Sandbox& sandbox() { return *sandbox_; }
  [[nodiscard]] recorder::Session* session() { return session_.get(); }

  // Ends every process inside and writes what is left to write, all but run.json and the seal.
  // Once.
  RecordEnd finish(const isolation::Limits& limits, const recorder::BundleWriter& bundle);

 private:
  RecordedSandbox() = default;
  std::unique_ptr<recorder::Session> session_;
  std::unique_ptr<network::FlowWriter> flows_;  // before the sandbox, which writes to it
  std::shared_ptr<FlowRoute> route_;
  std::unique_ptr<isolation::Sandbox> sandbox_;
};

}  // namespace gyges::run
