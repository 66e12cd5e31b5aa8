// Linux capabilities by name and number (capabilities(7)).
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace gyges::isolation {

// "CAP_NET_RAW" -> 13.
Result<unsigned> capability_number(std::string_view name);

Result<bool> has_effective_capability(unsigned number);

}  // namespace gyges::isolation
