// What system calls of a name do, as far as acts, rules and matchers ask: worked out once for each
// name and not for each of millions of calls.
#pragma once

#include <cstdint>
#include <string_view>

#include "sandbox/recorder/format/event.h"

namespace gyges::analysis {

struct CallTraits {
  std::string_view name;      // "openat"; empty for what is no system call
  std::uint16_t place = 0;    // among all calls of all ABIs, below call_places; 0: none of them
  bool matters = false;       // any of those below
  bool opens = false;         // open, openat, openat2, creat
  bool executes = false;      // execve, execveat
  bool removes = false;       // unlink, unlinkat, rmdir, rename and its kin
  bool truncates = false;     // truncate, ftruncate; of opens the flags decide
  bool writes_bytes = false;  // write and its kin, to a descriptor opened before
  bool looks = false;  // reads a directory, a link, facts of a file, or connects; opens beside
  bool sends = false;  // connect, sendto, sendmsg
  bool asks = false;   // is a look at a cue when the agent names it (CueMatcher::calls)
};

inline constexpr std::size_t call_places = 2048;

// Both live for ever. Those of names and numbers that no table knows have but their name, or none.
const CallTraits& traits_of_call(std::string_view name);
const CallTraits& traits_of_call(recorder::Abi abi, std::uint32_t number);

}  // namespace gyges::analysis
