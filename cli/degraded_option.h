// The option --allow-degraded of every command that starts sandboxes.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace gyges::cli {

// `accepted` must outlive the parsing; it takes names of isolation/degradation.h alone.
void add_degraded_option(CLI::App& command, std::vector<std::string>& accepted);

}  // namespace gyges::cli
