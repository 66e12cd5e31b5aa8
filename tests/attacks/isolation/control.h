// Runs the attack program where the defences of a sandbox are missing, in namespaces of its own
// that end with it.
#pragma once

#include <string>

#include "base/error.h"

namespace gyges::attack {

// What the attack program prints as root of throw-away namespaces (as the host's root where the
// caller is root, otherwise of a user namespace): no filter, all capabilities, the host's tree with
// a private layer over it, a readable pid 1, a leaked descriptor. `marker` is an absolute path of a
// file of the host.
Result<std::string> run_control(const std::string& marker);

// The attack program itself.
std::string_view attack_program();

}  // namespace gyges::attack
