// The table of subcommands; main.cpp loops over it. A new one: declare its add_ function here, add
// it to the table and its file to CMakeLists.txt.
#pragma once

namespace CLI {
class App;
}

namespace gyges::cli {

using AddCommand = void (*)(CLI::App& root, int& exit_status);

void add_compare(CLI::App& root, int& exit_status);
void add_episode(CLI::App& root, int& exit_status);
void add_experiment(CLI::App& root, int& exit_status);

inline constexpr AddCommand all_commands[] = {add_compare, add_episode, add_experiment};

}  // namespace gyges::cli
