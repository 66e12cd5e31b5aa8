// Flows as packets in a pcapng file, for tools that read captures. The packets are synthesised from
// the record: a TCP connection is its handshake or its refusal, the kept bytes of each direction
// and its end; what was not kept is not there. Messages of DNS are those that were on the wire,
// each at its time, a datagram or a part of its connection. Lines of other protocols inside a
// connection (tls, http) have no packets of their own: the line of their connection has.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/error.h"

namespace gyges::network {

// The whole file. `epoch_ns` is the realtime of time_ns 0.
Result<std::string> flows_to_pcapng(const std::vector<nlohmann::json>& flows,
                                    const std::filesystem::path& bundle, std::int64_t epoch_ns);

}  // namespace gyges::network
