// What one recorded run did, as far as a policy is about it: files, system calls, sockets,
// environment, and how much of each limited thing it used.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"

namespace gyges::learn {

// How a path inside was used, by calls that succeeded.
struct PathUse {
  bool written = false;  // created, changed, removed, or opened for writing
  bool listed = false;   // a directory whose entries were read
  bool executed = false;
};

// The most that was in use at one time, or in sum, as far as system calls show it.
struct PeakUse {
  std::uint64_t milliseconds = 0;
  std::uint64_t tasks = 1;         // processes and threads
  std::uint64_t descriptors = 3;   // highest descriptor and one
  std::uint64_t process_data = 0;  // private writable memory of one process, bytes
  std::uint64_t data = 0;          // the same, of all processes alive at one time
  std::uint64_t largest_file = 0;  // end of the furthest write into a file, bytes
  std::uint64_t written = 0;       // bytes written into files, in sum
  std::uint64_t files_made = 0;    // creations, in sum
  std::uint64_t output = 0;        // bytes written to standard output and error
};

struct Observation {
  std::string policy;                        // the name of the policy it ran under
  std::string persona;                       // empty: none
  std::vector<std::string> argv;             // empty for an episode
  std::string directory;                     // where the command started
  std::set<std::string> environment;         // names that the command was given
  bool environment_known = false;            // false: the record does not show all of them
  std::map<std::string, PathUse> paths;      // absolute, inside
  std::set<std::string> absent;              // looked for and not there
  std::map<std::string, int> refused_paths;  // by permission or a read-only mount: errno
  std::set<std::string> calls;               // that the filter let through
  std::map<std::string, std::uint64_t> refused_calls;  // that it did not: how often
  std::set<int> socket_families;                       // of sockets that were made
  std::set<int> refused_families;
  PeakUse peak;
  std::vector<std::string> gaps;  // what the record does not show, in words
};

// Reads a run bundle. What it says is hostile input: bounded, checked, and nothing of it is
// trusted to be true of this host.
Result<Observation> observe_run(const std::filesystem::path& bundle);

}  // namespace gyges::learn
