// Reads flows.jsonl of a bundle, which a stranger may have written.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/error.h"

namespace gyges::network {

inline constexpr std::size_t longest_flow_line = 1U << 20U;

// Every line, validated against the schema; an error names file, line and the path of the key.
// `visit` returns false to stop. A run without flows.jsonl has no flows, which is an error that
// says so.
Status read_flows(const std::filesystem::path& bundle,
                  const std::function<bool(const nlohmann::json&)>& visit);

// The stored bytes of a body; empty where it has none. At most 64 MiB.
Result<std::string> read_body(const std::filesystem::path& bundle, const nlohmann::json& body);

}  // namespace gyges::network
