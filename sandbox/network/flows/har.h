// HTTP exchanges as HAR 1.2, which browsers' developer tools and proxies read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "base/error.h"

namespace gyges::network {

// `flows` are lines of flows.jsonl; other protocols are left out. `epoch_ns` is the realtime of
// time_ns 0. Bodies come from the bundle: what was not kept is said in a comment.
Result<nlohmann::json> flows_to_har(const std::vector<nlohmann::json>& flows,
                                    const std::filesystem::path& bundle, std::int64_t epoch_ns);

}  // namespace gyges::network
