// The option --seal-key of every command that makes run bundles.
#pragma once

namespace CLI {
class App;
}

namespace gyges::cli {

// Sets GYGES_SEAL_KEY for this process and the workers it starts.
void add_seal_key_option(CLI::App& command);

}  // namespace gyges::cli
