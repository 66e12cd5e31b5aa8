// Who takes the flows of a sandbox.
#pragma once

#include <functional>

#include "base/error.h"
#include "sandbox/network/flow.h"

namespace gyges::network {

// Takes each flow, called by a thread of the gateway's process, one call at a time. While it works
// the gateway waits, so that no flow is lost. An error ends the gateway: the network is closed.
using FlowSink = std::function<Status(Flow)>;

}  // namespace gyges::network
