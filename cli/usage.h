// What the command line answers to words that it does not know: which word it was, and what was
// meant. CLI11 names what is left over in the end, which is often another word.
#pragma once

#include <memory>
#include <optional>
#include <string>

namespace CLI {
class App;
class Error;
class FormatterBase;
}  // namespace CLI

namespace gyges::cli {

// How help is laid out; to be set before commands are added.
std::shared_ptr<CLI::FormatterBase> help_format();

// The first word that stands where a command has to stand and is none, or the lack of one; nothing
// where the commands are in order. One line for standard error.
std::optional<std::string> command_fault(const CLI::App& root, int argc, const char* const* argv);

// One line for standard error about words that `root` could not parse.
std::string usage_message(const CLI::App& root, const CLI::Error& error, int argc,
                          const char* const* argv);

}  // namespace gyges::cli
