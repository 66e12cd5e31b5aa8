// What every sandbox refuses by argument, whatever its profile: address families that the policy
// does not list, namespaces and untraced children by clone, typing into a terminal, listeners that
// answer calls before they are recorded, and calls that act on pid 1.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"

namespace gyges::isolation {

// An array of struct sock_filter, as bytes. `nested_namespaces`: the policy has that grant.
Result<std::string> compile_fixed_rules(const std::vector<std::string>& socket_families,
                                        bool nested_namespaces);

// What they are for one call, in words; empty where there are none.
std::string fixed_rule_words(int number, const std::vector<std::string>& socket_families,
                             bool nested_namespaces);

// Values of personality(2) that weaken no defence, compared with its lower half.
const std::vector<std::uint64_t>& allowed_personalities();

}  // namespace gyges::isolation
