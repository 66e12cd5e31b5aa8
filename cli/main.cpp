#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>

#include "base/text.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/standard_streams.h"

namespace gyges::cli {

int report(const Error& error) {
  std::fprintf(stderr, "gyges: %s\n", printable(error.line()).c_str());
  return exit_own_error;
}

}  // namespace gyges::cli

namespace {

// CLI11 would say only that a subcommand is required.
bool knows(const CLI::App& app, const std::string& word) {
  for (const CLI::App* command : app.get_subcommands(nullptr))
    if (command->get_name() == word) return true;
  return false;
}

int unknown_command(const CLI::App& app, const std::string& word) {
  std::string names;
  for (const CLI::App* command : app.get_subcommands(nullptr))
    names += (names.empty() ? "" : ", ") + command->get_name();
  std::fprintf(stderr, "gyges: %s is no command. Cure: use one of %s\n",
               gyges::quoted(word).c_str(), names.c_str());
  return gyges::cli::exit_usage;
}

// The subcommand that the words were for, so that the help named in the message is the right one.
std::string usage_message(const CLI::App* app, const CLI::Error& error) {
  std::string name;
  for (const CLI::App* at = app; at != nullptr;) {
    name += (name.empty() ? "" : " ") + at->get_name();
    auto chosen = at->get_subcommands();
    at = chosen.empty() ? nullptr : chosen.front();
  }
  return "gyges: " + gyges::printable(error.what()) + ". Cure: see `" + name + " --help`\n";
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
  CLI::App app{
      "Gyges runs AI agents in a sandbox, watched and unwatched, records every system call, and "
      "says with statistics whether they behaved differently."};
  app.name("gyges");
  app.set_version_flag("--version", "gyges 0.1.0");
  app.require_subcommand(1);
  int exit_status = 0;
  // A run counts milliseconds, and describing every other command takes half of one.
  if (argc > 1 && std::string_view(argv[1]) == "run")
    gyges::cli::add_run(app, exit_status);
  else
    for (gyges::cli::AddCommand add : gyges::cli::all_commands)
      if (add != nullptr) add(app, exit_status);
  app.failure_message(usage_message);
  if (argc > 1 && argv[1][0] != '-' && !knows(app, argv[1])) return unknown_command(app, argv[1]);
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
  return gyges::cli::finish_standard_output(exit_status);
}
