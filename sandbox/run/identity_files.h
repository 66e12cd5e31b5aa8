// The few files below /etc without which programs do not know who they are.
#pragma once

#include <vector>

#include "sandbox/isolation/policy.h"
#include "sandbox/isolation/sandbox.h"

namespace gyges::run {

// passwd, group, hostname, hosts and nsswitch.conf for the policy's identity; empty where the
// policy has no writable mount at /etc.
std::vector<isolation::SeedFile> identity_files(const isolation::Policy& policy);

// Adds /etc/resolv.conf for a policy with a network, unless `files` holds one or the policy has no
// writable mount at /etc.
void add_resolver_file(const isolation::Policy& policy, std::vector<isolation::SeedFile>& files);

}  // namespace gyges::run
