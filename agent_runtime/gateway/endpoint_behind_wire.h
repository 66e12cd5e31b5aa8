// A provider's endpoint behind the endpoint that agents see: requests of the provider's own dialect
// go out as they came, others are translated (model/translator.h) and written anew.
#pragma once

#include <chrono>

#include "agent_runtime/gateway/model_endpoint.h"
#include "agent_runtime/model/endpoint.h"

namespace gyges::gateway {

// Says in `options` what stands behind.
Complete endpoint_behind_wire(model::EndpointConfig config,
                              std::chrono::steady_clock::time_point deadline,
                              EndpointOptions& options);

}  // namespace gyges::gateway
