// gyges monitor watch: a deployed agent's runs against a baseline, as they come.
#pragma once

namespace CLI {
class App;
}

namespace gyges::cli {

void add_monitor_watch(CLI::App& monitor, int& exit_status);

}  // namespace gyges::cli
