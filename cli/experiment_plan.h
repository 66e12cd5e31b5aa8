// gyges experiment plan: what an experiment file asks for, what it can find, what it will cost.
#pragma once

#include <CLI/CLI.hpp>

namespace gyges::cli {

void add_plan_command(CLI::App& parent, int& exit_status);

}  // namespace gyges::cli
