// The supervisor's side of the egress gateway: starts the program, hands it its sockets, keeps what
// it reports.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "base/error.h"
#include "base/fd.h"
#include "sandbox/network/flow.h"
#include "sandbox/network/network_policy.h"
#include "sandbox/network/topology.h"

namespace gyges::network {

// Between the two programs of one build: descriptors at the gateway's start, and bounds.
namespace gateway_process {
inline constexpr int report_fd = 3;
inline constexpr int config_fd = 4;
inline constexpr int world_fd = 5;
inline constexpr std::size_t most_config_bytes = 16U << 20U;
inline constexpr std::size_t most_world_bytes = 1U << 30U;
}  // namespace gateway_process

class GatewayProcess {
 public:
  // Starts the program; it waits for connect(). It is killed when the calling thread ends. Flows go
  // into `spool`, a file that is made anew; empty: they are only counted.
  static Result<std::unique_ptr<GatewayProcess>> launch(const NetworkPolicy& policy,
                                                        std::string_view packed_world,
                                                        const std::string& spool);
  // Kills the program if stop() was not called.
  ~GatewayProcess();
  GatewayProcess(const GatewayProcess&) = delete;
  GatewayProcess& operator=(const GatewayProcess&) = delete;

  // Builds the topology, hands the sockets over and waits until the gateway serves. `agent` as in
  // build_topology().
  Status connect(GatewaySockets sockets, pid_t agent);

  // Lets the gateway report what is still open and ends it. Afterwards the spool is whole. Fails
  // when the gateway had died or did not end within 10 s: then flows may be missing.
  Status stop();

  [[nodiscard]] std::uint64_t flows() const { return flows_; }
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  GatewayProcess() = default;
  void collect();

  NetworkPolicy policy_;
  pid_t pid_ = -1;
  UniqueFd pidfd_;
  UniqueFd report_;
  UniqueFd spool_;
  std::thread collector_;
  std::atomic<std::uint64_t> flows_ = 0;
  std::atomic<bool> failed_ = false;
  bool ended_ = false;
};

// Calls `each` with every flow of a spool, in the order of their reports. What a dead gateway left
// half written at the end is not read.
Status read_spool(const std::string& spool, const std::function<Status(const Flow&)>& each);

}  // namespace gyges::network
