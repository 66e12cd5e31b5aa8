// The caller's directory inside a sandbox.
#pragma once

#include <filesystem>

#include "base/error.h"
#include "sandbox/isolation/policy.h"

namespace gyges::run {

// Adds `workspace` (absolute, without symbolic links) to the policy's mounts as its
// filesystem.workspace says, in place of a mount with the same target, and masks what must not be
// read or signed with from inside.
Status add_workspace(const std::filesystem::path& workspace, isolation::Policy& policy);

}  // namespace gyges::run
