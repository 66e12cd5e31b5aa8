// What the subcommands of `gyges cues` share.
#pragma once

namespace CLI {
class App;
}

namespace gyges::cli {

void add_cues_audit(CLI::App& parent, int& exit_status);
void add_cues_requests(CLI::App& parent, int& exit_status);

}  // namespace gyges::cli
