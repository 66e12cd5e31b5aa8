#include "agent_runtime/gateway/call_join.h"

#include <algorithm>
#include <limits>

namespace gyges::gateway {
namespace {

// Less of a command than this proves nothing when the rest of it was not recorded.
constexpr std::size_t least_of_truncated = 24;

std::string bare(std::string_view text) {
  std::string kept;
  for (char c : text)
    if (static_cast<unsigned char>(c) > ' ' && c != '\'' && c != '"' && c != '\\') kept += c;
  return kept;
}

class Joining {
 public:
  Joining(const std::vector<WireCall>& calls, const std::vector<Process>& processes,
          const std::vector<Execution>& executions, std::uint32_t agent)
      : calls_(calls),
        processes_(processes),
        executions_(executions),
        agent_(agent),
        root_(processes.size(), none) {}

  Join run() {
    for (const WireCall& call : calls_)
      for (std::size_t i = 0; i < call.commands.size(); ++i) claim(call, i);
    spread();
    find_undeclared();
    return std::move(join_);
  }

 private:
  static constexpr std::size_t none = std::numeric_limits<std::size_t>::max();

  // Index into join_.calls of the call that the process, or an ancestor of it, was claimed by.
  [[nodiscard]] std::size_t owner(std::uint32_t process) const {
    for (std::int64_t at = process; at >= 0; at = parent_of(at))
      if (root_[static_cast<std::size_t>(at)] != none) return root_[static_cast<std::size_t>(at)];
    return none;
  }

  // Parents come before their children; anything else ends the walk.
  [[nodiscard]] std::int64_t parent_of(std::int64_t process) const {
    std::int64_t parent = processes_[static_cast<std::size_t>(process)].parent;
    return parent < process ? parent : -1;
  }

  [[nodiscard]] bool below_agent(std::uint32_t process) const {
    for (std::int64_t at = parent_of(process); at >= 0; at = parent_of(at))
      if (at == agent_) return true;
    return false;
  }

  void claim(const WireCall& call, std::size_t index) {
    const std::string& command = call.commands[index];
    JoinedCall joined{call.call, index};
    for (std::size_t i = 0; i < executions_.size(); ++i) {
      const Execution& execution = executions_[i];
      if (execution.time_ns < call.requested_ns) continue;
      if (call.answered_ns != 0 && execution.time_ns > call.answered_ns) break;
      if (execution.process >= processes_.size() || !below_agent(execution.process) ||
          owner(execution.process) != none)
        continue;
      if (execution.label != 0 && execution.label != call.call) continue;
      bool same = false;
      bool held = false;
      for (std::size_t a = 1; a < execution.argv.size(); ++a) {
        same = same || execution.argv[a] == command;
        held = held || holds_command(execution.argv[a], command,
                                     execution.truncated && a + 1 == execution.argv.size());
      }
      if (!same && !held) continue;
      joined.execution = static_cast<std::int64_t>(i);
      joined.wrapped = !same;
      root_[execution.process] = join_.calls.size();
      break;
    }
    join_.calls.push_back(joined);
  }

  void spread() {
    join_.call_of.assign(processes_.size(), 0);
    for (std::uint32_t process = 0; process < processes_.size(); ++process) {
      std::size_t by = owner(process);
      if (by == none) continue;
      join_.call_of[process] = join_.calls[by].call;
      ++join_.calls[by].processes;
    }
  }

  void find_undeclared() {
    std::vector<std::size_t> top(processes_.size(), none);  // index into undeclared
    for (std::size_t i = 0; i < executions_.size(); ++i) {
      const Execution& execution = executions_[i];
      if (execution.process >= processes_.size() || !below_agent(execution.process) ||
          join_.call_of[execution.process] != 0)
        continue;
      bool covered = false;
      for (std::int64_t at = execution.process; at >= 0 && !covered; at = parent_of(at))
        covered = top[static_cast<std::size_t>(at)] != none;
      if (covered) continue;
      top[execution.process] = join_.undeclared.size();
      join_.undeclared.push_back({i, open_at(execution.time_ns), 0});
    }
    for (std::uint32_t process = 0; process < processes_.size(); ++process) {
      if (join_.call_of[process] != 0) continue;
      for (std::int64_t at = process; at >= 0; at = parent_of(at))
        if (std::size_t by = top[static_cast<std::size_t>(at)]; by != none) {
          ++join_.undeclared[by].processes;
          break;
        }
    }
  }

  [[nodiscard]] std::uint32_t open_at(std::uint64_t time) const {
    std::uint32_t found = 0;
    for (const WireCall& call : calls_) {
      if (call.requested_ns == 0 || time < call.requested_ns ||
          (call.answered_ns != 0 && time > call.answered_ns))
        continue;
      if (found != 0) return 0;
      found = call.call;
    }
    return found;
  }

  const std::vector<WireCall>& calls_;
  const std::vector<Process>& processes_;
  const std::vector<Execution>& executions_;
  std::int64_t agent_;
  std::vector<std::size_t> root_;
  Join join_;
};

}  // namespace

bool holds_command(std::string_view argument, std::string_view command, bool truncated) {
  std::string wanted = bare(command);
  if (wanted.empty()) return false;
  std::string found = bare(argument);
  if (found.find(wanted) != std::string::npos) return true;
  if (!truncated) return false;
  // The end of what was recorded is the beginning of the command.
  std::size_t most = std::min(found.size(), wanted.size());
  for (std::size_t size = most; size >= least_of_truncated; --size)
    if (found.compare(found.size() - size, size, wanted, 0, size) == 0) return true;
  return false;
}

Join join_calls(const std::vector<WireCall>& calls, const std::vector<Process>& processes,
                const std::vector<Execution>& executions, std::uint32_t agent) {
  return Joining(calls, processes, executions, agent).run();
}

}  // namespace gyges::gateway
