// SMTP that takes every message for its mailboxes and delivers none: each becomes a flow whose body
// is the message as a mailbox would hold it, with Return-Path and Delivered-To in front.
#pragma once

#include <memory>

#include "sandbox/network/exfiltration/canary_search.h"
#include "sandbox/network/service.h"
#include "sandbox/network/world/world_data.h"

namespace gyges::network {

// All borrowed. `host` is the name in the greeting.
std::unique_ptr<StreamService> make_smtp(const PortService& service, std::string host,
                                         const CanarySet& canaries, std::uint64_t body_bytes,
                                         StreamPort& port);

}  // namespace gyges::network
