// Docker/OCI seccomp files (the "linux.seccomp" object of the OCI runtime specification, and
// Docker's superset with includes and excludes), for x86-64.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "sandbox/isolation/seccomp_profile.h"

namespace gyges::isolation {

// Whether the document looks like one, by its defaultAction.
bool is_oci_profile(const nlohmann::json& document);

// Fills otherwise and rules. What this reader does not know is an error, never ignored; names of
// system calls that x86-64 does not have are dropped, as container runtimes do.
Status read_oci_profile(const nlohmann::json& document, std::string_view source,
                        const std::vector<std::string>& capabilities, SeccompProfile& profile);

}  // namespace gyges::isolation
