// Which events of a trace a person wants to see.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "sandbox/recorder/format/block_summary.h"
#include "sandbox/recorder/format/event.h"
#include "sandbox/recorder/format/resolved_paths.h"
#include "sandbox/recorder/format/syscall_table.h"

namespace gyges::recorder {

// Conditions are joined by "and"; the entries of a list by "or". An empty filter takes everything.
struct EventFilter {
  std::optional<std::uint32_t> tool_call;
  std::optional<std::int32_t> pid;     // as the host or as the sandbox sees it
  std::vector<std::string> syscalls;   // names; of any ABI
  std::vector<SyscallClass> classes;   // process and signal also take the events of those kinds
  std::optional<std::string> path;     // see path_matches(); "x.log" means "**/x.log"
  std::optional<std::string> program;  // as path, of the file that the process executes
  bool raced = false;  // only where a call used another object than it was asked for
  bool failed = false;
  bool refused = false;                   // refused by the filter, or killed at the call
  std::vector<Verdict> verdicts;          // calls that ended in one of these
  std::vector<std::int64_t> errors;       // calls that failed with one of these, as ENOENT is 2
  std::optional<std::uint64_t> since_ns;  // of CLOCK_MONOTONIC, by the time of entry
  std::optional<std::uint64_t> until_ns;

  // `executed`: see PathResolver::program().
  [[nodiscard]] bool takes(const Event& event, const std::vector<ResolvedPath>& paths,
                           std::string_view executed = {}) const;
  // What a block must hold for this filter to take an event of it.
  [[nodiscard]] BlockQuery block_query() const;
};

// A name of the table or "syscall_0x..."; the error proposes the nearest names.
Status check_syscall_name(const std::string& name);
// "allowed", "refused", "emulated", "killed".
Result<Verdict> parse_verdict(const std::string& name);
// "ENOENT", or its number.
Result<std::int64_t> parse_error_name(const std::string& name);
Result<SyscallClass> parse_syscall_class(const std::string& name);

}  // namespace gyges::recorder
