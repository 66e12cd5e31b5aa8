// Runs a program and the processes it makes under ptrace(2), counts their system calls, and has one
// of them fail or its caller die. The program is the shipped one: nothing in it knows of the test.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace gyges::faults {

// Which process made a call. Threads count as their process.
//   supervisor  the program that was started
//   launch      its child before that executes a program: a clone that becomes pid 1 or the keeper
//   init        pid 1 of a sandbox
//   keeper
//   command     a child of pid 1 before it executes the agent's program; afterwards it is let go
//   other       anything else the program executes
using Role = std::string;

struct Call {
  Role role;
  std::uint64_t ordinal = 0;  // among the calls of this role, from 1
  long number = 0;
  std::uint64_t turn = 0;  // among the calls of this role and number, from 1
};

// Meets one call: by its place among all calls of its role, or, where a number is given, among
// those of that number, which also holds for a life with other calls between them. At most one of
// `error` and `signal` is set.
struct Fault {
  Role role;                  // empty: no fault
  std::uint64_t ordinal = 0;  // see Call; not asked where `number` is given
  int error = 0;              // the call is not executed and answers this errno value
  int signal = 0;             // sent to the caller, before the call
  long number = -1;
  std::uint64_t turn = 0;  // see Call
};

struct TracedRun {
  std::vector<std::string> argv;
  std::vector<std::string> environment;  // NAME=value, in addition to the test's own
  Fault fault;
  // Counting begins when the program sends itself this signal, and ends and begins again with each
  // further one. Outside it nothing is stopped, so that it costs little.
  int marker_signal = 0;
  // Without a marker: counting begins with the first call of this number, and does not end.
  long first_call = -1;
  // false: commands are let go at once, so that a recorder may trace them.
  bool follow_commands = true;
  std::chrono::milliseconds limit = std::chrono::seconds(30);
};

struct Traced {
  int status = -1;                // of the program, as of wait(2); -1: it did not end
  pid_t pid = -1;                 // of the program
  std::string output;             // standard output and error, at most 1 MiB
  std::vector<Call> calls;        // counted ones, in the order of their beginning
  bool injected = false;          // the fault's call was reached
  long injected_number = -1;      // and this was its number
  std::vector<std::string> left;  // processes that were alive five seconds after the program's end
};

Traced run_traced(const TracedRun& run);

// "openat" or the number.
std::string call_name(long number);

}  // namespace gyges::faults
