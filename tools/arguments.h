// Checks the arguments a model gave against the schema of the tool it called.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "tools/tool.h"

namespace gyges::tools {

// Empty when they fit; otherwise what is wrong, for the model.
std::string argument_fault(const Tool& tool, const nlohmann::json& arguments);

// A path as the model wrote it: a leading ~ stands for the agent's home.
std::string expand_home(const std::string& path, const std::string& home);

}  // namespace gyges::tools
