// The few files below /etc without which programs do not know who they are.
#pragma once

#include <vector>

#include "sandbox/isolation/policy.h"
#include "sandbox/isolation/sandbox.h"

namespace gyges::run {

// passwd, group, hostname, hosts and nsswitch.conf for the policy's identity; empty where the
// policy has no writable mount at /etc.
std::vector<isolation::SeedFile> identity_files(const isolation::Policy& policy);

}  // namespace gyges::run
