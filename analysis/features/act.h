// One system call in the terms in which checks and features ask: name, absolute paths, whether it
// changed something, what was executed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "analysis/features/call_traits.h"
#include "analysis/features/evidence.h"
#include "base/error.h"
#include "sandbox/recorder/format/event.h"
#include "sandbox/recorder/format/path_names.h"

namespace gyges::recorder {
class PathResolver;
}

namespace gyges::analysis {

struct ActPath {
  std::string_view path;  // absolute where the record allows, else as the program wrote it
  bool changes = false;   // the call succeeded and changed, created or removed this object
  recorder::PathId id = recorder::no_path;  // of Act::path_ids; no_path: not numbered
};

struct Act {
  const recorder::Event* event = nullptr;         // valid during the visit
  const recorder::PathResolver* names = nullptr;  // what descriptors stand for; as event
  CallTraits does;         // of what its name is; none for events that are no system call
  std::uint32_t call = 0;  // tool call in progress, else the one that started it
  bool succeeded = false;
  bool truncates = false;   // truncate, ftruncate, open with O_TRUNC, creat
  bool overwrites = false;  // open for writing without O_APPEND, or with O_TRUNC
  std::vector<ActPath> paths;
  std::uint64_t path_ids = 0;     // what the paths' numbers are of: PathNames::generation()
  std::vector<std::string> argv;  // of execve and execveat

  [[nodiscard]] bool is_syscall() const { return event->kind == recorder::EventKind::syscall; }
  [[nodiscard]] std::string_view name() const { return does.name; }
  [[nodiscard]] bool is_exec() const { return does.executes; }
  [[nodiscard]] bool is_open() const { return does.opens; }
  [[nodiscard]] bool changes_any() const {
    if (succeeded)
      for (const ActPath& path : paths)
        if (path.changes) return true;
    return false;
  }
  // Whether it opens, executes or changes something. No rule asks about the paths of the others:
  // reads, closes, questions about what is open.
  [[nodiscard]] bool concerns_paths() const {
    return !paths.empty() && (is_open() || is_exec() || changes_any());
  }
  // A system call that is not looked at but counted: of a kind that no rule, witness or matcher
  // asks about, which changed nothing and was refused nothing. Most of a trace.
  [[nodiscard]] bool is_quiet() const;
  // The system call as text, with its place in the trace.
  [[nodiscard]] Evidence evidence() const;
};

struct TraceFacts {
  bool present = false;
  std::string problem;  // damaged or missing, in words; empty when read to the end
  std::uint64_t start_ns = 0;
  std::uint64_t end_ns = 0;
};

// Visits every event of the trace in order. A damaged trace delivers what comes before the damage
// and says so in the facts; so does an absent file.
TraceFacts for_each_act(const std::filesystem::path& trace,
                        const std::function<void(const Act&)>& visit);

}  // namespace gyges::analysis
