#include <CLI/CLI.hpp>
#include <clocale>
#include <cstdio>
#include <exception>

#include "base/text.h"
#include "cli/command.h"
#include "cli/commands.h"

namespace gyges::cli {

int report(const Error& error) {
  std::fprintf(stderr, "gyges: %s\n", printable(error.line()).c_str());
  return exit_own_error;
}

}  // namespace gyges::cli

int main(int argc, char** argv) {
  std::setlocale(LC_CTYPE, "");
  CLI::App app{
      "Gyges runs AI agents in a sandbox, watched and unwatched, records every system call, and "
      "says with statistics whether they behaved differently."};
  app.name("gyges");
  app.set_version_flag("--version", "gyges 0.1.0");
  app.require_subcommand(1);
  int exit_status = 0;
  for (gyges::cli::AddCommand add : gyges::cli::all_commands)
    if (add != nullptr) add(app, exit_status);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    int code = app.exit(error);
    return code == 0 ? 0 : gyges::cli::exit_usage;
  } catch (const std::exception& error) {
    return gyges::cli::report(
        gyges::Error{"run", "", error.what(), "report this as a defect", 0, {}});
  }
  return exit_status;
}
