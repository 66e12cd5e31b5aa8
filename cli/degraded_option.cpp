#include "cli/degraded_option.h"

#include <CLI/CLI.hpp>

#include "sandbox/isolation/degradation.h"

namespace gyges::cli {

void add_degraded_option(CLI::App& command, std::vector<std::string>& accepted) {
  command
      .add_option("--allow-degraded", accepted,
                  "accept that this host cannot enforce something; repeat it for several. The "
                  "record says so")
      ->check(CLI::IsMember(isolation::degradation_names()))
      ->allow_extra_args(false);
}

}  // namespace gyges::cli
