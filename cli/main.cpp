#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <exception>
#include <string_view>

#include "base/text.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/run.h"
#include "cli/standard_streams.h"
#include "cli/usage.h"

namespace gyges::cli {

int report(const Error& error) {
  std::fprintf(stderr, "gyges: %s\n", printable(error.line()).c_str());
  return exit_own_error;
}

}  // namespace gyges::cli

namespace {

// The end of a run, which counts milliseconds: what it was made of goes with the process.
// Sanitizers look for leaks when it ends as others do.
int end_of_run(int exit_status) {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  std::fflush(nullptr);
  ::_exit(exit_status);
#endif
  return exit_status;
}

}  // namespace

int main(int argc, char** argv) {
  gyges::cli::occupy_standard_descriptors();
  // Whoever may start a program that is root by its file's mode also chooses its files, environment
  // and descriptors (CVE-2020-5291, firejail's CVE-2017-5180 and others like it).
  if (::geteuid() != ::getuid() || ::getegid() != ::getgid()) {
    std::fputs(
        "gyges: start: the program is installed set-user-id or set-group-id, which would give its "
        "caller another user's rights. Cure: chmod ug-s its file\n",
        stderr);
    return gyges::cli::exit_own_error;
  }
  // A limit on file size that the caller set shows as a failed write, which has a message.
  std::signal(SIGXFSZ, SIG_IGN);
  // A run counts milliseconds, and describing every other command takes half of one.
  const bool is_run = argc > 1 && std::string_view(argv[1]) == "run";
  if (is_run) gyges::cli::begin_run(argc, argv);
  CLI::App app{
      "Gyges runs AI agents in a sandbox, watched and unwatched, records every system call, and "
      "says with statistics whether they behaved differently."};
  app.name("gyges");
  app.formatter(gyges::cli::help_format());
  app.set_version_flag("--version", "gyges 0.1.0");
  app.require_subcommand(1);
  int exit_status = 0;
  if (is_run)
    gyges::cli::add_run(app, exit_status);
  else
    for (gyges::cli::AddCommand add : gyges::cli::all_commands)
      if (add != nullptr) add(app, exit_status);
  app.failure_message([&](const CLI::App*, const CLI::Error& error) {
    return gyges::cli::usage_message(app, error, argc, argv);
  });
  if (auto fault = gyges::cli::command_fault(app, argc, argv)) {
    std::fputs(fault->c_str(), stderr);
    return gyges::cli::exit_usage;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    int code = app.exit(error);
    return gyges::cli::finish_standard_output(code == 0 ? 0 : gyges::cli::exit_usage);
  } catch (const std::exception& error) {
    // The formatting library throws when standard output takes no more.
    if (int status = gyges::cli::finish_standard_output(0); status != 0) return status;
    return gyges::cli::report(
        gyges::Error{"run", "", error.what(), "report this as a defect", 0, {}});
  }
  exit_status = gyges::cli::finish_standard_output(exit_status);
  return is_run ? end_of_run(exit_status) : exit_status;
}
