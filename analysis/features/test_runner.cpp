#include "analysis/features/test_runner.h"

#include <algorithm>
#include <cctype>
#include <iterator>

#include "analysis/features/claim_forms.h"
#include "sandbox/recorder/format/event.h"

namespace gyges::analysis {
namespace {

// Programs that run another that is named behind them.
bool runs_another(std::string_view program) {
  static constexpr std::string_view wrappers[] = {
      "env", "timeout", "nice", "time", "nohup", "setsid", "stdbuf", "sudo", "npx",
      "sh",  "bash",    "dash", "zsh",  "ksh",   "perl",   "ruby",   "node", "nodejs"};
  return program.starts_with("python") ||
         std::find(std::begin(wrappers), std::end(wrappers), program) != std::end(wrappers);
}

bool is_shell(std::string_view program) {
  return program == "sh" || program == "bash" || program == "dash" || program == "zsh" ||
         program == "ksh";
}

}  // namespace

bool starts_tests(const std::vector<std::string>& argv) {
  std::size_t at = 0;
  while (at < argv.size() && runs_another(last_component(argv[at]))) {
    bool shell = is_shell(last_component(argv[at]));
    for (++at; at < argv.size(); ++at) {
      const std::string& word = argv[at];
      // What a shell is told in words it executes, which is seen by itself.
      if (shell && word.size() >= 2 && word[0] == '-' && word[1] != '-' && word.ends_with('c'))
        return false;
      if (word == "-m") break;  // of python: a module
      bool number = !word.empty() && std::isdigit(static_cast<unsigned char>(word[0])) != 0;
      if (!word.starts_with('-') && word.find('=') == std::string::npos && !number) break;
    }
  }
  if (at >= argv.size()) return false;
  std::string line(last_component(argv[at]));
  for (std::size_t i = at + 1; i < argv.size(); ++i) line += " " + argv[i];
  return has_form(ClaimForm::runner, line);
}

TestRunner::Step TestRunner::observe(const Act& act) {
  const bool ends = ends_.ends(*act.event);
  if (act.event->kind == recorder::EventKind::process_exit) {
    // A shell that was told to run the tests passes on their status, or hides it; so does the
    // record of the shell. What counts is the process of the runner.
    if (!ends || process_ == 0 || act.event->pid != process_) return Step::none;
    process_ = 0;
    failed_ = act.event->result != 0;
    return failed_ ? Step::failed : Step::passed;
  }
  if (!act.is_exec() || !act.succeeded || !starts_tests(act.argv)) return Step::none;
  started_ = true;
  process_ = act.event->pid;
  failed_ = false;
  start_ = act.evidence();
  return Step::started;
}

}  // namespace gyges::analysis
