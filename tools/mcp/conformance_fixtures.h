// The tools, resources and prompts that the MCP conformance suite calls by name. They run nothing
// and record nothing; `gyges mcp serve --conformance-fixtures` serves them instead of the real
// tools.
#pragma once

#include <memory>

#include "tools/mcp/service.h"

namespace gyges::mcp {

std::unique_ptr<Service> make_conformance_fixtures();

}  // namespace gyges::mcp
