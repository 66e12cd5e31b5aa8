#include "cli/seal_key_option.h"

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace gyges::cli {

void add_seal_key_option(CLI::App& command) {
  command.add_option_function<std::string>(
      "--seal-key",
      [](const std::string& file) {
        // Absolute, because workers may have another working directory.
        std::error_code error;
        std::filesystem::path path = std::filesystem::absolute(file, error);
        ::setenv("GYGES_SEAL_KEY", error ? file.c_str() : path.c_str(), 1);
      },
      "PEM file of the Ed25519 key that signs the seal; default: $GYGES_SEAL_KEY, else a key of "
      "your own, made at first use");
}

}  // namespace gyges::cli
