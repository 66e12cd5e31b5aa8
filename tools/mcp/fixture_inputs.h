// Fixtures of revision 2026-07-28 that ask the client for input before they answer: each in rounds,
// the state between them travelling with the client under a signature.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/mcp/service.h"

namespace gyges::mcp {

// Names of the tools among them.
std::vector<std::string> input_fixture_tools();

// nullopt: no fixture of this kind has this name. `request` is a tools/call or prompts/get.
std::optional<Answer> answer_input_fixture(std::string_view name, const Request& request);

}  // namespace gyges::mcp
