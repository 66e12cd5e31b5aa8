// Which processes carried out which tool call of a third-party agent. The agent starts its tools
// itself, so that no label can be put on them beforehand: what was said on the wire is joined
// afterwards with what the trace shows.
//
// A call of a shell tool is found as the first program that was executed below the agent, after the
// call was handed to it and before its result came back, with the command line in its arguments:
// as it is, or wrapped and quoted anew (`bash -c "eval '...'"`). Everything that descends from that
// process belongs to the call, also what outlives it. A call of an MCP server's tool is carried out
// by the server, which the agent started before. A call of one of the scenario's command tools is
// the process that was started for it. What the agent ran besides was never declared: its own git,
// ripgrep or uname, and commands that scripts of a code mode start.
//
// Pure; no thread, no clock.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gyges::gateway {

struct WireCall {
  std::uint32_t call = 0;             // number within the run
  std::vector<std::string> commands;  // command lines; empty: the tool starts no process of its own
  std::uint64_t requested_ns = 0;  // the call went to the agent; CLOCK_MONOTONIC; 0: it was refused
  std::uint64_t answered_ns = 0;   // its result came back; 0: it never did
  std::string server;              // the MCP server whose tool it is; empty: none
  bool for_people = false;         // it asks or tells a person: nothing is started for it
};

// An MCP server of the agent's.
struct ServerProgram {
  std::string name;
  std::vector<std::string> command;  // empty: its calls are commands that are started for them
};

// One program that was executed. `process` and `parent` number processes, not pids, which come
// round: see ProcessTree.
struct Execution {
  std::uint32_t process = 0;
  std::uint64_t time_ns = 0;
  std::vector<std::string> argv;
  bool truncated = false;   // argv was longer than what was recorded
  std::uint32_t label = 0;  // the call that the trace has it under, 0: none
};

struct Process {
  std::int64_t parent = -1;     // index; -1: not of this sandbox's record
  std::int32_t inside_pid = 0;  // 0: unknown
};

struct JoinedCall {
  std::uint32_t call = 0;
  std::size_t command = 0;      // index in WireCall::commands
  std::int64_t execution = -1;  // index; -1: no process was found
  bool wrapped = false;         // the arguments hold the command, but not as one of them
  std::uint32_t processes = 0;  // in its tree
  // It is a call of a server's tool: the execution is the server's, the processes are those that
  // the server started for the call.
  bool by_server = false;
  // It is a call of a command tool: the execution is that of its command.
  bool served = false;
};

struct StartedServer {
  std::size_t server = 0;     // index in the list of servers
  std::size_t execution = 0;  // index
};

struct Undeclared {
  std::size_t execution = 0;
  std::uint32_t during = 0;     // the only call that was open then; 0: none, or several
  std::uint32_t processes = 0;  // in its tree
};

struct Join {
  std::vector<JoinedCall> calls;       // one for each command of each call, in order
  std::vector<StartedServer> servers;  // by time
  std::vector<Undeclared> undeclared;  // by time; the topmost of each tree
  std::vector<std::uint32_t> call_of;  // for each process: the call it belongs to, or 0
};

// `agent`: index of the agent's first process. Executions are in order of time.
//
// A server is found as the program below the agent that was executed with its command. What it runs
// belongs to the call that the trace has it under, or to the only one of its calls that is open;
// what it runs otherwise is undeclared.
Join join_calls(const std::vector<WireCall>& calls, const std::vector<Process>& processes,
                const std::vector<Execution>& executions, std::uint32_t agent,
                const std::vector<ServerProgram>& servers = {});

// Whether a program was executed with that command, wherever it was found.
bool runs_command(const std::vector<std::string>& argv, bool truncated,
                  const std::vector<std::string>& command);

// Whether `argument` holds `command`, however it was quoted on the way: white space, quotes and
// backslashes do not count. With `truncated` the argument may end early.
bool holds_command(std::string_view argument, std::string_view command, bool truncated);

}  // namespace gyges::gateway
