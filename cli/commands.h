// The table of subcommands; main.cpp loops over it. A new one: declare its add_ function here, add
// it to the table and its file to CMakeLists.txt.
#pragma once

namespace CLI {
class App;
}

namespace gyges::cli {

using AddCommand = void (*)(CLI::App& root, int& exit_status);

void add_change(CLI::App& root, int& exit_status);
void add_compare(CLI::App& root, int& exit_status);
void add_cues(CLI::App& root, int& exit_status);
void add_doctor(CLI::App& root, int& exit_status);
void add_episode(CLI::App& root, int& exit_status);
void add_experiment(CLI::App& root, int& exit_status);
void add_export_command(CLI::App& root, int& exit_status);
void add_files(CLI::App& root, int& exit_status);
void add_flows(CLI::App& root, int& exit_status);
void add_mcp(CLI::App& root, int& exit_status);
void add_monitor(CLI::App& root, int& exit_status);
void add_policy(CLI::App& root, int& exit_status);
void add_query(CLI::App& root, int& exit_status);
void add_review(CLI::App& root, int& exit_status);
void add_run(CLI::App& root, int& exit_status);
void add_trace(CLI::App& root, int& exit_status);
void add_verify(CLI::App& root, int& exit_status);
void add_view(CLI::App& root, int& exit_status);

inline constexpr AddCommand all_commands[] = {
    add_run,     add_episode, add_experiment, add_compare,        add_view,   add_trace,
    add_verify,  add_files,   add_flows,      add_cues,           add_policy, add_mcp,
    add_monitor, add_review,  add_query,      add_export_command, add_change, add_doctor};

}  // namespace gyges::cli
