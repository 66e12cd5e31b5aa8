// The supervisor's side of the egress gateway: starts the program, hands it its sockets, keeps what
// it reports.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "base/error.h"
#include "base/fd.h"
#include "base/program_start.h"
#include "sandbox/network/flow_sink.h"
#include "sandbox/network/gateway_descriptors.h"
#include "sandbox/network/network_policy.h"
#include "sandbox/network/topology.h"

namespace gyges::network {

// Bounds of what the gateway is given at its start, beside gateway_descriptors.h.
namespace gateway_process {
inline constexpr std::size_t most_config_bytes = 16U << 20U;
inline constexpr std::size_t most_world_bytes = 1U << 30U;
}  // namespace gateway_process

class GatewayProcess {
 public:
  // Finds the program in this process's executable, once for the process. Where it cannot be mapped
  // from there (base/program_file.h; a program that uses libgyges.so) it begins to put it into
  // memory, in a thread of its own: a few milliseconds that launch() need not wait for when this
  // was called early.
  static void prepare();

  // Starts the program, and does not stand by while the kernel executes it; it waits for connect().
  // It is killed when the calling thread ends.
  // `sink` may be empty: then flows are only counted. `outlet`: a stream socket (outlet/frames.h)
  // to whoever answers for the world's sites that are handed out, borrowed; -1: nobody does.
  static Result<std::unique_ptr<GatewayProcess>> launch(const NetworkPolicy& policy,
                                                        std::string_view packed_world,
                                                        FlowSink sink, int outlet = -1);
  // Kills the program if stop() was not called.
  ~GatewayProcess();
  GatewayProcess(const GatewayProcess&) = delete;
  GatewayProcess& operator=(const GatewayProcess&) = delete;

  // Builds the topology and hands the sockets over. `agent` and `packed_world` as in
  // build_topology().
  Status connect(GatewaySockets sockets, pid_t agent, std::string_view packed_world);

  // Waits until the gateway serves, and then takes its flows. After connect(), before anything of
  // the agent's runs.
  Status await();

  // Tells the gateway to end, for a stop() that comes soon.
  void begin_stop();

  // Lets the gateway report what is still open and end; every flow has gone to the sink then. The
  // kernel may still be taking its sockets apart; its process is collected later. Fails when the
  // gateway had died, did not come to its end within 10 s or a flow could not be taken: then flows
  // may be missing.
  Status stop();

  // Whether what destinations send is copied on its way, for want of pipes.
  // Known after await().
  [[nodiscard]] bool copies() const { return copies_; }
  // On which TCP ports connections can be let in, and why not on all; empty: on all. Known after
  // connect().
  [[nodiscard]] const std::string& listed_ports() const { return listed_ports_; }
  [[nodiscard]] std::uint64_t flows() const { return flows_; }
  [[nodiscard]] pid_t pid() const { return started_.pid(); }

 private:
  class FrameReader;
  GatewayProcess() = default;
  void collect();
  std::string how_it_ended(bool in_time);

  NetworkPolicy policy_;
  StartedProgram started_;
  UniqueFd report_;
  FlowSink sink_;
  std::thread collector_;
  std::atomic<std::uint64_t> flows_ = 0;
  std::string listed_ports_;
  UniqueFd collected_;            // eventfd: readable once the collector has ended
  std::optional<Error> failure_;  // its own; read once it has ended, like the next one
  bool whole_ = false;            // the gateway said that nothing more comes
  bool ended_ = false;
  bool copies_ = false;
};

}  // namespace gyges::network
