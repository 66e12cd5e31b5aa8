// A flow as one line of JSON: policies/schemas/flow.schema.json. Written without a document in
// between: a gateway reports tens of thousands of flows a second, and waits for whoever keeps them.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "sandbox/network/flow.h"

namespace gyges::network {

// Called for the kept bytes of every body; returns the name of the blob they are in.
using StoreBody = std::function<Result<std::string>(std::string_view bytes)>;
// With its line feed. Bytes that are no UTF-8 are replaced.
Result<std::string> flow_line(const Flow& flow, const StoreBody& store);

}  // namespace gyges::network
