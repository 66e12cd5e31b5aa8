#include "cli/usage.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstddef>
#include <string_view>
#include <vector>

#include "base/text.h"

namespace gyges::cli {
namespace {

const CLI::App* command_of(const CLI::App& app, std::string_view word) {
  for (const CLI::App* command : app.get_subcommands(nullptr))
    if (command->get_name() == word) return command;
  return nullptr;
}

std::vector<std::string> commands_of(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands(nullptr))
    if (!command->get_group().empty()) names.push_back(command->get_name());  // not a hidden one
  return names;
}

// Letters to add, take away, change, or swap with their neighbour on the way from one to the other.
std::size_t distance(std::string_view from, std::string_view to) {
  std::vector<std::vector<std::size_t>> way(from.size() + 1,
                                            std::vector<std::size_t>(to.size() + 1));
  for (std::size_t i = 0; i <= from.size(); ++i)
    for (std::size_t j = 0; j <= to.size(); ++j) {
      if (i == 0 || j == 0) {
        way[i][j] = i + j;
        continue;
      }
      way[i][j] = std::min({way[i - 1][j] + 1, way[i][j - 1] + 1,
                            way[i - 1][j - 1] + (from[i - 1] == to[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1])
        way[i][j] = std::min(way[i][j], way[i - 2][j - 2] + 1);
    }
  return way.back().back();
}

// The name that a mistyped word was meant to be; empty where none is near.
std::string nearest(std::string_view word, const std::vector<std::string>& names) {
  std::string best;
  std::size_t least = std::max<std::size_t>(1, word.size() / 3) + 1;
  for (const std::string& name : names)
    if (std::size_t away = distance(word.substr(0, 64), name); away < least) {
      least = away;
      best = name;
    }
  return best;
}

std::vector<std::string> options_of(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    for (const std::string& name : option->get_snames()) names.push_back("-" + name);
  }
  return names;
}

// The command that was chosen, and its name with those above it.
const CLI::App* chosen_command(const CLI::App& root, std::string& name) {
  const CLI::App* at = &root;
  name = root.get_name();
  for (;;) {
    const auto chosen = at->get_subcommands();
    if (chosen.empty()) return at;
    at = chosen.front();
    name += " " + at->get_name();
  }
}

// The first word before "--" that looks like an option and is none; empty where there is no such.
std::string unknown_option(const CLI::App& command, int argc, const char* const* argv) {
  const std::vector<std::string> known = options_of(command);
  for (int i = 1; i < argc && std::string_view(argv[i]) != "--"; ++i) {
    std::string_view word = argv[i];
    if (word.size() < 2 || word[0] != '-' || (word[1] >= '0' && word[1] <= '9')) continue;
    std::string name(word.substr(0, word.find('=')));
    if (word[1] != '-') name = name.substr(0, 2);  // -ofile
    if (std::find(known.begin(), known.end(), name) == known.end())
      return word[1] == '-' ? name : std::string(word);
  }
  return "";
}

bool has_separator(int argc, const char* const* argv) {
  return std::any_of(argv, argv + argc,
                     [](const char* word) { return std::string_view(word) == "--"; });
}

class HelpFormat : public CLI::Formatter {
 public:
  std::string make_option_usage(const CLI::Option* option) const override {
    const std::string name = option->get_name();
    if (name == "command") return "-- command [argument...]";
    if (name == "program") return "[-- program [argument...]]";
    if (option->get_expected_min() > 1) return name + " " + name + "...";
    return CLI::Formatter::make_option_usage(option);
  }
};

}  // namespace

std::shared_ptr<CLI::FormatterBase> help_format() {
  return std::make_shared<HelpFormat>();
}

std::optional<std::string> command_fault(const CLI::App& root, int argc, const char* const* argv) {
  const CLI::App* at = &root;
  std::string name = root.get_name();
  for (int i = 1; at->get_require_subcommand_min() > 0; ++i) {
    const std::vector<std::string> names = commands_of(*at);
    const std::string cure = "use one of " + join(names, ", ") + "; see `" + name + " --help`\n";
    if (i >= argc) return "gyges: no command of `" + name + "` was named. Cure: " + cure;
    if (argv[i][0] == '-')
      return std::nullopt;  // --help, --version, or an option to complain about
    const CLI::App* command = command_of(*at, argv[i]);
    if (command == nullptr) {
      const std::string meant = nearest(argv[i], names);
      return "gyges: " + quoted(argv[i]) + " is no command of `" + name +
             "`. Cure: " + (meant.empty() ? "" : "was " + meant + " meant? Otherwise ") + cure;
    }
    at = command;
    name += " " + at->get_name();
  }
  return std::nullopt;
}

std::string usage_message(const CLI::App& root, const CLI::Error& error, int argc,
                          const char* const* argv) {
  std::string name;
  const CLI::App* command = chosen_command(root, name);
  std::string what = error.what();
  std::string cure = "see `" + name + " --help`";
  // What is required and what is left over is often what a mistyped option did not take.
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr ||
      dynamic_cast<const CLI::RequiredError*>(&error) != nullptr) {
    if (std::string option = unknown_option(*command, argc, argv); !option.empty()) {
      what = "`" + name + "` has no option " + option;
      const std::string meant = nearest(option, options_of(*command));
      // The words that belong to the command that is to be run.
      const CLI::Option* program = command->get_option_no_throw("command");
      if (!meant.empty() && option.starts_with("--"))
        cure = "was " + meant + " meant? See `" + name + " --help`";
      else if (program != nullptr && program->get_positional() && !has_separator(argc, argv))
        cure = "put -- before the command and its own options: " + name + " [OPTIONS] -- COMMAND";
    }
  }
  return "gyges: " + printable(what) + ". Cure: " + printable(cure) + "\n";
}

}  // namespace gyges::cli
