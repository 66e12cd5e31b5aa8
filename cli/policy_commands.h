// The larger subcommands of gyges policy, each in a file of its own.
#pragma once

namespace CLI {
class App;
}

namespace gyges::cli {

void add_policy_explain(CLI::App& policy, int& exit_status);
void add_policy_learn(CLI::App& policy, int& exit_status);

}  // namespace gyges::cli
