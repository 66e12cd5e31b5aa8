// A flow as JSON: policies/schemas/flow.schema.json.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "sandbox/network/flow.h"

namespace gyges::network {

// Called for the kept bytes of every body; returns the name of the blob they are in.
using StoreBody = std::function<Result<std::string>(std::string_view bytes)>;
Result<nlohmann::json> flow_to_json(const Flow& flow, const StoreBody& store);

}  // namespace gyges::network
