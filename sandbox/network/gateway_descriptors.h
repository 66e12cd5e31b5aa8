// Between the programs of one build: which descriptors the gateway finds at its start.
#pragma once

#include <cstddef>

namespace gyges::network::gateway_process {

inline constexpr int report_fd = 3;
inline constexpr int config_fd = 4;
inline constexpr int world_fd = 5;
inline constexpr int spill_fd = 6;   // a file without a name, for what of bodies is kept
inline constexpr int outlet_fd = 7;  // non-blocking socket, where the configuration says so
// For the loader alone: the file that the program stands in, at the descriptor's offset.
inline constexpr int program_fd = 8;

// What the supervisor sends then. First a count of listeners on single ports (32 bits), with the
// sockets from GatewaySockets::tcp4 to agent_diag; then, until there are as many, their ports (16
// bits each) with the listeners, so many in one message.
inline constexpr std::size_t handed_sockets = 6;
inline constexpr std::size_t most_listeners_at_once = 128;

// Instead of a length before the reason why it does not serve: 0, or this.
inline constexpr unsigned ready_but_copying = ~0U;

}  // namespace gyges::network::gateway_process
