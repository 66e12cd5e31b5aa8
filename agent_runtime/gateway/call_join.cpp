#include "agent_runtime/gateway/call_join.h"

#include <algorithm>
#include <limits>
#include <map>

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
          const std::vector<Execution>& executions, std::uint32_t agent,
          const std::vector<ServerProgram>& servers)
      : calls_(calls),
        servers_(servers),
        processes_(processes),
        executions_(executions),
        agent_(agent),
        root_(processes.size(), none),
        server_(processes.size(), none) {}

  Join run() {
    find_servers();
    for (const WireCall& call : calls_) {
      for (std::size_t i = 0; i < call.commands.size(); ++i) claim(call, i);
      if (call.for_people) continue;
      if (is_served(call.server))
        claim_served(call);
      else if (!call.server.empty())
        claim_server(call);
    }
    claim_for_servers();
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

  void find_servers() {
    for (std::size_t i = 0; i < executions_.size(); ++i) {
      const Execution& execution = executions_[i];
      if (execution.process >= processes_.size() || !below_agent(execution.process)) continue;
      for (std::size_t s = 0; s < servers_.size(); ++s) {
        if (!runs_command(execution.argv, execution.truncated, servers_[s].command)) continue;
        server_[execution.process] = s;
        join_.servers.push_back({s, i});
        break;
      }
    }
  }

  // Index of the server that the process is or descends from, or none.
  [[nodiscard]] std::size_t server_above(std::uint32_t process) const {
    for (std::int64_t at = process; at >= 0; at = parent_of(at))
      if (server_[static_cast<std::size_t>(at)] != none)
        return server_[static_cast<std::size_t>(at)];
    return none;
  }

  [[nodiscard]] bool is_served(const std::string& server) const {
    return std::any_of(servers_.begin(), servers_.end(), [&](const ServerProgram& one) {
      return one.name == server && one.command.empty();
    });
  }

  // The trace has it under its call from the start, and it stands beside the agent.
  void claim_served(const WireCall& call) {
    JoinedCall joined{call.call, 0};
    joined.served = true;
    for (std::size_t i = 0; i < executions_.size() && joined.execution < 0; ++i) {
      const Execution& execution = executions_[i];
      if (execution.label != call.call || execution.process >= processes_.size() ||
          below_agent(execution.process))
        continue;
      joined.execution = static_cast<std::int64_t>(i);
      root_[execution.process] = join_.calls.size();
    }
    join_.calls.push_back(joined);
  }

  void claim_server(const WireCall& call) {
    JoinedCall joined{call.call, 0};
    joined.by_server = true;
    if (call.requested_ns != 0)
      for (const StartedServer& started : join_.servers)
        if (servers_[started.server].name == call.server &&
            (call.answered_ns == 0 || executions_[started.execution].time_ns < call.answered_ns))
          joined.execution = static_cast<std::int64_t>(started.execution);
    by_server_[call.call] = {join_.calls.size(), call.server};
    join_.calls.push_back(joined);
  }

  // What servers ran for their calls.
  void claim_for_servers() {
    if (by_server_.empty()) return;
    for (const Execution& execution : executions_) {
      if (execution.process >= processes_.size() || server_[execution.process] != none ||
          owner(execution.process) != none)
        continue;
      std::size_t server = server_above(execution.process);
      if (server == none) continue;
      const std::string& name = servers_[server].name;
      std::uint32_t call =
          execution.label != 0 ? execution.label : open_at(execution.time_ns, name);
      auto found = by_server_.find(call);
      if (found != by_server_.end() && found->second.second == name)
        root_[execution.process] = found->second.first;
    }
  }

  void claim(const WireCall& call, std::size_t index) {
    const std::string& command = call.commands[index];
    JoinedCall joined{call.call, index};
    for (std::size_t i = 0; i < executions_.size(); ++i) {
      const Execution& execution = executions_[i];
      if (execution.time_ns < call.requested_ns) continue;
      if (call.answered_ns != 0 && execution.time_ns > call.answered_ns) break;
      if (execution.process >= processes_.size() || !below_agent(execution.process) ||
          owner(execution.process) != none || server_above(execution.process) != none)
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
          join_.call_of[execution.process] != 0 || server_[execution.process] != none)
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

  // The only call that is open then, 0: none or several. `server`: of those of its tools.
  [[nodiscard]] std::uint32_t open_at(std::uint64_t time, const std::string& server = {}) const {
    std::uint32_t found = 0;
    for (const WireCall& call : calls_) {
      if (!server.empty() && call.server != server) continue;
      if (call.requested_ns == 0 || time < call.requested_ns ||
          (call.answered_ns != 0 && time > call.answered_ns))
        continue;
      if (found != 0) return 0;
      found = call.call;
    }
    return found;
  }

  const std::vector<WireCall>& calls_;
  const std::vector<ServerProgram>& servers_;
  const std::vector<Process>& processes_;
  const std::vector<Execution>& executions_;
  std::int64_t agent_;
  std::vector<std::size_t> root_;
  std::vector<std::size_t> server_;  // for each process that is one: its index
  // Calls of servers' tools: their index in join_.calls, and the server.
  std::map<std::uint32_t, std::pair<std::size_t, std::string>> by_server_;
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
                const std::vector<Execution>& executions, std::uint32_t agent,
                const std::vector<ServerProgram>& servers) {
  return Joining(calls, processes, executions, agent, servers).run();
}

bool runs_command(const std::vector<std::string>& argv, bool truncated,
                  const std::vector<std::string>& command) {
  auto last_name = [](std::string_view path) { return path.substr(path.rfind('/') + 1); };
  if (argv.empty() || command.empty() || last_name(argv[0]) != last_name(command[0])) return false;
  if (!truncated)
    return std::equal(argv.begin() + 1, argv.end(), command.begin() + 1, command.end());
  if (argv.size() > command.size()) return false;
  for (std::size_t i = 1; i < argv.size(); ++i) {
    bool cut = i + 1 == argv.size();
    if (cut ? !command[i].starts_with(argv[i]) : command[i] != argv[i]) return false;
  }
  return argv.size() > 1;
}

}  // namespace gyges::gateway
